"""What files are called among others."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path


def from_common_folder(paths: Sequence[Path]) -> list[Path]:
    """Each of `paths` as it is called from the deepest folder that has them all."""
    # Two slashes in front are kept by one of the two and not by the other.
    absolute = [Path(re.sub(r"^//+", "/", path.absolute().as_posix())) for path in paths]
    folder = os.path.commonpath([path.parent for path in absolute]) if absolute else ""
    return [path.relative_to(folder) for path in absolute]
