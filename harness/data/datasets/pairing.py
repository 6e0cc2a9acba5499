"""Images and annotations found by name, and nothing left over."""

from __future__ import annotations

import re
from pathlib import Path

from harness.errors import DataError


def natural(name: str) -> list[tuple[int, str]]:
    """A sorting key that puts IMG_2 before IMG_10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def pair_files(
    images: Path, image_pattern: str, annotations: Path, annotation_pattern: str
) -> list[tuple[str, Path, Path]]:
    """(key, image, annotation) for every image, in natural order; the key is the first group of each pattern.

    Raises:
        DataError: an image without its annotation, the reverse, or no image at all.
    """
    image_files = _by_key(images, image_pattern)
    annotation_files = _by_key(annotations, annotation_pattern)
    if not image_files:
        raise DataError(f"{images}: no image named like {image_pattern!r}")
    alone = sorted(image_files.keys() - annotation_files.keys(), key=natural)
    if alone:
        raise DataError(
            f"{image_files[alone[0]]}: image without annotation; expected a file like {annotation_pattern!r} in "
            f"{annotations}{_others(alone)}"
        )
    orphans = sorted(annotation_files.keys() - image_files.keys(), key=natural)
    if orphans:
        raise DataError(
            f"{annotation_files[orphans[0]]}: annotation without image; expected a file like {image_pattern!r} in "
            f"{images}{_others(orphans)}"
        )
    return [(key, image_files[key], annotation_files[key]) for key in sorted(image_files, key=natural)]


def _others(keys: list[str]) -> str:
    return f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""


def _by_key(folder: Path, pattern: str) -> dict[str, Path]:
    matcher = re.compile(pattern, re.IGNORECASE)
    found = ((matcher.fullmatch(path.name), path) for path in folder.iterdir())
    return {match.group(1): path for match, path in found if match}
