"""Now `harness.nn.multiply_adds`."""

from harness.nn.multiply_adds import *  # noqa: F403
