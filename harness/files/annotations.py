"""Annotation files → head points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import DataError


def read_mat(path: Path) -> dict[str, Any]:
    """Every variable of a MATLAB file; of a 7.3 file those that are matrices of numbers.

    Raises:
        DataError: the file is missing, is no MATLAB file, or is damaged, also where the damage kills SciPy's reader or HDF5's.
    """
    from harness.files import matlab

    if not path.is_file():
        raise DataError(f"{path}: annotation file is missing")
    return matlab.read(path)


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


def read_points_file(path: Path) -> np.ndarray:
    """Head points float64 [N, 2] of one picture from `.txt` or `.csv` (x, y a line), `.json`, `.npy` or `.mat`.

    A text may have one line of headings; further columns are ignored. JSON is a list of [x, y] or of objects with x and y, or
    an object with such a list under "points". A `.npy` file is never unpickled. A `.mat` file has `annPoints`, or
    ShanghaiTech's `image_info`.

    Raises:
        DataError: unreadable, or not that.
    """
    import json

    try:
        if path.suffix == ".mat":
            return _mat_points(path)
        if path.suffix == ".npy":
            values = np.load(path, allow_pickle=False)
        elif path.suffix == ".json":
            values = _json_points(json.loads(path.read_text(encoding="utf-8")))
        else:
            values = _text_points(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, TypeError, KeyError, EOFError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise DataError(f"{path}: no head points ({first}); expected x and y of each head") from None
    return checked_points(path, values)


def _mat_points(path: Path) -> np.ndarray:
    content = read_mat(path)
    if "image_info" in content:
        return image_info_points(path, content)
    return read_mat_points(path, "annPoints")


def image_info_points(path: Path, content: dict[str, Any]) -> np.ndarray:
    """Head points float64 [N, 2] of ShanghaiTech's `image_info{1,1}{1,1}.location`; raises `DataError` where it is not that."""
    try:
        location = content["image_info"][0, 0]["location"][0, 0]
    except (IndexError, KeyError, ValueError, TypeError):
        raise DataError(
            f"{path}: 'image_info' has no field 'location'; expected image_info{{1,1}}{{1,1}}.location"
        ) from None
    return checked_points(path, location)


def _json_points(content: Any) -> list[list[float]]:
    rows = content["points"] if isinstance(content, dict) else content
    return [[row["x"], row["y"]] if isinstance(row, dict) else list(row)[:2] for row in rows]


def _text_points(text: str) -> list[list[float]]:
    import re

    rows = [re.split(r"[,;\s]+", line.strip()) for line in text.splitlines() if line.strip()]
    if rows and not re.match(r"[-+.\d]", rows[0][0]):
        rows = rows[1:]  # headings
    return [[float(value) for value in row[:2]] for row in rows]


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
