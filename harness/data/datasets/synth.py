"""Drawn crowd scenes with perspective, for trying everything without a download. Deterministic by scene number.

Heads grow towards the bottom of the picture, stand closer together further away, differ in colour and light, overlap
bodies, and share the picture with clutter that is no head. Counts run from a few to some hundreds.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np

from harness.benchmark import Benchmark, Sample

HEIGHT, WIDTH = 192, 256
TRAIN_SCENES, TEST_SCENES = 60, 24
SEED = 20_240
VERSION = 1  # raise it when a drawn scene changes: it is part of every run's identity


def index(_folder: Path) -> tuple[Sample, ...]:
    """The scenes, training ones first."""
    train = [Sample(f"train/scene_{number:03d}", "train") for number in range(TRAIN_SCENES)]
    test = [Sample(f"test/scene_{number:03d}", "test") for number in range(TEST_SCENES)]
    return (*train, *test)


def read_image(sample: Sample, channels: int = 3) -> np.ndarray:
    """uint8 [192, 256, channels]."""
    import cv2

    image, _ = _scene(sample.name)
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None] if channels == 1 else image


def read_points(sample: Sample) -> np.ndarray:
    """float64 [N, 2] centres of the drawn heads."""
    return _scene(sample.name)[1]


@lru_cache(maxsize=128)
def _scene(name: str) -> tuple[np.ndarray, np.ndarray]:
    digest = hashlib.sha256(name.encode()).digest()
    return draw_scene(np.random.default_rng([SEED, int.from_bytes(digest[:8], "big")]))


def draw_scene(
    generator: np.random.Generator, height: int = HEIGHT, width: int = WIDTH, heads: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """One scene: uint8 [height, width, 3] RGB and float64 [heads, 2] head centres, none outside the frame."""
    count = int(np.clip(generator.lognormal(4.0, 0.9), 3, 320)) if heads is None else heads
    image = _background(generator, height, width)
    _clutter(image, generator)
    points = _places(generator, count, height, width)
    horizon, far, near = 0.15 * height, 1.4, 5.0
    for x, y in points[np.argsort(points[:, 1], kind="stable")]:  # far ones first: near ones stand before them
        _person(image, generator, x, y, far + (near - far) * max(0.0, y - horizon) / (height - horizon))
    strength, (left, right) = generator.uniform(0.65, 1.25), generator.uniform(0.8, 1.2, 2)
    light = strength * np.linspace(left, right, width)[None, :, None]
    noisy = image * light + generator.normal(0, generator.uniform(1, 6), image.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8), points


def _background(generator: np.random.Generator, height: int, width: int) -> np.ndarray:
    import cv2

    top, bottom = generator.uniform(70, 200, (2, 3))
    ramp = np.linspace(0, 1, height)[:, None, None]
    texture = cv2.resize(
        generator.normal(0, 9, (height // 8, width // 8)), (width, height), interpolation=cv2.INTER_CUBIC
    )
    plain = np.repeat(top * (1 - ramp) + bottom * ramp, width, axis=1)
    return np.ascontiguousarray(plain + texture[:, :, None], np.float32)


def _clutter(image: np.ndarray, generator: np.random.Generator) -> None:
    """Boxes, poles and wires: edges and dark patches that are not heads."""
    import cv2

    height, width = image.shape[:2]
    for _ in range(generator.integers(3, 9)):
        x, y = int(generator.integers(0, width)), int(generator.integers(0, height))
        colour = generator.uniform(20, 235, 3).tolist()
        kind = generator.integers(0, 3)
        if kind == 0:
            corner = (x + int(generator.integers(8, 40)), y + int(generator.integers(6, 30)))
            cv2.rectangle(image, (x, y), corner, colour, -1)
        elif kind == 1:
            cv2.line(image, (x, 0), (x, y), colour, int(generator.integers(1, 4)))
        else:
            cv2.line(image, (0, y), (width, int(generator.integers(0, height))), colour, 1)


def _places(generator: np.random.Generator, count: int, height: int, width: int) -> np.ndarray:
    """Where heads are: groups and stragglers, denser towards the horizon."""
    depth = generator.beta(1.1, generator.uniform(1.0, 2.4), count)
    y = (0.18 + 0.80 * depth) * height
    centres = generator.uniform(0, width, 4)
    grouped = centres[generator.integers(0, 4, count)] + generator.normal(0, width / 7, count)
    x = np.where(generator.random(count) < 0.5, generator.uniform(0, width, count), np.mod(grouped, width))
    return np.stack([np.clip(x, 0, width - 1e-3), np.clip(y, 0, height - 1e-3)], axis=1)


def _person(image: np.ndarray, generator: np.random.Generator, x: float, y: float, radius: float) -> None:
    import cv2

    shift = 4  # drawn in sixteenths of a pixel
    one = 1 << shift

    def ellipse(cx: float, cy: float, rx: float, ry: float, colour: np.ndarray) -> None:
        centre, axes = (int(cx * one), int(cy * one)), (max(1, int(rx * one)), max(1, int(ry * one)))
        cv2.ellipse(image, centre, axes, 0, 0, 360, colour.tolist(), -1, cv2.LINE_AA, shift)

    ellipse(x, y + 2.6 * radius, 1.3 * radius, 1.9 * radius, generator.uniform(20, 230, 3))
    skin = np.array([205.0, 160.0, 130.0]) * generator.uniform(0.45, 1.1)
    ellipse(x, y, radius, 1.2 * radius, skin)
    ellipse(x, y - 0.45 * radius, radius, 0.75 * radius, np.full(3, generator.uniform(10, 80)))


SYNTH = Benchmark(
    name="synth",
    title="Drawn scenes",
    homepage="drawn by the harness, nothing to download",
    citation="",
    expected=(),
    index=index,
    read_image=read_image,
    read_points=read_points,
    protocol={"version": VERSION, "seed": SEED, "true_count": "every drawn head"},
)
