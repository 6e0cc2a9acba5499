"""Now `harness.training.backend`."""

from harness.training.backend import *  # noqa: F403
