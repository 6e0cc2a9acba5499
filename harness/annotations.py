"""Annotation files → head points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import DataError


def read_mat(path: Path) -> dict[str, Any]:
    """Every variable of a MATLAB file.

    Raises:
        DataError: the file is missing or is no MATLAB file. Of a 7.3 file only matrices of numbers are read.
    """
    from scipy.io import loadmat

    if not path.is_file():
        raise DataError(f"{path}: annotation file is missing")
    try:
        return loadmat(path)
    except NotImplementedError:
        return _read_hdf5(path)
    except Exception as error:  # scipy raises many kinds on damaged files; all mean the same to a user
        raise DataError(f"{path}: not a MATLAB file ({type(error).__name__}: {error})") from None


def _read_hdf5(path: Path) -> dict[str, Any]:
    """The matrices of numbers in a MATLAB 7.3 file, which is HDF5 with rows and columns exchanged."""
    import h5py

    try:
        with h5py.File(path) as file:
            return {key: np.asarray(value).T for key, value in file.items() if isinstance(value, h5py.Dataset)}
    except OSError as error:
        raise DataError(f"{path}: not a MATLAB file ({error})") from None


def variable(path: Path, name: str) -> Any:
    """The variable `name` of a MATLAB file; raises `DataError` naming those it has."""
    content = read_mat(path)
    if name not in content:
        found = ", ".join(sorted(key for key in content if not key.startswith("__"))) or "none"
        raise DataError(f"{path}: no variable {name!r}; found {found}")
    return content[name]


def read_mat_points(path: Path, name: str) -> np.ndarray:
    """Head points float64 [N, 2] from the N×2 matrix `name` of a MATLAB file; see `checked_points`."""
    return checked_points(path, variable(path, name))


def checked_points(path: Path, values: Any) -> np.ndarray:
    """`values` as float64 [N, 2], N ≥ 0.

    Points outside the picture and repeated points are kept: whether they count is the protocol's to say, and
    `harness data check` reports them.

    Raises:
        DataError: not numbers, not two columns, or NaN or infinite coordinates.
    """
    try:
        points = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{path}: head points are not numbers") from None
    if points.size == 0:
        return np.zeros((0, 2))
    if points.ndim != 2 or points.shape[1] < 2:
        raise DataError(f"{path}: head points have shape {points.shape}; expected (heads, 2)")
    points = points[:, :2]
    bad = ~np.isfinite(points).all(axis=1)
    if bad.any():
        raise DataError(
            f"{path}: {int(bad.sum())} of {len(points)} head points are NaN or infinite "
            f"(first: number {int(np.argmax(bad)) + 1}); expected finite coordinates. Remove or repair them."
        )
    return points


def inside(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """bool [N]: which points (x, y) lie in the frame 0 ≤ x < width, 0 ≤ y < height."""
    x, y = points[:, 0], points[:, 1]
    return (x >= 0) & (x < width) & (y >= 0) & (y < height)
