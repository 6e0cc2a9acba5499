"""A network on a set of images: true and predicted counts, and where they lie."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness import metrics
from harness.benchmark import Benchmark, Sample
from harness.data.image_store import ImageStore
from harness.data.regions import density_inside
from harness.method import Method
from harness.training import backend
from harness.training.prediction import predict_density

OWN_GROUPS = ("fold", "frame")  # what a benchmark needs to find or split its samples says nothing about an image


@dataclass(frozen=True)
class ImageResult:
    """One image: its counts, the 8×8 grids they add up from, and the seconds its forward pass took."""

    image: str
    true: float
    predicted: float
    true_grid: np.ndarray
    predicted_grid: np.ndarray
    seconds: float
    groups: Mapping[str, str] = field(default_factory=dict)


def evaluate(
    network: Any,
    method: Method,
    benchmark: Benchmark,
    samples: tuple[Sample, ...],
    store: ImageStore,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[ImageResult]:
    """Predicts every image whole, batch 1. `network` is the inference network: image → density.

    The true count of an image is the number of its annotated points, never an integral; see `Benchmark.protocol`.
    """
    results = []
    for number, sample in enumerate(samples):
        image = store.get(sample)
        points = benchmark.read_points(sample)
        started = time.perf_counter()
        with backend.on_every_device():
            density = predict_density(network, image, method.stride, method.side_multiple, method.margin)
        seconds = time.perf_counter() - started
        if benchmark.read_roi:
            density = density_inside(density, benchmark.read_roi(sample), method.stride)
        height, width = image.shape[:2]
        results.append(
            ImageResult(
                image=sample.name,
                true=float(len(points)),
                predicted=float(density.sum(dtype=np.float64)),
                true_grid=metrics.point_grid(points, height, width),
                predicted_grid=metrics.density_grid(density, height, width, method.stride),
                seconds=seconds,
                groups=sample.groups,
            )
        )
        progress(number + 1, len(samples))
    return results


def by_group(results: list[ImageResult]) -> dict[str, dict[str, dict[str, float]]]:
    """Images, MAE and RMSE by the members of each group: the benchmark's own, and the level of the count."""
    found: dict[str, dict[str, list[ImageResult]]] = {}
    for result in results:
        count = next(name for name, _, most in metrics.COUNT_LEVELS if result.true <= most)
        own = {key: value for key, value in result.groups.items() if key not in OWN_GROUPS}
        for group, member in {"count": count, **own}.items():
            found.setdefault(group, {}).setdefault(member, []).append(result)
    return {group: {name: _errors(members[name]) for name in sorted(members)} for group, members in found.items()}


def _errors(results: list[ImageResult]) -> dict[str, float]:
    true, predicted = (np.array([getattr(result, key) for result in results]) for key in ("true", "predicted"))
    return {"images": len(results), "mae": metrics.mae(true, predicted), "rmse": metrics.mse_root(true, predicted)}


def summary(results: list[ImageResult]) -> dict[str, Any]:
    """MAE, RMSE, NAE and GAME(0–3) of `results`, which must not be empty."""
    true = np.array([result.true for result in results])
    predicted = np.array([result.predicted for result in results])
    true_grid = np.stack([result.true_grid for result in results])
    predicted_grid = np.stack([result.predicted_grid for result in results])
    return {
        "mae": metrics.mae(true, predicted),
        "rmse": metrics.mse_root(true, predicted),
        "nae": metrics.nae(true, predicted),
        "game": [metrics.game(level, true_grid, predicted_grid) for level in range(4)],
    }
