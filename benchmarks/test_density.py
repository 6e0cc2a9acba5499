"""Density rendering against the usual per-head SciPy filter, on the same heads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from harness.head_spacing import Sigma

HEIGHT, WIDTH = 768, 1024


def heads(count: int) -> tuple[np.ndarray, np.ndarray]:
    points = np.random.default_rng(0).uniform(0, [WIDTH, HEIGHT], (count, 2))
    return points, Sigma(15.0, neighbours=3).of(points)


def per_head(points: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """What the reference implementations do: filter an image of one pixel, once a head."""
    density = np.zeros((HEIGHT, WIDTH), np.float32)
    for (x, y), s in zip(points, sigma, strict=True):
        one = np.zeros((HEIGHT, WIDTH), np.float32)
        one[int(y), int(x)] = 1.0
        density += gaussian_filter(one, float(s), mode="constant")
    return density


@pytest.mark.benchmark(group="density 768×1024, 100 heads, geometry-adaptive")
def test_scipy_per_head(benchmark: Any) -> None:
    points, sigma = heads(100)
    density = benchmark.pedantic(per_head, (points, sigma), rounds=2)
    assert density.sum() <= 100.1


@pytest.mark.benchmark(group="density 768×1024, 100 heads, geometry-adaptive")
def test_render_100(benchmark: Any) -> None:
    _render(benchmark, 100)


@pytest.mark.benchmark(group="density 768×1024, 1000 heads, geometry-adaptive")
def test_render_1000(benchmark: Any) -> None:
    _render(benchmark, 1000)


def _render(benchmark: Any, count: int) -> None:
    from keras import ops

    from harness.nn.density import render

    points, sigma = heads(count)
    density = benchmark(lambda: ops.convert_to_numpy(render(points, sigma, HEIGHT, WIDTH)))
    assert density.sum() == pytest.approx(count, rel=1e-3)
