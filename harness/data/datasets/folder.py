"""One's own data: a folder of pictures with head points beside them.

Pictures lie in the folder itself, or in its `train`, `val`, `test` (or `train_data`, `test_data`), each with or
without `images/`. The points of `NAME.jpg` are in `NAME.txt`, `NAME.csv`, `NAME.json`, `NAME.npy` or `NAME.mat` (also
`GT_NAME.mat`) beside it, or in a folder `ground-truth`, `ground_truth`, `gt`, `annotations`, `labels` or `points`
next to the pictures; or all points of a folder are in one COCO file (`*.json` with `images` and `annotations`): key
points, or the centres of boxes.

Without a folder `test` a fifth of the pictures tests; without a folder `val` `harness.data.splits` holds out the rest.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np

from harness.benchmark import Benchmark, Sample
from harness.data.datasets import coco
from harness.data.datasets.pairing import natural
from harness.errors import DataError
from harness.files.annotations import read_points_file
from harness.files.images import SUFFIXES

POINTS = (".txt", ".csv", ".json", ".npy", ".mat")
TRUTH_FOLDERS = ("ground-truth", "ground_truth", "gt", "annotations", "labels", "points")
SPLIT_FOLDERS = {"train": ("train", "train_data"), "val": ("val", "valid", "validation"), "test": ("test", "test_data")}
TEST_SHARE = 0.2
# A depth map, or heads as dots, of the picture that is called like it but for this.
BESIDE_PICTURES = re.compile(r"(.+)(\.depth|dots)$")


@lru_cache(maxsize=16)
def benchmark_of(folder: Path, taken: frozenset[str]) -> Benchmark:
    """The benchmark that `folder` (absolute) is; its name is the folder's, unlike those `taken`."""
    name = re.sub(r"[^a-z0-9]+", "_", folder.name.lower()).strip("_") or "folder"
    return Benchmark(
        name=f"{name}_folder" if name in taken else name,
        title=folder.name,
        homepage=str(folder),
        citation="",
        expected=(str(folder),),
        index=index,
        read_points=read_points,
        protocol={"version": 2, "coordinates": "as annotated", "true_count": "every annotated head"},
    )


def index(folder: Path) -> tuple[Sample, ...]:
    """Every picture with its points, training first.

    Without a folder for tests a fifth of the pictures, chosen by a hash of their names, is the test set.

    Raises:
        DataError: no pictures, or a picture without points. Points without a picture are left alone: they may be other texts.
    """
    parts = {
        split: next((folder / name for name in names if (folder / name).is_dir()), None)
        for split, names in SPLIT_FOLDERS.items()
    }
    if parts["train"] is None:
        if other := next((part for part in parts.values() if part is not None), None):
            raise DataError(
                f"{folder}: it has a folder {other.name} but none to train on; expected train, or no such folders"
            )
        found = _pairs(folder)
        tested = {name for name, _, _ in sorted(found, key=lambda each: _draw(each[0]))[: _tests(len(found))]}
        samples = [Sample(name, "test" if name in tested else "train", image, truth) for name, image, truth in found]
        return tuple(sorted(samples, key=lambda sample: sample.split, reverse=True))
    samples = []
    for split, part in parts.items():
        if part is not None:
            samples += [Sample(f"{split}/{name}", split, image, truth) for name, image, truth in _pairs(part)]
    if parts["test"] is None:
        raise DataError(f"{folder}: it has a folder train but none for tests; expected test, or no such folders at all")
    return tuple(samples)


def read_points(sample: Sample) -> np.ndarray:
    """Head points float64 [N, 2] of one picture."""
    assert sample.annotation is not None
    if sample.annotation.suffix.lower() == ".json" and coco.is_coco(sample.annotation):
        assert sample.image is not None
        return coco.points_of(sample.annotation, sample.image.name)
    return read_points_file(sample.annotation)


def pictures_in(folder: Path) -> list[Path]:
    """Every picture in `folder` itself, in natural order of names; raises `DataError` where there is none.

    Hidden files are none (macOS writes `._NAME.jpg` on disks of other systems), nor is `NAME.depth.png` or `NAMEdots.png`
    where a picture is called NAME.
    """
    named = [path for path in _files(folder) if path.suffix.lower() in SUFFIXES and not path.is_dir()]
    stems = {path.stem for path in named}
    pictures = [path for path in named if not ((beside := BESIDE_PICTURES.match(path.stem)) and beside[1] in stems)]
    if not pictures:
        raise DataError(f"{folder}: no pictures; expected files ending in {', '.join(SUFFIXES)}")
    for path in pictures:
        check_name(path)
    return sorted(pictures, key=lambda path: natural(path.name))


def check_name(path: Path) -> None:
    """Raises `DataError` where no text file can hold the name of `path`."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise DataError(f"{str(path)!r}: this name is not in UTF-8; rename the file, or its folder") from None


def _files(folder: Path) -> list[Path]:
    """What lies in `folder` and is not hidden, by name."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _alone(pictures: list[Path]) -> list[Path]:
    """`pictures`, of which no two have one name but for what follows the dot: points and results are told by it."""
    seen: dict[str, Path] = {}
    for path in pictures:
        other = seen.setdefault(path.stem, path)
        if other != path:
            raise DataError(
                f"{path.parent}: {other.name} and {path.name} have one name; rename one of them, and its points"
            )
    return pictures


def _tests(pictures: int) -> int:
    return max(1, round(TEST_SHARE * pictures))


def _draw(name: str) -> bytes:
    return hashlib.sha256(f"test/{name}".encode()).digest()


def _pairs(part: Path) -> list[tuple[str, Path, Path]]:
    """(name, picture, points) of each picture in `part`, in natural order."""
    images = part / "images" if (part / "images").is_dir() else part
    pictures = _alone(pictures_in(images))
    places = [images, *(place / name for place in dict.fromkeys((part, images)) for name in TRUTH_FOLDERS)]
    files = _by_stem(place for place in places if place.is_dir())
    catalogue = next((path for place in dict.fromkeys((*places, part)) for path in _catalogues(place)), None)
    if catalogue is not None:
        known = coco.names(catalogue)
        missing = [path for path in pictures if path.name not in known]
        if missing:
            raise DataError(f"{catalogue}: no entry for {missing[0].name}; expected every picture in {images}")
        return [(path.stem, path, catalogue) for path in pictures]
    stems = {path.stem for path in pictures}
    others = [path for path in files.values() if path.suffix.lower() == ".json" and path.stem not in stems]
    return [(path.stem, path, _truth(path, files, others)) for path in pictures]


def _by_stem(places: Iterable[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for place in places:
        for path in _files(place):
            if path.suffix.lower() in POINTS:
                found.setdefault(path.stem.removeprefix("GT_"), path)
    return found


def _truth(picture: Path, files: dict[str, Path], others: list[Path]) -> Path:
    if picture.stem not in files:
        endings = ", ".join(POINTS)
        hint = f"; {others[0].name} is no COCO file: it has no images and annotations" if others else ""
        raise DataError(
            f"{picture}: no points; expected {picture.stem} with one of {endings} beside it or in {TRUTH_FOLDERS[0]}{hint}"
        )
    return files[picture.stem]


def _catalogues(place: Path) -> list[Path]:
    texts = [path for path in _files(place) if path.suffix.lower() == ".json"] if place.is_dir() else []
    return [path for path in texts if coco.is_coco(path)]
