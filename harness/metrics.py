"""Count errors, and how sure one can be of them. NumPy only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

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


Group = tuple[np.ndarray, np.ndarray]
Average = Callable[[np.ndarray], np.ndarray]
RESAMPLES = 1000
LEAST_BLOCKS = 4  # of neighbouring images in a resample: of fewer it would be nearly all images every time


@dataclass(frozen=True)
class ImageMean:
    """A metric that is a function of a mean over images, which is what can be resampled fast.

    Attributes:
        of: (true [..., N], predicted [..., N]) → one value an image [..., N].
        finish: applied to the mean of these; None leaves it as it is.
    """

    of: Callable[[np.ndarray, np.ndarray], np.ndarray]
    finish: Callable[[np.ndarray], np.ndarray] | None = None

    def __call__(self, true: np.ndarray, predicted: np.ndarray) -> float:
        return float(self._finished(np.mean(self.of(np.asarray(true, float), np.asarray(predicted, float)))))

    def of_runs(self, group: Group, average: Average) -> np.ndarray:
        """The mean over the runs of `group` of this metric, as many as `average` gives.

        Args:
            average: values of the images [N] → their mean, or one in each of several resamples [R]; one for all runs.
        """
        values = np.atleast_2d(self.of(*(np.asarray(side, float) for side in group)))
        if self.finish is None:  # a mean of means: runs first, which is one product in the place of many
            return average(mean_of_runs(values))
        first = self._finished(average(values[0]))
        others = np.zeros_like(first)
        for one in values[1:]:  # as `mean_of_runs` does, without holding all resamples of all runs
            others += self._finished(average(one)) - first
        return first + others / len(values)

    def _finished(self, mean: np.ndarray) -> np.ndarray:
        return mean if self.finish is None else self.finish(mean)


MAE = ImageMean(lambda true, predicted: np.abs(predicted - true))
RMSE = ImageMean(lambda true, predicted: np.square(predicted - true), np.sqrt)


def mean_of_runs(values: np.ndarray) -> np.ndarray:
    """[N]: the mean of values [runs, N]; of equal runs exactly one of them, which a sum divided by their number is not."""
    return values[0] + np.mean(values - values[0], axis=0)


def grouped_mean(groups: Sequence[Group], metric: ImageMean) -> float:
    """The mean over runs of `metric(true, predicted)`: how this field sums up seeds and cross-validation.

    Args:
        groups: for each set of images its true and predicted counts, float [runs, N], or [N] of one run. A set is a fold's
            test images, or one scene's of them; runs are its seeds. Every run weighs the same.
    """
    return float(_over_groups(groups, metric, lambda number, images: np.mean))


def bootstrap_interval(
    groups: Sequence[Group], metric: ImageMean, confidence: float = 0.95, alike: int = 1
) -> tuple[float, float]:
    """Percentile bootstrap interval of `grouped_mean`: what it might be on other images of the same kind.

    Images are drawn with replacement within each group and apart from other groups, but the same ones for every run of a
    group: its seeds were tested on the same images, so that more of them average their own noise away and never that of
    the images. In each resample every run has its own score, and these are averaged (Efron & Tibshirani, An Introduction to
    the Bootstrap, 1993, §13.3). Deterministic: the same groups give the same interval.

    Args:
        alike: how many images in a row are alike, as frames of one video are: whole blocks of so many neighbours are drawn (at
            most a quarter of a group's images), the last followed by the first (Politis & Romano, A circular
            block-resampling procedure for stationary data, 1992). Drawn one by one such images make intervals too narrow.
    """
    tail = 50 * (1 - confidence)
    resampled = _over_groups(groups, metric, lambda number, images: _shares(number, images, alike).__matmul__)
    low, high = np.percentile(resampled, [tail, 100 - tail])
    return float(low), float(high)


def _over_groups(groups: Sequence[Group], metric: ImageMean, average: Callable[[int, int], Average]) -> np.ndarray:
    """The mean over all runs of all groups; `average(number of the group, N)` is that of its images."""
    runs = [len(np.atleast_2d(predicted)) for _, predicted in groups]
    total = np.zeros(())
    for number, group in enumerate(groups):
        weight = runs[number] / sum(runs)
        total = total + weight * metric.of_runs(group, average(number, np.shape(group[1])[-1]))
    return total


@lru_cache(maxsize=256)
def _shares(group: int, images: int, alike: int) -> np.ndarray:
    """float64 [RESAMPLES, images]: the share of each image in each resample; rows add up to 1."""
    block = max(1, min(alike, images // LEAST_BLOCKS))
    starts = np.random.default_rng([group, images]).integers(0, images, (RESAMPLES, -(-images // block)))
    rows = (starts[..., None] + np.arange(block)).reshape(RESAMPLES, -1)[:, :images] % images
    flat = rows + images * np.arange(RESAMPLES)[:, None]
    return np.bincount(flat.ravel(), minlength=RESAMPLES * images).reshape(RESAMPLES, images) / images


@dataclass(frozen=True)
class Metric:
    """A metric that a plugin adds: a column of every comparison table.

    Attributes:
        name: its key in records ("bias").
        title: its column in tables.
        of: (true, predicted) → a number; of counts [N] each, or of lists of the N images' points.
        better: "lower" or "higher", the arrow beside its title.
        takes: "counts", or "points": of each image its heads float64 [heads, 2] (x, y) and the predicted points float64
            [points, 3] (x, y, score), in pixels (`harness.localisation`).

    Raises:
        ValueError: `better` or `takes` is neither.
    """

    name: str
    title: str
    of: Callable[[Any, Any], float]
    better: Literal["lower", "higher"] = "lower"
    takes: Literal["counts", "points"] = "counts"

    def __post_init__(self) -> None:
        if self.takes not in ("counts", "points"):
            raise ValueError(f"metric {self.name}: takes: expected 'counts' or 'points', found {self.takes!r}")
        if self.better not in ("lower", "higher"):
            raise ValueError(f"metric {self.name}: better: expected 'lower' or 'higher', found {self.better!r}")
