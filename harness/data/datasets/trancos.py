"""TRANCOS (Guerrero-Gómez-Olmedo et al., IbPRIA 2015): vehicles in traffic jams, measured by GAME.

Relied on: `images/image-1-000001.jpg` with `….txt` (a line x y of whole pixels a vehicle) or, where that is missing,
`…dots.png` (red dots on black), and `…mask.mat` with the region `BW`; `image_sets/training.txt`, `validation.txt`,
`test.txt` with file names. The texts were written by MATLAB, whose first pixel is (1, 1): a vehicle's point is the
centre of its pixel.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from harness.benchmark import Benchmark, Download, Sample, Statistics
from harness.data.regions import polygon_mask
from harness.errors import DataError, printable
from harness.files.annotations import checked_points, checked_region, read_lines, variable
from harness.files.images import read_image

SETS = {"train": "training.txt", "val": "validation.txt", "test": "test.txt"}
HALF = 0.5
NAME = re.compile(r"\w[\w.-]{0,199}")  # nothing that leads to another folder


def index(folder: Path) -> tuple[Sample, ...]:
    """Every image of the authors' three sets, in the order of their lists."""
    samples: list[Sample] = []
    for split, name in SETS.items():
        path = folder / "image_sets" / name
        for entry in " ".join(read_lines(path)).split():
            if not NAME.fullmatch(entry):
                raise DataError(f"{path}: lists {printable(entry, 60)!r}; expected names of images, one a line")
            image = folder / "images" / entry
            stem = image.with_suffix("")
            truth = stem.with_suffix(".txt")
            if not truth.is_file():
                truth = Path(f"{stem}dots.png")
            region = Path(f"{stem}mask.mat")
            for needed in (image, truth, region):
                if not needed.is_file():
                    raise DataError(f"{needed}: no such file; {path.name} lists {entry}")
            samples.append(Sample(f"{split}/{stem.name}", split, image, truth, {}, (region,)))
    return tuple(samples)


def read_points(sample: Sample) -> np.ndarray:
    """Vehicle points float64 [N, 2] of one image."""
    path = sample.annotation
    assert path is not None
    if path.suffix == ".png":
        rows, columns = np.nonzero(read_image(path, 3)[:, :, 0] > 127)
        return np.column_stack([columns, rows]).astype(float) + HALF
    values = [line.split()[:2] for line in read_lines(path) if line.strip()]
    return checked_points(path, values) - HALF


def read_roi(sample: Sample) -> np.ndarray:
    """bool [H, W]."""
    return checked_region(sample.extra[0], variable(sample.extra[0], "BW"))


def write(folder: Path, images: int, seed: int) -> None:
    """Drawn scenes in the authors' layout: a third each for training, validation and test. Points lie on pixel centres."""
    from harness.data.datasets import drawing

    height, width = 480, 640
    lists: dict[str, list[str]] = {split: [] for split in SETS}
    for number, (image, points) in enumerate(drawing.scenes(images, seed, height, width), 1):
        split = drawing.split_of(number - 1, images, tuple((name, 1 / 3) for name in SETS))
        name = f"image-1-{number:06d}"
        lists[split].append(f"{name}.jpg")
        drawing.save_image(folder / "images" / f"{name}.jpg", image)
        pixels = np.floor(points).astype(int)
        text = "".join(f"{x + 1}\t{y + 1}\n" for x, y in pixels)
        (folder / "images" / f"{name}.txt").write_text(text, encoding="utf-8")
        dots = np.zeros((height, width, 3), np.uint8)
        dots[pixels[:, 1], pixels[:, 0], 0] = 255
        drawing.save_image(folder / "images" / f"{name}dots.png", dots)
        mask = polygon_mask(drawing.trapezium(height, width), height, width)
        drawing.save_mat(folder / "images" / f"{name}mask.mat", BW=mask.astype(np.uint8))
    for split, names in lists.items():
        path = folder / "image_sets" / SETS[split]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(names) + "\n", encoding="utf-8")


TRANCOS = Benchmark(
    name="trancos",
    title="TRANCOS",
    homepage="https://gram.web.uah.es/data/datasets/trancos/index.html",
    citation="Guerrero-Gómez-Olmedo et al., Extremely Overlapping Vehicle Counting, IbPRIA 2015",
    downloads=(Download("http://agamenon.tsc.uah.es/Personales/rlopez/data/trancos/TRANCOS_v3.tar.gz"),),
    expected=("TRANCOS_v3", "TRANCOS", "trancos"),
    index=index,
    write=write,
    read_points=read_points,
    read_roi=read_roi,
    protocol={
        "version": 1,
        "coordinates": "MATLAB's, minus half a pixel",
        "true_count": "annotated vehicles inside the region of interest",
    },
    statistics=Statistics(
        images=1_244, annotations=46_796, mean=37.6, source="Guerrero-Gómez-Olmedo et al., IbPRIA 2015"
    ),
)
