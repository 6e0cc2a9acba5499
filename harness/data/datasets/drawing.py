"""Drawn scenes written as files: what every benchmark's writer needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.datasets.synth import draw_scene
from harness.files.images import encoded


def scenes(images: int, seed: int, height: int, width: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """`images` scenes: uint8 [height, width, 3] and head points float64 [N, 2], the same for the same seed."""
    for number in range(images):
        yield draw_scene(np.random.default_rng([seed, number]), height, width)


def split_of(number: int, images: int, shares: Sequence[tuple[str, float]]) -> str:
    """The split of scene `number`: the first shares of the scenes in their order, every split at least one scene."""
    begin = 0
    for place, (name, share) in enumerate(shares):
        rest = len(shares) - place - 1
        size = max(1, min(round(share * images), images - begin - rest)) if rest else images - begin
        if number < begin + size:
            return name
        begin += size
    raise ValueError(f"number: expected below {images}, found {number}")


def save_image(path: Path, image: np.ndarray) -> None:
    """Writes RGB or grey uint8 [H, W, C] as the kind of picture that the suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(image, path.suffix))


def save_mat(path: Path, **variables: Any) -> None:
    """Writes a MATLAB 5 file."""
    from scipy.io import savemat

    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, variables)


def struct(**fields: Any) -> np.ndarray:
    """A 1×1 MATLAB struct."""
    values = np.empty((1, 1), dtype=[(name, "O") for name in fields])
    values[0, 0] = tuple(fields.values())
    return values


def cell(values: Sequence[Any]) -> np.ndarray:
    """A 1×N MATLAB cell array."""
    cells = np.empty((1, len(values)), dtype=object)
    for number, value in enumerate(values):
        cells[0, number] = value
    return cells


def plane_perspective(height: int, width: int, far: float = 6.0, near: float = 40.0) -> np.ndarray:
    """float32 [height, width]: pixels a metre, growing from the top row to the last."""
    return np.repeat(np.linspace(far, near, height, dtype=np.float32)[:, None], width, axis=1)


def trapezium(height: int, width: int) -> np.ndarray:
    """float64 [4, 2]: the corners (x, y) of a region that leaves out the corners of the picture and its upper fifth."""
    shares = np.array([[0.2, 0.2], [0.8, 0.2], [0.95, 0.98], [0.05, 0.98]])
    return shares * (width, height)
