"""Now `harness.training.prediction`."""

from harness.training.prediction import *  # noqa: F403
