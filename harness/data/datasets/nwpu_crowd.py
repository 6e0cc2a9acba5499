"""NWPU-Crowd (Wang et al., TPAMI 2021): 5,109 photographs from nobody to 20,033 heads, tested on its validation set.

The labels of its 1,500 test images are not public, only a server measures them. So the authors' validation set is what is
tested here, as in papers that had no access, and what chooses checkpoints is held out of their training set.

Relied on: `train.txt` and `val.txt`, a line an image: its number, luminance (0 to 3) and scene level (0 to 4), blank-separated.
The lists decide, not the numbers: image 3098 is of the validation set, among 3110 to 3609. Images are `0001.jpg` in `images`,
or left in `images_part1` to `images_part5` as the archives hold them. `mats/0001.mat` has `annPoints`, N×2 (x, y) in pixels,
taken as they are, and `annBoxes`, N×4, the left, top, right and bottom of the box round each of these heads; `jsons/0001.json`
has the same under "points" and "boxes" and is read where there is no `mats/0001.mat`. An image without people has empty lists.
Not read: `test.txt` and the test images.

Images are reduced to 2048 pixels on their longer side, points with them: some are 20,000 pixels wide. The authors' own code
brings every image to that size, enlarging small ones, with sides that are multiples of 16; here small ones are left alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from harness.benchmark import Benchmark, Sample, Statistics
from harness.data.datasets.scaling import at_most
from harness.errors import DataError, one_line, printable
from harness.files.annotations import read_lines, read_points_file, variable

SETS = {"train": "train", "val": "test"}  # the authors' lists → what they are here
LINE = re.compile(r"(\d{1,8})\s+([0-3])\s+([0-4])")
IMAGE = re.compile(r"(\d+)\.jpe?g", re.IGNORECASE)
VALIDATION_IMAGES, VALIDATION_HEADS = 500, 196_238  # in eval/val_gt_loc.txt of the authors' code for localisation


def index(folder: Path) -> tuple[Sample, ...]:
    """Every image of the authors' two labelled sets, in the order of their lists, with its luminance and scene level."""
    images = _images(folder)
    samples: list[Sample] = []
    for name, split in SETS.items():
        path = folder / f"{name}.txt"
        for key, groups in _listed(path).items():
            if key not in images:
                raise DataError(
                    f"{path}: lists {key}, but there is no {key}.jpg in {folder / 'images'} or images_part1 to 5"
                )
            samples.append(Sample(f"{name}/{key}", split, images[key], _annotation(folder, key, path), groups))
    return tuple(samples)


def read_points(sample: Sample) -> np.ndarray:
    """Head points float64 [N, 2] of one image."""
    assert sample.annotation is not None
    return read_points_file(sample.annotation)


def read_boxes(sample: Sample) -> np.ndarray:
    """Width and height of the same heads in pixels, float64 [N, 2]."""
    path = sample.annotation
    assert path is not None
    try:
        text = path.read_text(encoding="utf-8") if path.suffix == ".json" else ""
        corners = np.array(json.loads(text)["boxes"] if text else variable(path, "annBoxes"), float).reshape(-1, 4)
    except DataError:
        raise
    except Exception as error:  # parsers raise many kinds on damaged files
        raise DataError(
            f"{path}: no boxes ({one_line(error)}); expected left, top, right, bottom of each head"
        ) from None
    boxes, heads = corners[:, 2:] - corners[:, :2], len(read_points(sample))
    if len(boxes) != heads or not np.isfinite(boxes).all():
        raise DataError(f"{path}: {len(boxes)} boxes of {heads} heads; expected left, top, right, bottom of each head")
    return np.abs(boxes)


