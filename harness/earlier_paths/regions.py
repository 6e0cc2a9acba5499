"""Now `harness.data.regions`."""

from harness.data.regions import *  # noqa: F403
