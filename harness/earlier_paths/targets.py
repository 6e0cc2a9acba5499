"""Now `harness.nn.targets`."""

from harness.nn.targets import *  # noqa: F403
