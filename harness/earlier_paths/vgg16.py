"""Now `harness.nn.vgg16`."""

from harness.nn.vgg16 import *  # noqa: F403
