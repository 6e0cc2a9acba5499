"""Now `harness.data.depth`."""

from harness.data.depth import *  # noqa: F403
