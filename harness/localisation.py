"""Where heads are: the points of a prediction, one-to-one matches with the annotated heads, precision, recall and F1."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from harness.metrics import Metric

ACCEPTED = 0.5  # the least score of a candidate that is a point
TOLERANCES = (4.0, 8.0)  # pixels; those that papers print for ShanghaiTech and JHU-CROWD++


def accepted(candidates: np.ndarray, stride: int) -> np.ndarray:
    """The points of a method that says where heads are, row by row of its cells.

    Args:
        candidates: float [h, w, 3·K]: for each cell K times (x, y, score), x and y in pixels from the cell's upper left corner.
        stride: pixels a side of a cell.

    Returns:
        float64 [N, 3]: x and y in pixels of the image, and the score, of the candidates with a score of at least 0.5.
    """
    found = all_places(candidates, stride)
    return found[found[..., 2] >= ACCEPTED]


def all_places(candidates: np.ndarray, stride: int) -> np.ndarray:
    """float64 [h, w, K, 3]: x and y in pixels of the image, and the score, of every one of `candidates` as in `accepted`."""
    height, width, _ = candidates.shape
    found = candidates.reshape(height, width, -1, 3).astype(float)
    found[..., 0] += stride * np.arange(width)[None, :, None]
    found[..., 1] += stride * np.arange(height)[:, None, None]
    return found


def peaks(
    density: np.ndarray, stride: int, size: tuple[int, int] | None = None, region: np.ndarray | None = None
) -> np.ndarray:
    """The points of a method that predicts a density alone: its N highest local maxima, N its count, rounded.

    A local maximum is a cell above zero that none of its eight neighbours exceeds (`LMDS_counting` in the official code of
    FIDTM, Liang et al., IEEE TMM 2023). That code keeps those above 100/255 of the largest, as all of its map's peaks are of
    height 1; the mass of a density's kernels is 1 and their heights differ with their widths, so the count decides how many.

    Args:
        density: float [h, w], heads a cell.
        stride: pixels a side of a cell.
        size: height and width of the image in pixels, which may cut the last cells; where None they are whole.
        region: bool [height, width], the region of interest, outside which `density` is 0; None where all is inside.

    Returns:
        float64 [≤ N, 3], highest first: the centre of what the image, and the region, have of each cell, x and y in pixels, and
        its heads, 1 where it has more. Less than N where there are no more: neighbouring cells are never both points unless
        they are equal.
    """
    import cv2

    density = np.ascontiguousarray(density, np.float32)
    highest = (density > 0) & (density == cv2.dilate(density, np.ones((3, 3), np.uint8)))
    rows, columns = np.nonzero(highest)
    heads = density[rows, columns].astype(float)
    count = float(density.sum(dtype=np.float64))
    order = np.argsort(-heads, kind="stable")[: max(0, round(count)) if math.isfinite(count) else 0]
    bottom, right = size or (density.shape[0] * stride, density.shape[1] * stride)
    x, y = (
        (cells * stride + np.minimum((cells + 1) * stride, end)) / 2
        for cells, end in ((columns, right), (rows, bottom))
    )
    points = np.stack([x, y, np.minimum(heads, 1.0)], axis=1)
    return (
        points[order] if region is None else _moved_inside(points[order], rows[order], columns[order], stride, region)
    )


def _moved_inside(
    points: np.ndarray, rows: np.ndarray, columns: np.ndarray, stride: int, region: np.ndarray
) -> np.ndarray:
    """`points` of the cells in `rows` and `columns`, those of cells that the region cuts in the middle of their part inside."""
    points = points.copy()
    for number, (row, column) in enumerate(zip(rows * stride, columns * stride, strict=True)):
        inside = np.argwhere(region[row : row + stride, column : column + stride])
        if len(inside):
            points[number, :2] = np.array([column, row]) + inside[:, ::-1].mean(axis=0) + 0.5
    return points


def points_of(
    density: np.ndarray,
    candidates: np.ndarray | None,
    stride: int,
    size: tuple[int, int] | None = None,
    region: np.ndarray | None = None,
) -> np.ndarray:
    """float64 [N, 3], (x, y, score) in pixels: the `accepted` of a method's candidates, or the `peaks` where it has none.

    `size` and `region` as of `peaks`; candidates are accepted wherever they are.
    """
    return peaks(density, stride, size, region) if candidates is None else accepted(candidates, stride)


def matches(predicted: np.ndarray, true: np.ndarray, tolerance: float | np.ndarray) -> int:
    """The most pairs of a predicted and a true point, no point in two, that are no farther apart than the true one allows.

    As in the official evaluation of NWPU-Crowd (Wang et al., TPAMI 2020): a maximum matching, the distances weigh nothing.

    Args:
        predicted: float [M, ≥ 2] and true: float [N, ≥ 2], (x, y) in pixels.
        tolerance: pixels, one for all true points or [N].
    """
    if not len(predicted) or not len(true):
        return 0
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_bipartite_matching
    from scipy.spatial import KDTree

    places, heads = (np.asarray(points, float)[:, :2] for points in (predicted, true))
    farthest = np.broadcast_to(np.asarray(tolerance, float), len(heads))
    near = KDTree(places).query_ball_point(heads, np.nextafter(farthest, np.inf))
    row = np.repeat(np.arange(len(heads)), [len(found) for found in near])
    column = np.array([place for found in near for place in found], int)
    close = np.hypot(*(places[column] - heads[row]).T) <= farthest[row]
    pairs = csr_matrix((np.ones(close.sum(), bool), (row[close], column[close])), (len(heads), len(places)))
    return int((maximum_bipartite_matching(pairs, perm_type="column") >= 0).sum())


def tolerances(boxes: np.ndarray | None = None) -> dict[str, float | np.ndarray]:
    """By name how far from a head its point may be, in pixels: "4" and "8", and by the heads' boxes where there are any.

    The rule for boxes is that of NWPU-Crowd: "box small" is half the shorter side, "box large" half the diagonal.

    Args:
        boxes: float [N, 2], the width and height of each head in pixels.
    """
    fixed: dict[str, float | np.ndarray] = {f"{pixels:g}": pixels for pixels in TOLERANCES}
    if boxes is None:
        return fixed
    return {**fixed, "box small": boxes.min(axis=1) / 2, "box large": np.hypot(*boxes.T) / 2}


def named(tolerance: str) -> str:
    """A tolerance's name as people read it: "within 4 px", "box small"."""
    return tolerance if tolerance.startswith("box") else f"within {tolerance} px"


