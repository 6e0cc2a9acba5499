"""Count errors, and how sure one can be of them. NumPy only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

COUNT_LEVELS = (
    ("low", -1.0, 300.0),
    ("middle", 300.0, 700.0),
    ("high", 700.0, float("inf")),
)  # heads: more than, at most
GRID = 8  # a record keeps 8×8 cells an image, enough for GAME(0) … GAME(3)


def mae(true: np.ndarray, predicted: np.ndarray) -> float:
    """Mean absolute count error over images. true, predicted: float [N]."""
    return MAE(true, predicted)


def mse_root(true: np.ndarray, predicted: np.ndarray) -> float:
    """Root of the mean squared count error: what this field prints as "MSE"."""
    return RMSE(true, predicted)


def nae(true: np.ndarray, predicted: np.ndarray) -> float:
    """Mean of `|predicted − true| / true` over the images that have heads; NaN where none has."""
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


Groups = Sequence[tuple[np.ndarray, np.ndarray]]
RESAMPLES = 1000


@dataclass(frozen=True)
class ImageMean:
    """A metric that is a function of a mean over images, which is what can be resampled fast.

    Attributes:
        of: (true [N], predicted [N]) → one value an image [N].
        finish: applied to the mean of these.
    """

    of: Callable[[np.ndarray, np.ndarray], np.ndarray]
    finish: Callable[[np.ndarray], np.ndarray] = lambda mean: mean

    def __call__(self, true: np.ndarray, predicted: np.ndarray) -> float:
        return float(self.finish(np.mean(self.of(np.asarray(true, float), np.asarray(predicted, float)))))


MAE = ImageMean(lambda true, predicted: np.abs(predicted - true))
RMSE = ImageMean(lambda true, predicted: np.square(predicted - true), np.sqrt)


def grouped_mean(groups: Groups, metric: ImageMean) -> float:
    """The mean over folds or seeds of `metric(true, predicted)`: how this field sums up cross-validation."""
    columns = _columns(groups, metric).values()
    return float(sum(metric.finish(np.mean(values, axis=0)).sum() for values in columns) / len(groups))


def bootstrap_interval(groups: Groups, metric: ImageMean, confidence: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of `grouped_mean`, images drawn with replacement within each group.

    Deterministic: the same groups give the same interval.
    """
    total = np.zeros(RESAMPLES)
    for (draw, images), values in _columns(groups, metric).items():
        total += metric.finish(_shares(draw, images) @ values).sum(axis=1)
    tail = 50 * (1 - confidence)
    low, high = np.percentile(total / len(groups), [tail, 100 - tail])
    return float(low), float(high)


DRAWS = 8  # so many groups are resampled apart from one another; more share their draws


def _columns(groups: Groups, metric: ImageMean) -> dict[tuple[int, int], np.ndarray]:
    """The values of each image, one group a column: (draw, images N) → [N, groups]."""
    pairs: dict[tuple[int, int], list[tuple[np.ndarray, np.ndarray]]] = {}
    for number, group in enumerate(groups):
        pairs.setdefault((number % DRAWS, len(group[0])), []).append(group)
    return {
        key: metric.of(*(np.asarray(side, float).T for side in zip(*members, strict=True)))
        for key, members in pairs.items()
    }


@lru_cache(maxsize=2 * DRAWS)
def _shares(draw: int, images: int) -> np.ndarray:
    """float64 [RESAMPLES, images]: the share of each image in each resample; rows add up to 1."""
    rows = np.random.default_rng([draw, images]).integers(0, images, (RESAMPLES, images))
    flat = rows + images * np.arange(RESAMPLES)[:, None]
    return np.bincount(flat.ravel(), minlength=RESAMPLES * images).reshape(RESAMPLES, images) / images


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
