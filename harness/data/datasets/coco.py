"""COCO annotation files: one JSON for many pictures, read once for as long as it does not change."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from harness.errors import DataError, one_line
from harness.files.annotations import checked_points

KEYS = (b'"images"', b'"annotations"')


def is_coco(path: Path) -> bool:
    """Whether the file is a catalogue of many pictures: an object with `images` and `annotations`."""
    return _is_coco(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=4096)
def _is_coco(path: Path, changed: int) -> bool:
    content = path.read_bytes()
    return content.lstrip()[:1] == b"{" and all(key in content for key in KEYS)


def names(path: Path) -> set[str]:
    """The file names of the pictures that `path` has entries for."""
    return set(_points(path, path.stat().st_mtime_ns))


def points_of(path: Path, name: str) -> np.ndarray:
    """float64 [N, 2]: for each annotation of the picture called `name` its first key point, or the centre of its box."""
    points = _points(path, path.stat().st_mtime_ns)
    if name not in points:
        raise DataError(f"{path}: no entry for {name}")
    return points[name]


@lru_cache(maxsize=8)
def _points(path: Path, changed: int) -> dict[str, np.ndarray]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        paths = {image["id"]: str(image["file_name"]).replace("\\", "/") for image in content["images"]}
        files = {number: PurePosixPath(place).name for number, place in paths.items()}
        _check_unlike(path, paths, files)
        _check_one_kind(path, content)
        rows: dict[str, list[tuple[float, float]]] = {name: [] for name in files.values()}
        for number, annotation in enumerate(content["annotations"]):
            rows[files[annotation["image_id"]]].append(_point(path, number, annotation))
    except DataError:
        raise
    except Exception as error:  # JSON may hold anything in any place
        raise DataError(f"{path}: not a COCO file ({one_line(error)})") from None
    return {name: checked_points(path, points) for name, points in rows.items()}


def _check_unlike(path: Path, paths: dict[Any, str], files: dict[Any, str]) -> None:
    """Pictures are found by their file names alone."""
    seen: dict[str, Any] = {}
    for number, name in files.items():
        other = seen.setdefault(name, number)
        if other != number:
            raise DataError(
                f"{path}: {paths[other]} and {paths[number]} have one file name; expected a file for each of "
                f"their folders, or other names"
            )


def _check_one_kind(path: Path, content: dict[str, Any]) -> None:
    """All annotations are heads."""
    found = {annotation.get("category_id") for annotation in content["annotations"]}
    if len(found) > 1:
        names = {entry["id"]: str(entry["name"]) for entry in content.get("categories", ())}
        told = ", ".join(sorted(names.get(number, str(number)) for number in found))
        raise DataError(
            f"{path}: its annotations are of {len(found)} categories ({told}); all would be counted as heads: leave in "
            f"those that are to be counted, under one category"
        )


def _point(path: Path, number: int, annotation: dict[str, Any]) -> tuple[float, float]:
    keys = annotation.get("keypoints")
    if keys:
        seen = [keys[at : at + 3] for at in range(0, len(keys), 3) if keys[at + 2] > 0]
        if seen:
            return float(seen[0][0]), float(seen[0][1])
    if "bbox" not in annotation:
        raise DataError(f"{path}: annotation {number} has neither keypoints nor bbox; expected one of them")
    left, top, width, height = annotation["bbox"]
    return left + width / 2, top + height / 2
