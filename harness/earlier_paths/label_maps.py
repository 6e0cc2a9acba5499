"""Now `harness.label_map`; its `as_large_as` is in `harness.data.depth`."""

from harness.data.depth import as_large_as  # noqa: F401
from harness.label_map import LabelMap  # noqa: F401
