"""JSON files of a person's own regions → polygons by picture and name.

A polygon is a list of three or more [x, y] in pixels. A region is a polygon, or {"polygon": …, "square_metres": …} with the
area that it has on the ground. A file holds one region, or regions by their names, for all pictures; or any of these for each
picture, by the name of its file ({"street.jpg": …}).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import HarnessError, one_line
from harness.files.images import SUFFIXES

POLYGON, AREA = "polygon", "square_metres"


@dataclass(frozen=True)
class Region:
    """A polygon with `vertices` float64 [N, 2] (x, y); `name` is "" of an only one, `square_metres` None where not known."""

    name: str
    vertices: np.ndarray
    square_metres: float | None = None


@dataclass(frozen=True)
class RegionFile:
    """The regions in `path`: `everywhere`, or those of each picture."""

    path: Path
    everywhere: tuple[Region, ...]
    by_picture: Mapping[str, tuple[Region, ...]]

    def of(self, picture: Path) -> tuple[Region, ...]:
        """The regions of one picture, by its file's name; raises `HarnessError` where it has none."""
        found = self.everywhere or self.by_picture.get(picture.name)
        if not found:
            raise HarnessError(f"{self.path}: no region for {picture.name}; expected one for each picture, or for all")
        return found


def read_regions(path: Path) -> RegionFile:
    """The regions in a JSON file; raises `HarnessError` naming what is not as this module says."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_once)
    except OSError as error:
        raise HarnessError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, RecursionError) as error:
        raise HarnessError(f"{path}: not JSON, or names that are there twice ({one_line(error)})") from None
    pictures = [key for key in content if _is_picture(key)] if isinstance(content, dict) else []
    if not pictures:
        return RegionFile(path, _regions(path, content, ""), {})
    if len(pictures) < len(content):
        other = next(key for key in content if key not in pictures)
        raise HarnessError(f"{path}: {other!r} beside {pictures[0]!r}; expected names of pictures alone, or of regions")
    return RegionFile(path, (), {key: _regions(path, value, f"{key}: ") for key, value in content.items()})


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, of which the last of two values by one name would hide the first."""
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name!r} is there twice")
    return dict(pairs)


def _is_picture(key: str) -> bool:
    return Path(key).suffix.lower() in SUFFIXES


def _regions(path: Path, value: Any, where: str) -> tuple[Region, ...]:
    if not isinstance(value, dict) or POLYGON in value:
        return (_region(path, "", value, where),)
    if not value:
        raise HarnessError(f"{path}: {where}no regions; expected a polygon [[x, y], …], or polygons by name")
    return tuple(_region(path, name, each, f"{where}{name}: ") for name, each in value.items())


def _region(path: Path, name: str, value: Any, where: str) -> Region:
    area = None
    if isinstance(value, dict):
        if POLYGON not in value or value.keys() - {POLYGON, AREA}:
            raise HarnessError(f"{path}: {where}found {', '.join(value) or 'nothing'}; expected {POLYGON} and {AREA}")
        value, area = value[POLYGON], value.get(AREA)
    if area is not None and not (_is_number(area) and area > 0):
        raise HarnessError(f"{path}: {where}{AREA} is {area!r}; expected a number above 0")
    pairs = value if isinstance(value, list) else []
    if len(pairs) < 3 or not all(
        isinstance(pair, list) and len(pair) == 2 and all(map(_is_number, pair)) for pair in pairs
    ):
        raise HarnessError(f"{path}: {where}no polygon; expected three or more [x, y] in pixels")
    return Region(name, np.array(pairs, np.float64), area)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9
