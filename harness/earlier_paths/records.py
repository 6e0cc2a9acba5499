"""Now `harness.runs.records`."""

from harness.runs.records import *  # noqa: F403
