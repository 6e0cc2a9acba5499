"""A network on a set of images: true and predicted counts, and where they lie."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from harness import localisation, metrics
from harness.data.regions import counted_inside
from harness.data.scenes import Scene
from harness.errors import DivergedError
from harness.method import Method
from harness.training import sharing
from harness.training.prediction import Prediction, inexact, points_of, prediction_of

OWN_GROUPS = ("fold", "frame")  # what a benchmark needs to find or split its samples says nothing about an image


@dataclass(frozen=True)
class Located:
    """Where the heads of one image are, and were found.

    Attributes:
        true: float64 [N, 2], (x, y) of the annotated heads in pixels.
        points: float64 [M, 3], (x, y, score) of the predicted ones.
        own: whether the method says itself where they are; else they are the peaks of its density.
        matched: how many of both are pairs, by tolerance (`harness.localisation.tolerances`).
    """

    true: np.ndarray
    points: np.ndarray
    own: bool
    matched: Mapping[str, int]


@dataclass(frozen=True)
class ImageResult:
    """One image: its counts, the 8×8 grids they add up from, and the seconds its forward pass took.

    `density` is its predicted map, float32 [ceil(H/stride), ceil(W/stride)], where it was asked to be kept; `inexact` says
    that it was too large to be seen whole by a network that must; `height` and `width` are its pixels. `located` is there where
    points were asked for.
    """

    image: str
    true: float
    predicted: float
    true_grid: np.ndarray
    predicted_grid: np.ndarray
    seconds: float
    groups: Mapping[str, str] = field(default_factory=dict)
    density: np.ndarray | None = None
    inexact: bool = False
    height: int | None = None
    width: int | None = None
    located: Located | None = None


def evaluate(
    network: Any,
    method: Method,
    scenes: Iterable[Scene],
    images: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
    keep: Collection[str] = (),
    locate: bool = False,
) -> list[ImageResult]:
    """Predicts every image whole, batch 1. `network` is the inference network: image → density (and points).

    The true count of an image is the number of its annotated points, never an integral; see `Benchmark.protocol`.

    Args:
        images: how many there are, for `progress`, which is called as (done, images).
        keep: names of the images whose density map the results keep.
        locate: whether the predicted points are matched with the annotated heads.
    """
    results = []
    for number, scene in enumerate(scenes):
        image, points = scene.image, scene.points
        started = time.perf_counter()
        with sharing.on_every_device():
            prediction = prediction_of(network, method, image)
        seconds = time.perf_counter() - started
        density = prediction.density
        if scene.region is not None:
            density = counted_inside(density, prediction.candidates, scene.region, method.stride)
        height, width = image.shape[:2]
        results.append(
            ImageResult(
                image=scene.sample.name,
                true=float(len(points)),
                predicted=float(density.sum(dtype=np.float64)),
                true_grid=metrics.point_grid(points, height, width),
                predicted_grid=metrics.density_grid(density, height, width, method.stride),
                seconds=seconds,
                groups=scene.sample.groups,
                density=density if scene.sample.name in keep else None,
                inexact=inexact(method, image.shape),
                height=height,
                width=width,
                located=_located(replace(prediction, density=density), scene, method.stride) if locate else None,
            )
        )
        progress(number + 1, images)
    return results


def _located(prediction: Prediction, scene: Scene, stride: int) -> Located:
    points = points_of(prediction, stride, scene.image.shape[:2], scene.region)
    if not np.isfinite(points).all():
        raise DivergedError(f"a predicted point of {scene.sample.name} is not finite")
    own = prediction.candidates is not None
    return Located(scene.points, points, own, localisation.matched(points, scene.points, scene.boxes))


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


def localised(results: list[ImageResult]) -> dict[str, tuple[float, float, float]]:
    """Precision, recall and F1 by tolerance, of sums over `results`; empty where points were not asked for."""
    located = [(result.true, result.located) for result in results]
    return localisation.summary([(true, len(found.points), found.matched) for true, found in located if found])


def check_finite(results: Sequence[ImageResult]) -> None:
    """Raises `DivergedError` where a predicted count is no finite number."""
    bad = next((result.image for result in results if not math.isfinite(result.predicted)), None)
    if bad:
        raise DivergedError(f"the predicted count of {bad} is not a finite number")