def departures(samples: tuple[Sample, ...], points: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """What the authors' files would not have: an image in both sets, other heads than their code measures validation by."""
    keys = {
        name: {sample.name.partition("/")[2] for sample in samples if sample.split == name} for name in SETS.values()
    }
    both = sorted(keys["train"] & keys["test"])
    lines = [f"train.txt and val.txt both list {', '.join(both)}"] if both else []
    tested = [len(points[sample.name]) for sample in samples if sample.split == "test"]
    if len(tested) == VALIDATION_IMAGES and sum(tested) != VALIDATION_HEADS:
        lines.append(
            f"heads of the validation set: {sum(tested):,}; in the authors' evaluation file {VALIDATION_HEADS:,}"
        )
    return tuple(lines)


def _images(folder: Path) -> dict[str, Path]:
    places = sorted(place for place in folder.glob("images*") if place.is_dir())
    if not places:
        raise DataError(
            f"{folder / 'images'}: no such folder, nor images_part1; expected the authors' images in either"
        )
    found = ((IMAGE.fullmatch(path.name), path) for place in reversed(places) for path in place.iterdir())
    return {match.group(1): path for match, path in found if match}


def _listed(path: Path) -> dict[str, dict[str, str]]:
    """The groups of each image that a list holds."""
    listed: dict[str, dict[str, str]] = {}
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        match = LINE.fullmatch(line.strip())
        if not match or match.group(1) in listed:
            what = "lists that image again" if match else "expected number, luminance 0–3, scene level 0–4"
            raise DataError(f"{path}: line {number} is {printable(line, 60)!r}; {what}")
        listed[match.group(1)] = {"luminance": f"L{match.group(2)}", "level": f"S{match.group(3)}"}
    return listed


def _annotation(folder: Path, key: str, listing: Path) -> Path:
    mat, text = folder / "mats" / f"{key}.mat", folder / "jsons" / f"{key}.json"
    found = next((path for path in (mat, text) if path.is_file()), None)
    if found is None:
        raise DataError(f"{mat}: no such file, nor {text}; {listing.name} lists {key}")
    return found


def write(folder: Path, images: int, seed: int) -> None:
    """Drawn scenes in the authors' layout: three quarters train. One in five shows nobody, one in ten is 2100 pixels wide."""
    from harness.data.datasets import drawing

    lists: dict[str, list[str]] = {name: [] for name in SETS}
    for number in range(images):
        height, width = (525, 2100) if number % 10 == 9 else (390, 510)
        ((image, points),) = drawing.scenes(1, seed + number, height, width)
        heads = points[:0] if number % 5 == 4 else points
        key = f"{number + 1:04d}"
        boxes = np.hstack([heads - 4, heads + 4])
        drawing.save_image(folder / f"images_part{1 + 5 * number // images}" / f"{key}.jpg", image)
        drawing.save_mat(folder / "mats" / f"{key}.mat", annPoints=heads, annBoxes=boxes)
        content = {"img_id": f"{key}.jpg", "human_num": len(heads), "points": heads.tolist(), "boxes": boxes.tolist()}
        text = folder / "jsons" / f"{key}.json"
        text.parent.mkdir(exist_ok=True)
        text.write_text(json.dumps(content), encoding="utf-8")
        name = drawing.split_of(number, images, (("train", 0.75), ("val", 0.25)))
        lists[name].append(f"{key} {number % 4} {number % 4 + 1 if len(heads) else 0}")
    for name, lines in lists.items():
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


NWPU_CROWD = at_most(
    2048,
    Benchmark(
        name="nwpu_crowd",
        title="NWPU-Crowd, validation set",
        homepage="https://www.crowdbenchmark.com/nwpucrowd.html",
        citation="Wang et al., NWPU-Crowd: A Large-Scale Benchmark for Crowd Counting and Localization, TPAMI 2021",
        how_to_get="its authors offer it through OneDrive and Baidu; its archives and lists are unpacked into one folder.",
        expected=("NWPU-Crowd", "NWPU", "nwpu_crowd"),
        index=index,
        write=write,
        read_points=read_points,
        read_boxes=read_boxes,
        protocol={
            "version": 1,
            "coordinates": "as annotated",
            "true_count": "every annotated head",
            "tested_on": "the authors' validation set, for their test set has no public labels",
        },
        statistics=Statistics(
            images=3_609,
            source="Wang et al., TPAMI 2021: 3,109 images to train, 500 to validate; its 2,133,375 heads and 20,033 in one "
            "image are of all 5,109, with the 1,500 of the test set, whose labels are not public",
        ),
        departures=departures,
    ),
)
