"""UCF-QNRF (Idrees et al., ECCV 2018): large photographs of dense crowds.

Relied on: `Train/` and `Test/`, each with `img_0001.jpg` and `img_0001_ann.mat`, whose `annPoints` is N×2 (x, y) in
pixels, taken as they are. Images above 1920 pixels on their longer side are reduced to that, points with them: nearly
every paper does so, and photographs of 6,000 × 9,000 would decide a comparison by memory alone.
"""

from __future__ import annotations

from pathlib import Path

from harness.benchmark import Benchmark, Download, Sample, Statistics
from harness.data.datasets.pairing import pair_files
from harness.data.datasets.scaling import at_most
from harness.errors import DataError


def index(folder: Path) -> tuple[Sample, ...]:
    """Every image in `folder`, training images first, by number."""
    samples: list[Sample] = []
    for split, name in (("train", "Train"), ("test", "Test")):
        part = folder / name
        if not part.is_dir():
            raise DataError(f"{part}: no such folder; expected the authors' Train and Test")
        pairs = pair_files(part, r"(img_\d+)\.jpg", part, r"(img_\d+)_ann\.mat")
        samples += [Sample(f"{split}/{key}", split, image, annotation) for key, image, annotation in pairs]
    return tuple(samples)


def write(folder: Path, images: int, seed: int) -> None:
    """Drawn scenes in the authors' layout: four fifths train. Every third is above 1920 pixels wide."""
    from harness.data.datasets import drawing

    numbers = {"Train": 0, "Test": 0}
    for number in range(images):
        height, width = (1200, 2000) if number % 3 == 2 else (390, 510)
        ((image, points),) = drawing.scenes(1, seed + number, height, width)
        split = drawing.split_of(number, images, (("Train", 0.8), ("Test", 0.2)))
        numbers[split] += 1
        name = f"img_{numbers[split]:04d}"
        drawing.save_image(folder / split / f"{name}.jpg", image)
        drawing.save_mat(folder / split / f"{name}_ann.mat", annPoints=points)


UCF_QNRF = at_most(
    1920,
    Benchmark(
        name="ucf_qnrf",
        title="UCF-QNRF",
        homepage="https://www.crcv.ucf.edu/data/ucf-qnrf/",
        citation="Idrees et al., Composition Loss for Counting, Density Map Estimation and Localization in Dense "
        "Crowds, ECCV 2018",
        downloads=(Download("https://www.crcv.ucf.edu/data/ucf-qnrf/UCF-QNRF_ECCV18.zip", size=4_552_702_871),),
        expected=("UCF-QNRF_ECCV18", "UCF-QNRF", "ucf_qnrf"),
        index=index,
        write=write,
        protocol={"version": 1, "coordinates": "as annotated", "true_count": "every annotated head"},
        statistics=Statistics(
            images=1_535,
            annotations=1_251_642,
            largest=12_865,
            mean=815.4,
            source="Idrees et al., ECCV 2018; Chen et al. (SSR-HEF), Table II",
        ),
    ),
)
