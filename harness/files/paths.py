"""What files are called among others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path


def from_common_folder(paths: Sequence[Path]) -> list[Path]:
    """Each of `paths` as it is called from the deepest folder that has them all."""
    absolute = [path.absolute() for path in paths]
    folder = os.path.commonpath([path.parent for path in absolute]) if absolute else ""
    return [path.relative_to(folder) for path in absolute]
