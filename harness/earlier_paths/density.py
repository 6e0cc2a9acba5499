"""Now `harness.nn.density`."""

from harness.nn.density import *  # noqa: F403
