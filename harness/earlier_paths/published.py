"""Now `harness.reporting.published`."""

from harness.reporting.published import *  # noqa: F403
