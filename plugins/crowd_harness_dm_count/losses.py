"""DM-Count's three losses: of the count, of optimal transport between densities and heads, and of total variation."""

from __future__ import annotations

from typing import Any

from keras import ops

from crowd_harness_dm_count.transport import sinkhorn, transport_cost
from harness.nn.targets import head_counts

TINY = 1e-6  # heads: the official code's guard of its divisions by counts
SMALL = 1e-8  # heads²: the same of the gradient of shares


def count(density: Any, heads: Any) -> Any:
    """The absolute error of each crop's count, averaged over the batch.

    Args:
        density: float32 [B, h, w, 1], heads a cell.
        heads: float32 [B, P, 4] as `Batch.points`.
    """
    return ops.mean(ops.abs(ops.sum(density, axis=(1, 2, 3)) - ops.sum(heads[..., 3], axis=-1)))


def transport(density: Any, heads: Any, stride: int) -> Any:
    """What it costs to move each crop's density, as shares of 1, to its heads: square pixels, averaged over the batch.

    Its gradient is that of the dual objective ⟨share of density, β⟩ with the potential β held fixed, as in the paper, and
    guarded as in the official code: a map that adds up to nothing has none, for the count to bring it back. Its value is the
    cost ⟨C, P⟩ of the plan. A crop without heads costs nothing.

    Args: see `count`.
    """
    shares = normalised(density)[..., 0]
    valid = heads[..., 3]
    counts = ops.sum(valid, axis=-1)
    target = valid / ops.maximum(counts, 1.0)[:, None]
    plan = sinkhorn(target, ops.stop_gradient(shares), heads[..., :2], stride)
    dual = ops.sum(density[..., 0] * _slope(density[..., 0], plan.beta), axis=(1, 2))
    cost = ops.stop_gradient(transport_cost(plan) - dual) + dual
    return ops.mean(ops.where(counts > 0, cost, 0.0))


def _slope(density: Any, beta: Any) -> Any:
    """β/‖D‖ − ⟨D, β⟩/‖D‖² of maps [B, h, w], with ‖D‖² + 1e-8 for ‖D‖²; without gradient.

    β is set off by its mean, which changes nothing but what rounding makes of it where ‖D‖ is small and β large.
    """
    total = ops.sum(density, axis=(1, 2), keepdims=True)
    beta = beta - ops.mean(beta, axis=(1, 2), keepdims=True)
    slope = total * beta - ops.sum(density * beta, axis=(1, 2), keepdims=True)
    return ops.stop_gradient(slope / (total * total + SMALL))


def variation(density: Any, heads: Any, stride: int) -> Any:
    """N · Σ over cells of |share of density − share of heads|, averaged over the batch; N is the crop's true count.

    Shares of a map that adds up to nothing are 0, and have no gradient.

    Args: see `count`.
    """
    shape = ops.shape(density)
    total = ops.sum(density, axis=(1, 2, 3))[:, None, None]
    shares = density[..., 0] * total / (total * total + SMALL)
    counts = ops.sum(heads[..., 3], axis=-1)
    target = head_counts(heads, shape[1], shape[2], stride) / (counts + TINY)[:, None, None]
    return ops.mean(counts * ops.sum(ops.abs(shares - target), axis=(1, 2)))


def normalised(density: Any) -> Any:
    """[B, h, w, 1] → the same, each map adding up to 1 (to 0 where it is 0)."""
    return density / (ops.sum(density, axis=(1, 2, 3), keepdims=True) + TINY)
