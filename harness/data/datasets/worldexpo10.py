"""WorldExpo'10 (Zhang et al., CVPR 2015): frames of 108 surveillance cameras, a region of interest and a perspective map each.

Relied on: `train_frame/SCENE….jpg`, `test_frame/SCENE/….jpg`; `train_label/SCENE/FRAME.mat` and
`test_label/SCENE/FRAME.mat` with `point_position` N×2; in each label folder `roi.mat` with the polygon
`maskVerticesXCoordinates`, `maskVerticesYCoordinates`; `train_perspective/SCENE.mat` and `test_perspective/SCENE.mat`
with `pMap`, pixels a metre. A scene is the six digits that begin a frame's name. Everything was clicked in MATLAB,
whose first pixel has its centre at (1, 1): half a pixel is taken off.

Only heads inside the region count. Where the recipe wants it, sigma is 0.2 m at every head (the head of the authors'
person-shaped kernel). The five test scenes, in the order of their numbers, are S1 … S5; what papers compare is the mean of
their MAEs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.benchmark import Benchmark, Sample, Statistics
from harness.data.datasets.pairing import pair_files
from harness.data.regions import polygon_mask
from harness.errors import DataError
from harness.files.annotations import checked_perspective, checked_points, shared_variable, variable

TEST_SCENES = ("104207", "200608", "200702", "202201", "500717")
HALF = 0.5  # from MATLAB's pixel centres at whole numbers from 1 to edges at whole numbers from 0
ROI = "roi.mat"


def index(folder: Path) -> tuple[Sample, ...]:
    """Every frame by split, scene and name; group "scene" is S1 … S5 for test frames, else the camera's number."""
    samples = _frames(folder, "train", folder / "train_frame", None)
    tests = folder / "test_frame"
    if not tests.is_dir():
        raise DataError(
            f"{tests}: no such folder; expected the authors' train_frame, test_frame, train_label, test_label"
        )
    scenes = sorted(path.name for path in tests.iterdir() if path.is_dir())
    for number, scene in enumerate(scenes, 1):
        samples += _frames(folder, "test", tests / scene, f"S{number}")
    return tuple(samples)


def _frames(folder: Path, split: str, images: Path, group: str | None) -> list[Sample]:
    labels = folder / f"{split}_label"
    for needed in (images, labels):
        if not needed.is_dir():
            raise DataError(f"{needed}: no such folder; expected the authors' {split}_frame and {split}_label")
    samples = []
    scenes = {group and images.name} if group else {path.name for path in labels.iterdir() if path.is_dir()}
    for scene in sorted(filter(None, scenes)):
        pairs = pair_files(images, rf"({scene}.*)\.jpg", labels / scene, r"(?!roi\.mat)(.*)\.mat")
        region, perspective = labels / scene / ROI, folder / f"{split}_perspective" / f"{scene}.mat"
        for path in (region, perspective):
            if not path.is_file():
                raise DataError(f"{path}: no such file; expected one for every scene")
        samples += [
            Sample(f"{split}/{key}", split, image, annotation, {"scene": group or scene}, (region, perspective))
            for key, image, annotation in pairs
        ]
    return samples


def read_points(sample: Sample) -> np.ndarray:
    """Head points float64 [N, 2] of one frame, those outside the region included."""
    assert sample.annotation is not None
    return checked_points(sample.annotation, variable(sample.annotation, "point_position")) - HALF


def read_roi(sample: Sample) -> np.ndarray:
    """bool [H, W]: the region of interest of the frame's scene."""
    from harness.data.datasets.scaling import image_size

    path, width_height = sample.extra[0], image_size(sample)
    x, y = (np.ravel(shared_variable(path, f"maskVertices{axis}Coordinates")) for axis in "XY")
    if len(x) < 3 or len(x) != len(y):
        raise DataError(f"{path}: a polygon of {len(x)} x and {len(y)} y; expected as many of both, three or more")
    vertices = checked_points(path, np.column_stack([x, y])) - HALF
    return polygon_mask(vertices, width_height[1], width_height[0])


def read_perspective(sample: Sample) -> np.ndarray:
    """float32 [H, W]: pixels a metre at each pixel."""
    return checked_perspective(sample.extra[1], shared_variable(sample.extra[1], "pMap"))


def write(folder: Path, images: int, seed: int) -> None:
    """Drawn frames in the authors' layout: three training scenes, the five test scenes, two thirds of the frames train."""
    from harness.data.datasets import drawing

    height, width = 576, 720
    region = drawing.trapezium(height, width) + HALF
    cameras = {"train": ("100010", "100020", "104242"), "test": TEST_SCENES}
    frames = {
        "train": max(len(cameras["train"]), round(images * 2 / 3)),
        "test": max(len(cameras["test"]), images - round(images * 2 / 3)),
    }
    drawn = drawing.scenes(sum(frames.values()), seed, height, width)
    for split, scenes in cameras.items():
        for scene in scenes:
            labels = folder / f"{split}_label" / scene
            vertices = {
                f"maskVertices{axis}Coordinates": region[:, place : place + 1] for place, axis in enumerate("XY")
            }
            drawing.save_mat(labels / ROI, **vertices)
            perspective = drawing.plane_perspective(height, width)
            drawing.save_mat(folder / f"{split}_perspective" / f"{scene}.mat", pMap=perspective)
        for number in range(frames[split]):
            image, points = next(drawn)
            scene = scenes[number % len(scenes)]
            name = f"{scene}_C01-01-S20100601_{number:04d}"
            place = folder / f"{split}_frame" / (scene if split == "test" else ".")
            drawing.save_image(place / f"{name}.jpg", image)
            drawing.save_mat(folder / f"{split}_label" / scene / f"{name}.mat", point_position=points + HALF)


WORLDEXPO10 = Benchmark(
    name="worldexpo10",
    title="WorldExpo'10",
    homepage="http://www.ee.cuhk.edu.hk/~xgwang/expo.html",
    citation="Zhang et al., Cross-scene Crowd Counting via Deep Convolutional Neural Networks, CVPR 2015",
    how_to_get="its authors send it on request, to those who sign their agreement.",
    expected=("WorldExpo10", "worldexpo10", "WorldExpo'10"),
    index=index,
    write=write,
    read_points=read_points,
    read_roi=read_roi,
    read_perspective=read_perspective,
    sigma_metres=0.2,
    protocol={
        "version": 2,
        "coordinates": "MATLAB's, minus half a pixel",
        "true_count": "annotated heads inside the region of interest",
        "mean_of": "scene",
    },
    statistics=Statistics(
        images=3_980,
        annotations=199_923,
        largest=253,
        mean=50.2,
        source="Zhang et al., CVPR 2015; Chen et al. (SSR-HEF), Table II",
    ),
)
