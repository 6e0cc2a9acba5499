"""Now `harness.files.annotations`."""

from harness.files.annotations import *  # noqa: F403
