"""ShanghaiTech Parts A and B (Zhang et al., CVPR 2016).

Relied on: `train_data/` and `test_data/`, each with `images/IMG_n.jpg` and `ground-truth/GT_IMG_n.mat` (or
`ground_truth/`), whose `image_info{1,1}{1,1}.location` is N×2 (x, y) in pixels. Coordinates are taken as they are:
whether the annotation tool counted from 0 or 1 is nowhere stated, and half a pixel either way is below any sigma used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.benchmark import Benchmark, Sample, Statistics
from harness.data.datasets.pairing import pair_files
from harness.errors import DataError
from harness.files.annotations import image_info_points, read_mat

_FOLDERS = {"train": "train_data", "test": "test_data"}


def index(folder: Path) -> tuple[Sample, ...]:
    """Every image of the part in `folder`, training images first, by number."""
    samples: list[Sample] = []
    for split, name in _FOLDERS.items():
        part = folder / name
        images = part / "images"
        truth = next(
            (part / spelling for spelling in ("ground-truth", "ground_truth") if (part / spelling).is_dir()),
            None,
        )
        if not images.is_dir() or truth is None:
            missing = images if not images.is_dir() else part / "ground-truth"
            raise DataError(
                f"{missing}: no such folder; expected the authors' layout {name}/images, {name}/ground-truth"
            )
        pairs = pair_files(images, r"(IMG_\d+)\.jpg", truth, r"GT_(IMG_\d+)\.mat")
        samples += [Sample(f"{split}/{key}", split, image, annotation) for key, image, annotation in pairs]
    return tuple(samples)


def read_points(sample: Sample) -> np.ndarray:
    """Head points float64 [N, 2] of one image."""
    path = sample.annotation
    assert path is not None
    return image_info_points(path, read_mat(path))


def departures_from(heads: int, copied: int) -> Callable[..., tuple[str, ...]]:
    """What tells a processed copy of a part from its authors' files, by the points alone.

    Args:
        heads: those in the authors' files.
        copied: those in the copy that is passed on without the heads at or over the border of their images.
    """

    def departures(samples: tuple[Sample, ...], points: Mapping[str, np.ndarray]) -> tuple[str, ...]:
        everything = np.concatenate([points[sample.name] for sample in samples]) if samples else np.zeros((0, 2))
        signs = []
        if len(everything) and bool((everything == np.round(everything)).all()):
            signs.append("every head point lies on a whole pixel (the authors' do not): a resized or rounded copy")
        if len(everything) == copied:
            signs.append(
                f"{copied:,} heads: the copy without {heads - copied} of the authors' {heads:,}, those at or over the border "
                f"of their images"
            )
        return tuple(signs)

    return departures


def write(folder: Path, images: int, seed: int) -> None:
    """Drawn scenes in the authors' layout: two thirds train."""
    from harness.data.datasets import drawing

    numbers = {"train": 0, "test": 0}
    for number, (image, points) in enumerate(drawing.scenes(images, seed, 390, 510)):
        split = drawing.split_of(number, images, (("train", 2 / 3), ("test", 1 / 3)))
        numbers[split] += 1
        part, name = folder / _FOLDERS[split], f"IMG_{numbers[split]}"
        drawing.save_image(part / "images" / f"{name}.jpg", image)
        inner = drawing.struct(location=points, number=float(len(points)))
        drawing.save_mat(part / "ground-truth" / f"GT_{name}.mat", image_info=drawing.cell([inner]))


SHTECH_A = Benchmark(
    name="shtech_a",
    title="ShanghaiTech Part A",
    homepage="https://github.com/desenzhou/ShanghaiTechDataset",
    citation="Zhang et al., Single-Image Crowd Counting via Multi-Column Convolutional Neural Network, CVPR 2016",
    how_to_get="its authors offer it through Dropbox and Baidu pages, which a browser must open.",
    expected=(
        "ShanghaiTech/part_A",
        "ShanghaiTech/part_A_final",
        "part_A",
        "part_A_final",
        "shtech_a",
    ),
    index=index,
    write=write,
    read_points=read_points,
    protocol={"version": 1, "coordinates": "as annotated", "true_count": "every annotated head"},
    statistics=Statistics(
        images=482,
        annotations=241_677,
        largest=3_139,
        mean=501.4,
        source="Zhang et al., CVPR 2016, Table 1",
    ),
    departures=departures_from(241_677, 241_275),
)

SHTECH_B = replace(
    SHTECH_A,
    name="shtech_b",
    title="ShanghaiTech Part B",
    expected=(
        "ShanghaiTech/part_B",
        "ShanghaiTech/part_B_final",
        "part_B",
        "part_B_final",
        "shtech_b",
    ),
    statistics=Statistics(
        images=716,
        annotations=88_488,
        largest=578,
        mean=123.6,
        source="Zhang et al., CVPR 2016, Table 1",
    ),
    departures=departures_from(88_488, 88_272),
)
