"""Now `harness.reporting.conflicts`."""

from harness.reporting.conflicts import *  # noqa: F403
