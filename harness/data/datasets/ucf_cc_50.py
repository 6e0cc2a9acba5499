"""UCF_CC_50 (Idrees et al., CVPR 2013): 50 grey images of dense crowds, five-fold cross-validation.

Relied on: `n.jpg` and `n_ann.mat` (n = 1 … 50) in one folder; `annPoints` is N×2 (x, y) in pixels. The authors do not
publish their folds; as most later code does, fold k tests images 10k+1 … 10k+10, and each record names its images.
"""

from __future__ import annotations

from pathlib import Path

from harness.benchmark import Benchmark, Sample, Statistics
from harness.data.datasets.pairing import pair_files

FOLDS = 5


def index(folder: Path) -> tuple[Sample, ...]:
    """The images in `folder` by number; `groups["fold"]` names the fold that tests each."""
    pairs = pair_files(folder, r"(\d+)\.jpg", folder, r"(\d+)_ann\.mat")
    return tuple(
        Sample(key, "", image, annotation, {"fold": str(number * FOLDS // len(pairs))})
        for number, (key, image, annotation) in enumerate(pairs)
    )


def write(folder: Path, images: int, seed: int) -> None:
    """Drawn grey scenes in the authors' layout."""
    import cv2

    from harness.data.datasets import drawing

    for number, (image, points) in enumerate(drawing.scenes(images, seed, 390, 510), 1):
        drawing.save_image(folder / f"{number}.jpg", cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
        drawing.save_mat(folder / f"{number}_ann.mat", annPoints=points)


UCF_CC_50 = Benchmark(
    name="ucf_cc_50",
    title="UCF_CC_50",
    homepage="https://www.crcv.ucf.edu/data/ucf-cc-50/",
    citation="Idrees et al., Multi-Source Multi-Scale Counting in Extremely Dense Crowd Images, CVPR 2013",
    how_to_get="its authors offer a RAR archive, which needs unrar or 7z.",
    expected=("UCF_CC_50", "ucf_cc_50", "UCF_CC_50/UCF_CC_50"),
    index=index,
    write=write,
    folds=FOLDS,
    protocol={
        "version": 1,
        "coordinates": "as annotated",
        "true_count": "every annotated head",
        "folds": "consecutive tens by image number",
    },
    statistics=Statistics(
        images=50,
        annotations=63_974,
        largest=4_543,
        mean=1_279.5,
        source="Idrees et al., CVPR 2013",
        errata={"largest": "the authors' own files hold 4,633 heads in the fullest image; papers print 4,543"},
    ),
)
