"""Predicted points as files: drawn over their photograph, as CSV, and as COCO key points."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.files.atomic import written
from harness.files.images import encoded, read_image
from harness.files.paths import from_common_folder

COCO = "points.json"
MADE = "points predicted by harness count"
COLOUR, RIM = (255, 45, 45), (255, 255, 255)  # RGB
DECIMALS = 2  # of pixels; scores have four
RADIUS = 1 / 300  # of the longer side
CATEGORY = {"id": 1, "name": "head", "supercategory": "person", "keypoints": ["head"], "skeleton": []}


@dataclass(frozen=True)
class Pointed:
    """One picture: its file, its height and width, its points float64 [N, 3] (x, y, score) in pixels, and their CSV file."""

    path: Path
    size: tuple[int, int]
    points: np.ndarray
    table: Path


def write_points(folder: Path, path: Path, name: str, points: np.ndarray) -> Pointed:
    """Writes the picture `path` with `points` drawn over it to NAME.png in `folder`, and the points to NAME.csv.

    Raises:
        HarnessError: the picture cannot be read, or a file cannot be written.
    """
    image, table = read_image(path, 3), folder / f"{name}.csv"
    with written(folder / f"{name}.png") as temporary:
        temporary.write_bytes(encoded(drawn(image, points), ".png"))
    with written(table) as temporary:
        temporary.write_bytes(as_csv(points).encode())
    return Pointed(path, image.shape[:2], points, table)


def write_coco(folder: Path, pictures: Sequence[Pointed]) -> Path:
    """Writes the points of all `pictures` to one COCO file in `folder`; returns its path.

    Raises:
        HarnessError: it cannot be written.
    """
    path = folder / COCO
    with written(path) as temporary:
        temporary.write_bytes((json.dumps(as_coco(pictures)) + "\n").encode())
    return path


def drawn(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3]: a copy of `image` with a dot at each point; those outside the frame are not seen."""
    import cv2

    shown = image.copy()
    radius, shift = max(2, round(max(image.shape[:2]) * RADIUS)), 4  # in 16ths of a pixel, on a grid of pixel centres
    height, width = image.shape[:2]
    # OpenCV cannot draw just anywhere.
    near = (np.abs(points[:, :2] - [width / 2, height / 2]) < [width, height]).all(axis=1)
    for x, y in points[near, :2]:
        centre = round((x - 0.5) * (1 << shift)), round((y - 0.5) * (1 << shift))
        for more, colour in ((1, RIM), (0, COLOUR)):
            cv2.circle(shown, centre, (radius + more) << shift, colour, cv2.FILLED, cv2.LINE_AA, shift)
    return shown


def as_csv(points: np.ndarray) -> str:
    """A line of headings, then x, y and score of each point."""
    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\n")
    writer.writerow(("x", "y", "score"))
    writer.writerows(_rounded(points))
    return output.getvalue()


def as_coco(pictures: Iterable[Pointed]) -> dict[str, Any]:
    """A COCO key points file as JSON values: each point is an annotation of one visible key point, with its score.

    Pictures are named from the folder that has them all.
    """
    pictures = list(pictures)
    names = from_common_folder([one.path for one in pictures])
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (one, name) in enumerate(zip(pictures, names, strict=True), 1):
        height, width = one.size
        images.append({"id": number, "file_name": name.as_posix(), "height": height, "width": width})
        for x, y, score in _rounded(one.points):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": CATEGORY["id"],
                    "keypoints": [x, y, 2],
                    "num_keypoints": 1,
                    "score": score,
                }
            )
    return {"info": {"description": MADE}, "images": images, "annotations": annotations, "categories": [CATEGORY]}


def is_foreign_coco(folder: Path) -> bool:
    """Whether a file of that name lies in `folder` that `write_coco` did not write."""
    path = folder / COCO
    if not path.is_file():
        return False
    try:
        return json.loads(path.read_text(encoding="utf-8"))["info"]["description"] != MADE
    except (OSError, ValueError, KeyError, TypeError):
        return True


def _rounded(points: np.ndarray) -> list[tuple[float, float, float]]:
    return [(round(x, DECIMALS), round(y, DECIMALS), round(score, 4)) for x, y, score in points.tolist()]
