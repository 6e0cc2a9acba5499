"""Now `harness.nn.resizing`."""

from harness.nn.resizing import *  # noqa: F403