def matched(predicted: np.ndarray, true: np.ndarray, boxes: np.ndarray | None = None) -> dict[str, int]:
    """The `matches` of one image at each of its `tolerances`, by name."""
    return {name: matches(predicted, true, tolerance) for name, tolerance in tolerances(boxes).items()}


def scores(matched: int, predicted: int, true: int) -> tuple[float, float, float]:
    """Precision, recall and F1 of sums over images; NaN where there is nothing to divide by."""

    def share(part: float, whole: int) -> float:
        return part / whole if whole else math.nan

    return share(matched, predicted), share(matched, true), share(2 * matched, predicted + true)


def summary(images: Sequence[tuple[float, int, Mapping[str, int]]]) -> dict[str, tuple[float, float, float]]:
    """`scores` by tolerance, of sums over `images`: (true heads, points, matched by tolerance) each."""
    true, predicted = round(sum(image[0] for image in images)), sum(image[1] for image in images)
    names = images[0][2] if images else ()
    return {name: scores(sum(image[2][name] for image in images), predicted, true) for name in names}


def f1(true: Sequence[Any], predicted: Sequence[Any], tolerance: float) -> float:
    """F1 at `tolerance` pixels over images: of each its true points [N, 2] and its predicted ones [M, ≥ 2]."""
    found = sum(matches(*pair, tolerance) for pair in zip(predicted, true, strict=True))
    return scores(found, sum(map(len, predicted)), sum(map(len, true)))[2]


METRICS = tuple(
    Metric(f"f1_{pixels:g}", f"F1 within {pixels:g} px", partial(f1, tolerance=pixels), better="higher", takes="points")
    for pixels in TOLERANCES
)
"""Columns of every table, of runs whose points were matched."""
