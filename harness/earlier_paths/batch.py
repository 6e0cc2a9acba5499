"""Now `harness.nn.batch`."""

from harness.nn.batch import *  # noqa: F403
