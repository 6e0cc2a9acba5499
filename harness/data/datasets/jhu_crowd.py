"""JHU-CROWD (Sindagi et al., ICCV 2019) and JHU-CROWD++ (TPAMI 2020): weather, distractors, and counts from none to 25,791.

Relied on: `train/`, `val/`, `test/`, each with `images/0001.jpg`, `gt/0001.txt` and `image_labels.txt`. A line of
`gt` is one head: x y w h occlusion blur, blank-separated, (x, y) the centre of the head in pixels, w and h about its
width and height, all taken as they are; an image without people has an empty file. A line of `image_labels.txt` is
name, count, scene, weather (0 none, 1 fog, 2 rain, 3 snow), distractor (0 or 1), comma-separated.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.benchmark import Benchmark, Sample, Statistics
from harness.data.datasets.pairing import pair_files
from harness.errors import DataError, printable
from harness.files.annotations import checked_points, read_lines

SPLITS = ("train", "val", "test")
LOW, MEDIUM = 50, 500  # the authors' levels: up to 50 heads, up to 500, more


def index(folder: Path) -> tuple[Sample, ...]:
    """Every image in `folder` by split and number, with its groups: level, weather, distractor, scene."""
    samples: list[Sample] = []
    for split in SPLITS:
        part = folder / split
        for needed in (part / "images", part / "gt"):
            if not needed.is_dir():
                raise DataError(f"{needed}: no such folder; expected the authors' train, val, test with images and gt")
        labels = _labels(part / "image_labels.txt")
        for key, image, annotation in pair_files(part / "images", r"(\d+)\.jpg", part / "gt", r"(\d+)\.txt"):
            if key not in labels:
                raise DataError(f"{part / 'image_labels.txt'}: no line for image {key}; expected one for every image")
            samples.append(Sample(f"{split}/{key}", split, image, annotation, labels[key]))
    return tuple(samples)


def read_points(sample: Sample) -> np.ndarray:
    """Head centres float64 [N, 2] of one image."""
    return checked_points(_file(sample), _columns(sample, 0))


def read_boxes(sample: Sample) -> np.ndarray:
    """Width and height of the same heads in pixels, float64 [N, 2]."""
    values = _columns(sample, 2)
    if any(len(row) < 2 for row in values) or not np.isfinite(boxes := np.array(values, float).reshape(-1, 2)).all():
        raise DataError(f"{_file(sample)}: heads without width and height; expected x y w h occlusion blur")
    return boxes


def _file(sample: Sample) -> Path:
    assert sample.annotation is not None
    return sample.annotation


def _columns(sample: Sample, first: int) -> list[list[float]]:
    """Two columns of every line, from the one numbered `first`."""
    lines = [line.split() for line in read_lines(_file(sample)) if line.strip()]
    try:
        return [[float(value) for value in line[first : first + 2]] for line in lines]
    except ValueError:
        raise DataError(f"{_file(sample)}: not lines of numbers; expected x y w h occlusion blur") from None


def level(count: int) -> str:
    """Low, Medium or High: the authors' three levels of density."""
    return "Low" if count <= LOW else "Medium" if count <= MEDIUM else "High"


def _labels(path: Path) -> dict[str, dict[str, str]]:
    labels = {}
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        try:
            name, count, scene, weather, distractor = (part.strip() for part in line.split(","))
            labels[name] = {
                "level": level(int(count)),
                "weather": "Weather" if int(weather) else "none",
                "distractor": "Distractors" if int(distractor) else "none",
                "scene": scene,
            }
        except ValueError:
            raise DataError(
                f"{path}: line {number} is {printable(line, 60)!r}; expected name, count, scene, weather, distractor"
            ) from None
    return labels


def write(folder: Path, images: int, seed: int) -> None:
    """Drawn scenes in the authors' layout: half train, a quarter each for val and test; one in five shows nobody."""
    from harness.data.datasets import drawing

    labels: dict[str, list[str]] = {split: [] for split in SPLITS}
    for number, (image, points) in enumerate(drawing.scenes(images, seed, 390, 510), 1):
        split = drawing.split_of(number - 1, images, (("train", 0.5), ("val", 0.25), ("test", 0.25)))
        heads = points if number % 5 else points[:0]
        name = f"{number:04d}"
        drawing.save_image(folder / split / "images" / f"{name}.jpg", image)
        truth = folder / split / "gt" / f"{name}.txt"
        truth.parent.mkdir(parents=True, exist_ok=True)
        truth.write_text("".join(f"{x:.3f} {y:.3f} 12 14 1 0 \n" for x, y in heads), encoding="utf-8")
        labels[split].append(f"{name},{len(heads)},street,{number % 4},{int(number % 5 == 0)}")
    for split, lines in labels.items():
        (folder / split / "image_labels.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


JHU_CROWD = Benchmark(
    name="jhu_crowd",
    title="JHU-CROWD",
    homepage="http://www.crowd-counting.com",
    citation="Sindagi et al., Pushing the Frontiers of Unconstrained Crowd Counting: New Dataset and Benchmark "
    "Method, ICCV 2019",
    how_to_get="its authors offer it through a Google Drive page, after one agrees to their terms.",
    expected=("jhu_crowd_v1.0", "JHU-CROWD", "jhu_crowd"),
    index=index,
    write=write,
    read_points=read_points,
    read_boxes=read_boxes,
    protocol={"version": 1, "coordinates": "as annotated", "true_count": "every annotated head"},
    statistics=Statistics(
        images=4_250,
        annotations=1_114_785,
        largest=7_286,
        mean=262.3,
        source="Chen et al. (SSR-HEF), Table II",
    ),
)

JHU_CROWD_PP = replace(
    JHU_CROWD,
    name="jhu_crowd_pp",
    title="JHU-CROWD++",
    citation="Sindagi et al., JHU-CROWD++: Large-Scale Crowd Counting Dataset and A Benchmark Method, TPAMI 2020",
    expected=("jhu_crowd_v2.0", "JHU-CROWD++", "jhu_crowd_plus_plus"),
    statistics=Statistics(
        images=4_372,
        annotations=1_515_005,
        largest=25_791,
        mean=346.5,
        source="Sindagi et al., TPAMI 2020, Table 1 (its mean is printed as 346)",
    ),
)
