"""Annotation files → head points."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import DataError, one_line, printable

HEADING = re.compile(r"#|[\"'#]*[^\W\d]")
SEPARATORS = " \t,;"
LONGEST_SIDE = 1 << 20  # pixels; OpenCV reads no longer picture
NOT_SUCH_A_STRUCT = (
    AttributeError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
)  # what a field of something else raises


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
    return _named(path, read_mat(path), name)


def shared_variable(path: Path, name: str) -> Any:
    """Like `variable`, of a file that many pictures share: read once for as long as it does not change. Do not write to it."""
    try:
        state = path.stat()
    except OSError:
        return variable(path, name)
    content = _shared(path, (state.st_mtime_ns, state.st_size))
    if isinstance(content, str):
        raise DataError(content)
    return _named(path, content, name)


@lru_cache(maxsize=8)
def _shared(path: Path, changed: tuple[int, int]) -> dict[str, Any] | str:
    """The variables, or why there are none: a file that holds up its reader would do so again for every picture."""
    try:
        return read_mat(path)
    except DataError as error:
        return str(error)


def _named(path: Path, content: dict[str, Any], name: str) -> Any:
    if name not in content:
        found = ", ".join(sorted(key for key in content if not key.startswith("__"))) or "none"
        raise DataError(f"{path}: no variable {name!r}; found {printable(found)}")
    return content[name]


def read_mat_points(path: Path, name: str) -> np.ndarray:
    """Head points float64 [N, 2] from the N×2 matrix `name` of a MATLAB file; see `checked_points`."""
    return checked_points(path, variable(path, name))


def read_points_file(path: Path) -> np.ndarray:
    """Head points float64 [N, 2] of one picture from `.txt` or `.csv` (x, y a line), `.json`, `.npy` or `.mat`.

    A text may have one line of headings. Further columns are ignored; without headings they must be numbers too. JSON is a
    list of [x, y] or of objects with x and y, or an object with such a list under "points". A `.npy` file is never unpickled.
    A `.mat` file has `annPoints`, or ShanghaiTech's `image_info`.

    Raises:
        DataError: unreadable, or not that.
    """
    suffix = path.suffix.lower()
    if suffix == ".mat":
        return _mat_points(path)
    values: Any
    try:
        if suffix == ".npy":
            with path.open("rb") as file:
                values = np.lib.format.read_array(file, allow_pickle=False)
        elif suffix == ".json":
            values = _json_points(json.loads(path.read_text(encoding="utf-8")))
        else:
            values = _text_points(path.read_text(encoding="utf-8-sig"))
    except Exception as error:  # parsers raise many kinds on damaged files; all mean the same to a user
        raise DataError(f"{path}: no head points ({one_line(error)}); expected x and y of each head") from None
    return checked_points(path, values)


def read_lines(path: Path) -> list[str]:
    """The lines of a text in UTF-8; raises `DataError`."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({one_line(error)}); expected a text in UTF-8") from None


def _mat_points(path: Path) -> np.ndarray:
    content = read_mat(path)
    if "image_info" in content:
        return image_info_points(path, content)
    return read_mat_points(path, "annPoints")


def image_info_points(path: Path, content: dict[str, Any]) -> np.ndarray:
    """Head points float64 [N, 2] of ShanghaiTech's `image_info{1,1}{1,1}.location`; raises `DataError` where it is not that."""
    try:
        location = _named(path, content, "image_info")[0, 0]["location"][0, 0]
    except NOT_SUCH_A_STRUCT:
        raise DataError(
            f"{path}: 'image_info' has no field 'location'; expected image_info{{1,1}}{{1,1}}.location"
        ) from None
    return checked_points(path, location)


def _json_points(content: Any) -> list[list[float]]:
    rows = content["points"] if isinstance(content, dict) else content
    return [[row["x"], row["y"]] if isinstance(row, dict) else list(row)[:2] for row in rows]


def _text_points(text: str) -> list[list[float]]:
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    first = lines[0][1] if lines else ""
    heading = _cells(first, tabs="\t" in first)
    named = any(heading) and all(not cell or (HEADING.match(cell) and not _is_number(cell)) for cell in heading)
    x, y = _columns(heading) if named else (0, 1)
    rows = [_cells(line.rstrip(SEPARATORS), tabs=named and "\t" in first) for _, line in lines]
    points = []
    for (number, line), row in list(zip(lines, rows, strict=True))[named:]:
        if named and len(row) > len(heading):
            raise ValueError(
                f"line {number} is {printable(line, 60)!r}, which has {len(row)} cells; its heading has {len(heading)}"
            )
        if len(row) <= max(x, y) or not all(map(_is_number, (row[x], row[y]) if named else row)):
            raise ValueError(f"line {number} is {printable(line, 60)!r}")
        points.append([float(row[x]), float(row[y])])
    if not named and _are_yolo(rows):
        raise ValueError(
            f"line {lines[0][0]} is {printable(lines[0][1], 60)!r}: class, centre and size as shares of the picture, "
            f"as YOLO has them"
        )
    return points


