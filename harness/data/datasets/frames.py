"""MATLAB files that annotate all frames of a video: Mall's and UCSD's."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from harness.errors import DataError
from harness.files.annotations import NOT_SUCH_A_STRUCT, checked_points, read_mat

HELD = 32  # files; UCSD has ten
# Test images in a row that intervals draw together: on Mall the errors of trained networks are alike (a correlation of 0.4
# to 0.6 from frame to frame, none after 50), and longer blocks made intervals of three methods of four no wider.
ALIKE = 100


def locations(path: Path) -> list[np.ndarray]:
    """The points float64 [N, 2] of every frame in `path`, read once for as long as the file does not change.

    The cell `frame` (or `fgt.frame`) has one struct a frame with `loc`, N×2 or wider.

    Raises:
        DataError: missing, or not that.
    """
    if not path.is_file():
        raise DataError(f"{path}: annotation file is missing")
    return _read(path, path.stat().st_mtime_ns)


def points_of(path: Path, frame: int) -> np.ndarray:
    """The points float64 [N, 2] of frame number `frame`, from 0; raises `DataError` where there is none."""
    frames = locations(path)
    if not 0 <= frame < len(frames):
        raise DataError(f"{path}: no frame {frame + 1}; it annotates {len(frames)}")
    return frames[frame]


@lru_cache(maxsize=HELD)
def _read(path: Path, changed: int) -> list[np.ndarray]:
    content = read_mat(path)
    try:
        frames = content["frame"] if "frame" in content else content["fgt"]["frame"][0, 0]
        return [checked_points(path, frame["loc"][0, 0]) for frame in frames.ravel()]
    except NOT_SUCH_A_STRUCT:
        raise DataError(f"{path}: expected 'frame' or 'fgt.frame', structs with the field 'loc'") from None
