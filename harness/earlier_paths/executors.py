"""Now `harness.runs.executors`."""

from harness.runs.executors import *  # noqa: F403
