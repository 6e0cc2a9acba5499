"""A few test images of a run as small pictures, for reports: the picture, its true density, the predicted one.

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

    method, target, found = run.method, folder / FOLDER, []
    target.mkdir(parents=True, exist_ok=True)
    for number, (sample, predicted) in enumerate(scenes):
        name, image = sample.name, run.benchmark.read_image(sample, 3)
        height, width = image.shape[:2]
        size = _fitted(width, height)
        enlarged = cv2.resize(
            predicted,
            (predicted.shape[1] * method.stride, predicted.shape[0] * method.stride),
            interpolation=cv2.INTER_NEAREST,
        )[:height, :width]
        pixels = width * height / (size[0] * size[1]) / method.stride**2  # averaged cells → heads a small pixel
        shrunk = [
            _true_density(points[name] * [size[0] / width, size[1] / height], size, SIGMA * size[0] / width),
            cv2.resize(enlarged, size, interpolation=cv2.INTER_AREA) * pixels,
        ]
        top = float(np.percentile(shrunk[0], 99.5)) or float(shrunk[0].max()) or 1e-9
        picture = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        names = f"{number}-picture.jpg", f"{number}-true.png", f"{number}-predicted.png"
        (target / names[0]).write_bytes(encoded(picture, ".jpg", JPEG_QUALITY))
        for file, density in zip(names[1:], shrunk, strict=True):
            heat = cv2.applyColorMap((255 * np.clip(density / top, 0, 1)).astype(np.uint8), cv2.COLORMAP_TURBO)
            (target / file).write_bytes(encoded(heat[:, :, ::-1], ".png"))
        found.append(Example(name, float(len(points[name])), float(predicted.sum(dtype=np.float64)), *names))
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
