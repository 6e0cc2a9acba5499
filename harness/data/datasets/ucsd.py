"""UCSD pedestrians (Chan et al., CVPR 2008): 2,000 small grey frames of a walkway.

Relied on: the folders `vidf1_33_000.y` … `vidf1_33_009.y` of 200 frames `vidf1_33_000_f001.png` each (in
`ucsdpeds/vidf`, `video/vidf` or the folder itself), and beside them (in `vidf-cvpr`, `gt/vidf` or the folder itself)
`vidf1_33_000_frame_full.mat` …, whose `frame` (or `fgt.frame`) has one struct a frame with `loc` N×2 or N×3 (x, y,
…), `vidf1_33_roi_mainwalkway.mat` with `roi.mask`, and `vidf1_33_dmap3.mat` with `dmap.pmapxy`, the perspective.
MATLAB's first pixel has its centre at (1, 1): half a pixel is taken off. Frames 601–1400 train, the others test.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from harness.benchmark import Benchmark, Download, Sample, Statistics
from harness.data.datasets.frames import ALIKE, locations, points_of
from harness.data.datasets.pairing import natural
from harness.data.regions import polygon_mask
from harness.errors import DataError
from harness.files.annotations import NOT_SUCH_A_STRUCT, checked_perspective, checked_region, shared_variable

FIRST, LAST = 3, 7  # of the ten clips, those that train, the last excluded: frames 601–1400
CLIPS = 10
HALF = 0.5
REGION, PERSPECTIVE = "vidf1_33_roi_mainwalkway.mat", "vidf1_33_dmap3.mat"


def index(folder: Path) -> tuple[Sample, ...]:
    """Every frame in order; frames 601–1400 train."""
    videos = _place(folder, ("ucsdpeds/vidf", "video/vidf", "vidf", "."), "vidf1_33_000.y")
    truth = _place(folder, ("vidf-cvpr", "gt/vidf", "."), "vidf1_33_000_frame_full.mat")
    samples: list[Sample] = []
    for clip in range(CLIPS):
        name = f"vidf1_33_{clip:03d}"
        images = sorted((videos / f"{name}.y").glob(f"{name}_f*.png"), key=lambda path: natural(path.name))
        path = truth / f"{name}_frame_full.mat"
        annotated = len(locations(path))
        if len(images) != annotated:
            raise DataError(f"{videos / name}.y: {len(images)} frames, but {path.name} annotates {annotated}")
        for image in images:
            split = "train" if FIRST <= clip < LAST else "test"
            frame = int(re.findall(r"\d+", image.stem)[-1]) - 1
            extra = (truth / REGION, truth / PERSPECTIVE)
            samples.append(Sample(image.stem, split, image, path, {"frame": str(frame)}, extra))
    return tuple(samples)


def _place(folder: Path, places: tuple[str, ...], needed: str) -> Path:
    for place in places:
        if (folder / place / needed).exists():
            return folder / place
    raise DataError(f"{folder}: no {needed}; expected it in {' or '.join(places)}")


def read_points(sample: Sample) -> np.ndarray:
    """Head points float64 [N, 2] of one frame."""
    assert sample.annotation is not None
    return points_of(sample.annotation, int(sample.groups["frame"])) - HALF


def read_roi(sample: Sample) -> np.ndarray:
    """bool [H, W]: the walkway."""
    return checked_region(sample.extra[0], _field(sample.extra[0], "roi", "mask"))


def read_perspective(sample: Sample) -> np.ndarray:
    """float32 [H, W]: how many times larger a person here covers pixels than at the far end, as the root of an area."""
    areas = checked_perspective(sample.extra[1], _field(sample.extra[1], "dmap", "pmapxy"))
    return np.sqrt(1.0 / areas)


def _field(path: Path, name: str, field: str) -> Any:
    try:
        return shared_variable(path, name)[field][0, 0]
    except NOT_SUCH_A_STRUCT:
        raise DataError(f"{path}: {name!r} has no field {field!r}; expected the authors' struct") from None


def write(folder: Path, images: int, seed: int) -> None:
    """Drawn frames in the authors' layout: ten clips of equally many."""
    import cv2

    from harness.data.datasets import drawing

    height, width = 158, 238
    each = -(-images // CLIPS)
    drawn = drawing.scenes(each * CLIPS, seed, height, width)
    for clip in range(CLIPS):
        name = f"vidf1_33_{clip:03d}"
        frames = []
        for number in range(1, each + 1):
            image, points = next(drawn)
            picture = folder / "ucsdpeds" / "vidf" / f"{name}.y" / f"{name}_f{number:03d}.png"
            drawing.save_image(picture, cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
            frames.append(drawing.struct(loc=np.column_stack([points + HALF, np.ones(len(points))])))
        drawing.save_mat(folder / "vidf-cvpr" / f"{name}_frame_full.mat", frame=drawing.cell(frames))
    mask = polygon_mask(drawing.trapezium(height, width), height, width)
    drawing.save_mat(folder / "vidf-cvpr" / REGION, roi=drawing.struct(mask=mask.astype(np.uint8)))
    weights = (1 / drawing.plane_perspective(height, width)) ** 2
    drawing.save_mat(folder / "vidf-cvpr" / PERSPECTIVE, dmap=drawing.struct(pmapxy=weights / weights[-1, 0]))


UCSD = Benchmark(
    name="ucsd",
    title="UCSD pedestrians",
    homepage="http://www.svcl.ucsd.edu/projects/peoplecnt/",
    citation="Chan et al., Privacy Preserving Crowd Monitoring: Counting People without People Models or Tracking, CVPR 2008",
    downloads=(
        Download("http://www.svcl.ucsd.edu/projects/peoplecnt/db/ucsdpeds.zip"),
        Download("http://www.svcl.ucsd.edu/projects/peoplecnt/db/vidf-cvpr.zip"),
    ),
    expected=("UCSD", "ucsd", "ucsdpeds"),
    index=index,
    write=write,
    read_points=read_points,
    read_roi=read_roi,
    read_perspective=read_perspective,
    alike=ALIKE,
    protocol={
        "version": 1,
        "coordinates": "MATLAB's, minus half a pixel",
        "true_count": "annotated heads inside the region of interest",
    },
    statistics=Statistics(
        images=2_000,
        annotations=49_885,
        largest=46,
        mean=24.9,
        source="Chan et al., CVPR 2008; counts inside the walkway",
        errata={
            "annotations": "the authors' own files hold 49,496 heads inside the walkway, as their own counts of each frame "
            "say; papers print 49,885",
            "largest": "the authors' own files hold 45 heads inside the walkway in the fullest frame; papers print 46",
            "mean": "24.7 in the authors' own files; papers print 24.9",
        },
        in_region=True,
    ),
)
