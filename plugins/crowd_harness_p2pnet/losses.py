"""P2PNet's losses: which candidate is each head's, and what the candidates' classes and places cost then."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from harness.nn.on_host import on_host

DISTANCE_COST = 0.05  # τ: what a pixel costs in the matching, where a score of 1 is worth 1
NOBODY_WEIGHT = 0.5  # λ1: the weight of a candidate that is no head's
POINTS_WEIGHT = 2e-4  # λ2: the weight of `distance` beside `classification`
OUTSIDE = 1e6  # what a candidate outside the region of interest costs besides
NOBODY = -1


def rows(values: Any, each: int) -> Any:
    """[B, h, w, K·each] → [B, M, each], the candidates of all cells in one row; M = h·w·K."""
    return ops.reshape(values, (ops.shape(values)[0], -1, each))


def places(points: Any, stride: int) -> Any:
    """float32 [B, M, 2]: x and y of each candidate in pixels of the crop.

    Args:
        points: [B, h, w, 3·K], (x, y, score) in pixels from the cell's upper left corner.
        stride: pixels a side of a cell.
    """
    shape = ops.shape(points)
    down, across = (stride * ops.cast(ops.arange(length), "float32") for length in shape[1:3])
    corners = ops.stack(ops.meshgrid(across, down), axis=-1)[:, :, None]
    apart = ops.reshape(points, (*shape[:3], points.shape[-1] // 3, 3))[..., :2]
    return ops.reshape(apart + corners, (shape[0], -1, 2))


def matched(places: Any, logits: Any, heads: Any, shares: Any) -> Any:
    """Whose candidate each is, at the least cost over all heads of a crop: the number of a head, −1 where nobody's.

    Args:
        places: float32 [B, M, 2], pixels.
        logits: float32 [B, M, 2], of "no head" and "head".
        heads: float32 [B, P, 4] as `Batch.points`.
        shares: float32 [B, M], the share of its cell that lies in the region of interest.

    Returns:
        int32 [B, M]; no gradient.
    """
    scores = ops.softmax(logits, axis=-1)[..., 1] - OUTSIDE * ops.cast(shares <= 0, "float32")
    return on_host(assignment, places, scores, heads, shape=ops.shape(scores), dtype="int32")


def assignment(places: np.ndarray, scores: np.ndarray, heads: np.ndarray) -> np.ndarray:
    """`matched` in NumPy, by SciPy's solver of the linear assignment problem: the cost is τ · distance − score.

    Of more heads than candidates, those that cost the least have one. Where a cost is not finite nothing is matched, and the
    loss is not finite either.
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    found = np.full(scores.shape, NOBODY, np.int32)
    for crop in range(len(scores)):
        valid = np.flatnonzero(heads[crop, :, 3])
        cost = DISTANCE_COST * cdist(places[crop], heads[crop, valid, :2]) - scores[crop, :, None]
        if np.isfinite(cost).all():
            candidates, matches = linear_sum_assignment(cost)
            found[crop, candidates] = valid[matches]
    return found


def classification(logits: Any, match: Any, shares: Any) -> Any:
    """Cross-entropy of "head" for matched candidates and of "no head" for others, a weighted mean over the whole batch.

    Args:
        logits, match, shares: [B, M, 2], [B, M] and [B, M] as of `matched`; a candidate weighs as much as its share.
    """
    logarithms = ops.log_softmax(logits, axis=-1)
    entropy = -ops.where(match >= 0, logarithms[..., 1], logarithms[..., 0])
    weights = shares * ops.where(match >= 0, 1.0, NOBODY_WEIGHT)
    return ops.sum(weights * entropy) / ops.maximum(ops.sum(weights), 1e-6)


def distance(places: Any, match: Any, heads: Any) -> Any:
    """Squared distance of matched candidates [B, M, 2] to their heads [B, P, 4], in square pixels a head of the batch.

    NaN where a candidate, matched or not, is nowhere: `assignment` matches nothing then, and a run must find out.
    """
    theirs = ops.take_along_axis(heads[..., :2], ops.maximum(match, 0)[..., None], axis=1)
    apart = ops.where(match >= 0, ops.sum(ops.square(places - theirs), axis=-1), 0.0)
    found = ops.sum(apart) / ops.maximum(ops.sum(heads[..., 3]), 1.0)
    return ops.where(ops.all(ops.isfinite(places)), found, float("nan"))
