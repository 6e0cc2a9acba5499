"""A few test images of a run as small pictures, for reports: the picture, and over it its true density and the predicted one.

They lie in `examples/` of the run's folder; `examples.json` names them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.files.atomic import replacing

if TYPE_CHECKING:
    from harness.benchmark import Sample
    from harness.run import Run

FOLDER, INDEX = "examples", "examples.json"
EXAMPLES = 3
LONGEST = 480  # pixels
JPEG_QUALITY = 82  # as the whole page is one file
SIGMA = 4.0


@dataclass(frozen=True)
class Example:
    """One image with its counts, and the names of its three pictures in the folder."""

    image: str
    true: float
    predicted: float
    picture: str
    true_density: str
    predicted_density: str


def chosen(counts: dict[str, float]) -> list[str]:
    """The images of fewest, middling and most heads, by name where equal; the same for every method."""
    ordered = sorted(counts, key=lambda name: (counts[name], name))
    places = sorted({round(number * (len(ordered) - 1) / max(1, EXAMPLES - 1)) for number in range(EXAMPLES)})
    return [ordered[place] for place in places] if ordered else []


def read(folder: Path) -> list[Example]:
    """The examples in a run's folder; none where there are none, or they cannot be used."""
    try:
        return [Example(**item) for item in json.loads((folder / FOLDER / INDEX).read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


def write(
    folder: Path,
    run: Run,
    scenes: Iterable[tuple[Sample, np.ndarray]],
    points: Mapping[str, np.ndarray],
) -> list[Example]:
    """Writes the pictures of `scenes`.

    Args:
        scenes: samples and their predicted densities, float32 [ceil(H/stride), ceil(W/stride)].
        points: head points of at least these samples, by name.
    """
    import cv2

    from harness.files.images import encoded
    from harness.runs.overlay import drawn, per_pixel, top_of

    method, target, found = run.method, folder / FOLDER, []
    target.mkdir(parents=True, exist_ok=True)
    for number, (sample, predicted) in enumerate(scenes):
        name, image = sample.name, run.benchmark.read_image(sample, 3)
        height, width = image.shape[:2]
        size = _fitted(width, height)
        pixels = per_pixel(predicted, method.stride, height, width)
        shrunk = [
            _true_density(points[name] * [size[0] / width, size[1] / height], size, SIGMA * size[0] / width),
            cv2.resize(pixels, size, interpolation=cv2.INTER_AREA),
        ]
        shrunk[0] = shrunk[0] * (size[0] * size[1] / (width * height))  # heads a small pixel → heads a pixel
        top, true, count = top_of(shrunk[0]), len(points[name]), float(predicted.sum(dtype=np.float64))
        picture = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        names = f"{number}-picture.jpg", f"{number}-true.jpg", f"{number}-predicted.jpg"
        pictures = (
            picture,
            drawn(picture, shrunk[0], top, f"true count {true}"),
            drawn(picture, shrunk[1], top, f"true count {true}  predicted {count:.1f}"),
        )
        for file, each in zip(names, pictures, strict=True):
            (target / file).write_bytes(encoded(each, ".jpg", JPEG_QUALITY))
        found.append(Example(name, float(true), count, *names))
    with replacing(target / INDEX) as temporary:
        temporary.write_text(json.dumps([asdict(example) for example in found], indent=1), encoding="utf-8")
    return found


def _fitted(width: int, height: int) -> tuple[int, int]:
    share = min(1.0, LONGEST / max(width, height))
    return max(1, round(width * share)), max(1, round(height * share))


def _true_density(points: np.ndarray, size: tuple[int, int], sigma: float) -> np.ndarray:
    """float32 [height, width] for size (width, height), rendered as training targets are."""
    from harness.nn.density import render

    if not len(points):
        return np.zeros(size[::-1], np.float32)
    return np.asarray(render(points.astype(np.float32), sigma, size[1], size[0]))
