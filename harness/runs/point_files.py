"""Predicted points as files: drawn over their photograph, as CSV, and as COCO key points."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import HarnessError
from harness.files.atomic import replacing
from harness.files.images import encoded, read_image

COCO = "points.json"
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
    _write(folder / f"{name}.png", encoded(drawn(image, points), ".png"))
    _write(table, as_csv(points).encode())
    return Pointed(path, image.shape[:2], points, table)


def write_coco(folder: Path, pictures: Sequence[Pointed]) -> Path:
    """Writes the points of all `pictures` to one COCO file in `folder`; returns its path.

    Raises:
        HarnessError: it cannot be written.
    """
    path = folder / COCO
    _write(path, (json.dumps(as_coco(pictures)) + "\n").encode())
    return path


def drawn(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3]: a copy of `image` with a dot at each point; those outside the frame are not seen."""
    import cv2

    shown = image.copy()
    radius, shift = max(2, round(max(image.shape[:2]) * RADIUS)), 4  # in 16ths of a pixel, on a grid of pixel centres
    height, width = image.shape[:2]
    near = (np.abs(points[:, :2] - [width / 2, height / 2]) < [width, height]).all(
        axis=1
    )  # OpenCV cannot draw anywhere
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
    parent = os.path.commonpath([one.path.absolute().parent for one in pictures]) if pictures else ""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, one in enumerate(pictures, 1):
        height, width = one.size
        name = one.path.absolute().relative_to(parent).as_posix()
        images.append({"id": number, "file_name": name, "height": height, "width": width})
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
    return {"images": images, "annotations": annotations, "categories": [CATEGORY]}


def _rounded(points: np.ndarray) -> list[tuple[float, float, float]]:
    return [(round(x, DECIMALS), round(y, DECIMALS), round(score, 4)) for x, y, score in points.tolist()]


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise HarnessError(f"{path}: cannot be written ({error.strerror or error})") from None
