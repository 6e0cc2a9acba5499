"""Now `harness.runs.runtime_records`."""

from harness.runs.runtime_records import *  # noqa: F403
