"""Now `harness.nn.losses`."""

from harness.nn.losses import *  # noqa: F403