def _cells(line: str, tabs: bool) -> list[str]:
    """The cells of a line; between semicolons a comma is that of a number, as spreadsheets write it in much of Europe.

    Args:
        tabs: tabs are what separates cells where neither commas nor semicolons do, and blanks belong to them.
    """
    if ";" in line:
        return [_bare(cell).replace(",", ".") for cell in line.split(";")]
    if "," in line or tabs:
        return [_bare(cell) for cell in line.split("," if "," in line else "\t")]
    return [_bare(cell) for cell in line.split()]


def _bare(cell: str) -> str:
    """Without the blanks and quotes around it: some programs put every cell between quotes."""
    return cell.strip().strip("\"'").strip()


def _columns(heading: list[str]) -> tuple[int, int]:
    """The places of x and y in a heading."""
    names = [name.strip("\"'#").lower() for name in heading if name != "#"]
    if "x" not in names or "y" not in names:
        raise ValueError(f"its heading is {printable(' '.join(heading), 60)!r}, without columns called x and y")
    return names.index("x"), names.index("y")


def _are_yolo(rows: list[list[str]]) -> bool:
    """Whether every row is a whole number and four numbers from 0 to 1."""
    return bool(rows) and all(
        len(row) == 5 and row[0].isdecimal() and all(0 <= float(value) <= 1 for value in row[1:]) for row in rows
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def checked_points(path: Path, values: Any) -> np.ndarray:
    """`values` as float64 [N, 2], N ≥ 0.

    Points outside the picture and repeated points are kept: whether they count is the protocol's to say, and
    `harness data check` reports them.

    Raises:
        DataError: not numbers, not two columns, NaN or infinite coordinates, or such as no picture has.
    """
    points = _numbers(path, values, "head points")
    if points.size == 0:
        return np.zeros((0, 2))
    if points.ndim != 2 or points.shape[1] < 2:
        raise DataError(f"{path}: head points have shape {points.shape}; expected (heads, 2)")
    points = points[:, :2]
    bad = ~np.isfinite(points).all(axis=1)
    what, expected = "NaN or infinite", "finite coordinates"
    if not bad.any():
        bad = (np.abs(points) > LONGEST_SIDE).any(axis=1)
        what, expected = f"more than {LONGEST_SIDE:,} pixels away", "coordinates in pixels"
    if bad.any():
        raise DataError(
            f"{path}: {int(bad.sum())} of {len(points)} head points are {what} "
            f"(first: number {int(np.argmax(bad)) + 1}); expected {expected}. Remove or repair them."
        )
    return points


def checked_region(path: Path, values: Any) -> np.ndarray:
    """`values` as bool [H, W], which pixels a region holds; raises `DataError`."""
    region = _numbers(path, values, "the region of interest")
    if region.ndim != 2 or region.size == 0 or not np.isfinite(region).all():
        raise DataError(f"{path}: the region of interest has shape {region.shape}; expected 0 or 1 for each pixel")
    return region.astype(bool)


def checked_perspective(path: Path, values: Any) -> np.ndarray:
    """`values` as float32 [H, W], a scale above 0 at each pixel; raises `DataError`."""
    scales = _numbers(path, values, "the perspective map")
    if scales.ndim != 2 or scales.size == 0:
        raise DataError(f"{path}: the perspective map has shape {scales.shape}; expected (height, width)")
    if not ((scales > 1e-9) & (scales < 1e9)).all():  # NaN is neither
        raise DataError(
            f"{path}: the perspective map has values from {scales.min():g} to {scales.max():g}; expected scales"
        )
    return scales.astype(np.float32)


def _numbers(path: Path, values: Any, what: str) -> np.ndarray:
    try:
        if np.asarray(values).dtype.kind not in "biufOUS":  # no complex numbers, dates, records
            raise TypeError
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{path}: {what} are not numbers") from None


def inside(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """bool [N]: which points (x, y) lie in the frame 0 ≤ x < width, 0 ≤ y < height."""
    x, y = points[:, 0], points[:, 1]
    return (x >= 0) & (x < width) & (y >= 0) & (y < height)
