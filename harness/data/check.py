"""Reads every file of a benchmark and tells apart what is wrong from what merely differs from what was published."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness.benchmark import Benchmark, Sample, Statistics
from harness.data.regions import points_inside
from harness.data.splits import require_images, split
from harness.errors import DataError
from harness.files.annotations import inside
from harness.files.images import exif_orientation

LISTED = 10  # lines of one kind before "and n more"
IN_REGION = " in the region"
Row = tuple[str, Any, Any]


@dataclass(frozen=True)
class Check:
    """What was found. `rows` are (what, found, published or None); `wrong` stops use, `differs` and `noted` do not.

    `split`: how many images train, validate and test (in the first fold, where there are folds); empty where none were found.
    """

    name: str
    title: str
    source: str
    rows: list[Row]
    wrong: list[str]
    differs: list[str]
    noted: list[str]
    split: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The check as one JSON object."""
        return asdict(self)


def check(benchmark: Benchmark, folder: Path) -> Check:
    """Reads every image and annotation of `benchmark` in `folder`."""
    wrong: dict[str, None] = {}  # once each: a damaged file may belong to many pictures
    outside: list[str] = []
    repeated: list[str] = []
    rotated: list[str] = []
    empty: list[str] = []
    inner: list[int] = []
    uncounted = 0
    points_of: dict[str, np.ndarray] = {}
    sides: list[tuple[int, int]] = []
    try:
        samples = benchmark.index(folder)
    except DataError as error:
        return Check(benchmark.name, benchmark.title, "", [], [str(error)], [], [])
    parts = split(benchmark, samples)
    try:
        require_images(parts, folder)
    except DataError as error:
        wrong[str(error)] = None
    few = len(wrong)  # of what is wrong, no file
    for sample in samples:
        try:
            image = benchmark.read_image(sample, 3)
            points = benchmark.read_points(sample)
        except DataError as error:
            wrong[str(error)] = None
            continue
        height, width = image.shape[:2]
        sides.append((height, width))
        points_of[sample.name] = points
        stray = points[~inside(points, height, width)]
        where = sample.annotation or sample.name
        outside += [f"{where}: point ({x:.1f}, {y:.1f}) outside {width}×{height}" for x, y in stray]
        if benchmark.read_roi:
            try:
                inner.append(_inside_region(benchmark.read_roi(sample), points, (height, width), sample))
                uncounted += len(points) - inner[-1]
            except DataError as error:
                wrong[str(error)] = None
        duplicates = len(points) - len(np.unique(points, axis=0)) if len(points) else 0
        if duplicates:
            repeated.append(f"{where}: {duplicates} repeated points")
        if not len(points):
            empty.append(f"{where}: no heads")
        if sample.image is not None and exif_orientation(sample.image.read_bytes()) != 1:
            rotated.append(f"{sample.image}: EXIF orientation, applied on reading")
    counts = [len(points) for points in points_of.values()]
    rows: list[Row] = [("images", len(samples), benchmark.statistics.images)]
    rows += _heads(benchmark.statistics, counts, inner)
    rows.append(("points outside the frame", len(outside), None))
    if benchmark.read_roi:
        rows.append(("points outside the region", uncounted, None))
    rows.append(("unreadable files", len(wrong) - few, None))
    readable = tuple(sample for sample in samples if sample.name in points_of)
    differs = _differences(benchmark, rows, readable, points_of, sides)
    noted = [*_some(outside), *_some(repeated), *_some(empty), *_some(rotated)]
    if parts.warning() and not few:
        noted.append(parts.warning())
    source = benchmark.statistics.source
    return Check(benchmark.name, benchmark.title, source, rows, list(wrong), differs, noted, parts.sizes)


def _inside_region(region: np.ndarray, points: np.ndarray, shape: tuple[int, int], sample: Sample) -> int:
    if region.shape != shape:
        its, own = (" × ".join(map(str, sides)) for sides in (region.shape, shape))
        file = f" in {sample.extra[0].name}" if sample.extra else ""
        raise DataError(f"{sample.image}: {own} pixels, but its region of interest{file} has {its}; expected as many")
    return len(points_inside(points, region))


def _heads(published: Statistics, counts: list[int], inner: list[int]) -> list[Row]:
    """How many heads there are, compared where the publication counted them: in the frame, or in the region alone."""
    rows: list[Row] = [("annotations", sum(counts), None)] if published.in_region else []
    where, compared = (IN_REGION, inner) if published.in_region else ("", counts)
    mean = round(sum(compared) / len(compared), 1) if compared else 0.0
    return [
        *rows,
        (f"annotations{where}", sum(compared), published.annotations),
        (f"largest{where}", max(compared, default=0), published.largest),
        (f"mean{where}", mean, published.mean),
    ]


def _differences(
    benchmark: Benchmark,
    rows: list[Row],
    samples: tuple[Sample, ...],
    points: dict[str, np.ndarray],
    sides: list[tuple[int, int]],
) -> list[str]:
    lines = []
    for what, found, expected in rows:
        number = what.removesuffix(IN_REGION)
        tolerance = 0.06 if number == "mean" else 0  # a mean is printed with one digit
        if expected is not None and abs(found - expected) > tolerance:
            known = benchmark.statistics.errata.get(number)
            lines.append(f"{what}: found {found:,}, published {expected:,}" + (f" (known: {known})" if known else ""))
    if benchmark.departures:
        lines += benchmark.departures(samples, points)
    # Cameras give one size, often such a one; photographs of many sizes do not all happen to have it.
    if len(set(sides)) > 1 and all(height % 32 == 0 and width % 32 == 0 for height, width in sides):
        lines.append("every image side is a multiple of 32: the images were resized")
    return lines


def _some(lines: list[str]) -> list[str]:
    if len(lines) <= LISTED:
        return lines
    return [*lines[:LISTED], f"… and {len(lines) - LISTED} more like the last"]
