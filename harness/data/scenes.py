"""Whole annotated images, as they are measured: pixels, head points and region of interest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from harness.benchmark import Benchmark, Sample
from harness.data.image_store import ImageStore


@dataclass(frozen=True)
class Scene:
    """One image and its truth.

    Attributes:
        image: uint8 [H, W, channels]; do not write to it.
        points: float64 [N, 2], the heads that count.
        region: bool [H, W], where heads count; None where they count everywhere.
        boxes: float64 [N, 2], width and height of each of these heads in pixels; None where that is not annotated.
    """

    sample: Sample
    image: np.ndarray
    points: np.ndarray
    region: np.ndarray | None = None
    boxes: np.ndarray | None = None


def scenes(
    benchmark: Benchmark, samples: tuple[Sample, ...], store: ImageStore, boxes: bool = False
) -> Iterator[Scene]:
    """Each of `samples` in turn; `store` decodes its pixels and may keep them. `boxes`: whether they are read too."""
    for sample in samples:
        region = benchmark.read_roi(sample) if benchmark.read_roi else None
        found = benchmark.read_boxes(sample) if boxes and benchmark.read_boxes else None
        yield Scene(sample, store.get(sample), benchmark.read_points(sample), region, found)
