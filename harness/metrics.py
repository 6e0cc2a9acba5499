"""Count errors, and how sure one can be of them. NumPy only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

GRID = 8  # a record keeps 8×8 cells an image, enough for GAME(0) … GAME(3)


def mae(true: np.ndarray, predicted: np.ndarray) -> float:
    """Mean absolute count error over images. true, predicted: float [N]."""
    return float(np.mean(np.abs(np.subtract(predicted, true))))


def mse_root(true: np.ndarray, predicted: np.ndarray) -> float:
    """Root of the mean squared count error: what this field prints as "MSE"."""
    return float(np.sqrt(np.mean(np.square(np.subtract(predicted, true)))))


def nae(true: np.ndarray, predicted: np.ndarray) -> float:
    """Mean of |predicted − true| / true over the images that have heads; NaN where none has."""
    true, predicted = np.asarray(true, float), np.asarray(predicted, float)
    some = true > 0
    if not some.any():
        return float("nan")
    return float(np.mean(np.abs(predicted[some] - true[some]) / true[some]))


def game(level: int, true: np.ndarray, predicted: np.ndarray) -> float:
    """Grid average mean absolute error (Guerrero-Gómez-Olmedo et al., IbPRIA 2015), 4^level equal regions an image.

    Args:
        level: 0 … 3; GAME(0) is the MAE.
        true, predicted: float [N, 8, 8] counts by cell.
    """
    if not 0 <= level <= 3:
        raise ValueError(f"level: expected 0 to 3, found {level}")
    side = GRID >> level
    difference = np.subtract(predicted, true, dtype=float)
    regions = difference.reshape(len(difference), GRID // side, side, GRID // side, side).sum(axis=(2, 4))
    return float(np.abs(regions).sum(axis=(1, 2)).mean())


def point_grid(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """float64 [8, 8] number of points (x, y) in each cell; a point outside the frame counts in the nearest cell."""
    column = np.clip(points[:, 0] * GRID / width, 0, GRID - 1).astype(int)
    row = np.clip(points[:, 1] * GRID / height, 0, GRID - 1).astype(int)
    return np.bincount(row * GRID + column, minlength=GRID * GRID).reshape(GRID, GRID).astype(float)


def density_grid(density: np.ndarray, height: int, width: int, stride: int) -> np.ndarray:
    """float64 [8, 8] mass of a density map [h, w] of stride `stride` over an image of height × width pixels.

    An output cell that straddles two regions is divided between them by area, so the grid's sum is the map's.
    """
    down = _overlap(density.shape[0], height, stride)
    across = _overlap(density.shape[1], width, stride)
    return down @ density.astype(float) @ across.T


def _overlap(cells: int, length: int, stride: int) -> np.ndarray:
    """[8, cells]: the share of each output cell that lies in each eighth of `length` pixels; columns sum to 1."""
    edges = np.arange(GRID + 1) * length / GRID
    edges[-1] = max(cells * stride, length)  # what lies behind the frame belongs to the last region
    left = np.arange(cells) * stride
    overlap = np.minimum(edges[1:, None], left + stride) - np.maximum(edges[:-1, None], left)
    return np.clip(overlap, 0, None) / stride


def grouped_mean(groups: Sequence[tuple[np.ndarray, np.ndarray]], metric: Callable) -> float:
    """The mean over folds or seeds of `metric(true, predicted)`: how this field sums up cross-validation."""
    return float(np.mean([metric(true, predicted) for true, predicted in groups]))


def bootstrap_interval(
    groups: Sequence[tuple[np.ndarray, np.ndarray]],
    metric: Callable[[np.ndarray, np.ndarray], float],
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of `grouped_mean`, images drawn with replacement within each group.

    Deterministic: the same groups give the same interval.
    """
    generator = np.random.default_rng(seed)
    draws = np.zeros(resamples)
    for group in groups:
        true, predicted = (np.asarray(values, float) for values in group)
        for draw, rows in enumerate(generator.integers(0, len(true), (resamples, len(true)))):
            draws[draw] += metric(true[rows], predicted[rows])
    tail = 50 * (1 - confidence)
    low, high = np.percentile(draws / len(groups), [tail, 100 - tail])
    return float(low), float(high)


@dataclass(frozen=True)
class Metric:
    """A metric that a plugin adds.

    Attributes:
        name: its key in records ("bias").
        title: its column in tables.
        of: (true [N], predicted [N]) → a number.
    """

    name: str
    title: str
    of: Callable[[np.ndarray, np.ndarray], float]
