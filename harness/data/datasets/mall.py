"""Mall (Chen et al., BMVC 2012): 2,000 frames of one camera in a shopping centre.

Relied on: `frames/seq_000001.jpg` …, `mall_gt.mat` whose cell `frame` has one struct a frame with `loc` N×2, and
`perspective_roi.mat` with `pMapN` and `roi.mask`. `pMapN` weighs the area of pixels, as UCSD's map does: in the authors' file
1/√pMapN grows evenly with the row, as pixels a metre on a floor do. MATLAB's first pixel has its centre
at (1, 1): half a pixel is taken off. The first 800 frames train, the other 1,200 test.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.benchmark import Benchmark, Download, Sample, Statistics
from harness.data.datasets.frames import ALIKE, locations, points_of
from harness.data.datasets.pairing import natural
from harness.data.regions import polygon_mask
from harness.errors import DataError
from harness.files.annotations import NOT_SUCH_A_STRUCT, checked_perspective, checked_region, shared_variable

TRAINING = 800 / 2000  # of the frames, the first ones
HALF = 0.5
TRUTH, PERSPECTIVE = "mall_gt.mat", "perspective_roi.mat"


def index(folder: Path) -> tuple[Sample, ...]:
    """Every frame in order; the first 800 train."""
    frames = folder / "frames"
    if not frames.is_dir():
        raise DataError(f"{frames}: no such folder; expected the authors' frames, {TRUTH} and {PERSPECTIVE}")
    images = sorted(frames.glob("seq_*.jpg"), key=lambda path: natural(path.name))
    annotated = len(locations(folder / TRUTH))
    if len(images) != annotated:
        raise DataError(f"{frames}: {len(images)} frames, but {TRUTH} annotates {annotated}")
    return tuple(
        Sample(
            path.stem,
            "train" if number < TRAINING * len(images) else "test",
            path,
            folder / TRUTH,
            {"frame": str(number)},
            (folder / PERSPECTIVE,),
        )
        for number, path in enumerate(images)
    )


def read_points(sample: Sample) -> np.ndarray:
    """Head points float64 [N, 2] of one frame."""
    assert sample.annotation is not None
    return points_of(sample.annotation, int(sample.groups["frame"])) - HALF


def read_roi(sample: Sample) -> np.ndarray:
    """bool [H, W]."""
    path = sample.extra[0]
    try:
        mask = shared_variable(path, "roi")["mask"][0, 0]
    except NOT_SUCH_A_STRUCT:
        raise DataError(f"{path}: 'roi' has no field 'mask'; expected the authors' struct") from None
    return checked_region(path, mask)


def read_perspective(sample: Sample) -> np.ndarray:
    """float32 [H, W]: pixels a metre up to a factor."""
    areas = checked_perspective(sample.extra[0], shared_variable(sample.extra[0], "pMapN"))
    return np.sqrt(1.0 / areas)


def write(folder: Path, images: int, seed: int) -> None:
    """Drawn frames in the authors' layout."""
    from harness.data.datasets import drawing

    height, width = 480, 640
    frames = []
    for number, (image, points) in enumerate(drawing.scenes(images, seed, height, width), 1):
        drawing.save_image(folder / "frames" / f"seq_{number:06d}.jpg", image)
        frames.append(drawing.struct(loc=points + HALF))
    drawing.save_mat(
        folder / TRUTH, frame=drawing.cell(frames), count=np.array([[len(f["loc"][0, 0])] for f in frames])
    )
    mask = polygon_mask(drawing.trapezium(height, width), height, width)
    weights = (1 / drawing.plane_perspective(height, width)) ** 2
    drawing.save_mat(
        folder / PERSPECTIVE, pMapN=weights / weights[-1, 0], roi=drawing.struct(mask=mask.astype(np.uint8))
    )


MALL = Benchmark(
    name="mall",
    title="Mall",
    homepage="https://personal.ie.cuhk.edu.hk/~ccloy/downloads_mall_dataset.html",
    citation="Chen et al., Feature Mining for Localised Crowd Counting, BMVC 2012",
    downloads=(Download("https://personal.ie.cuhk.edu.hk/~ccloy/files/datasets/mall_dataset.zip"),),
    expected=("mall_dataset", "Mall", "mall"),
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
        annotations=62_325,
        largest=53,
        mean=31.2,
        source="Chen et al., BMVC 2012",
        errata={
            "annotations": "the authors' own file holds 62,315 heads (62,311 inside the region), as its own counts of each "
            "frame say; papers print 62,325"
        },
    ),
)
