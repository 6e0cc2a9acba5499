"""ZIP's losses on the counts of blocks. Each is a sum over blocks and a mean over the batch, as in the official code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keras import ops

from crowd_harness_zip.model import FLOORS
from harness.nn.targets import head_counts

if TYPE_CHECKING:
    from harness.nn.batch import Batch

SMALLEST = 1e-8
SCALES = ((1, 0.25), (2, 0.5), (4, 1.0))  # blocks a side that are averaged, and the weight of their errors


def block_counts(batch: Batch, stride: int) -> Any:
    """Heads that lie in each block of `stride` × `stride` pixels: whole numbers, float32 [B, H/stride, W/stride, 1]."""
    height, width = batch.size
    return head_counts(batch.points, height // stride, width // stride, stride)[..., None]


def zero_inflated_nll(zero_logits: Any, rate: Any, counts: Any) -> Any:
    """The negative logarithm of the zero-inflated Poisson likelihood, without the constant log y!.

    −log(π + (1 − π) e^−λ) where y = 0, else −log(1 − π) − y log λ + λ.

    Args:
        zero_logits: [B, h, w, 2]; their softmax is π and 1 − π.
        rate: λ, [B, h, w, 1], positive.
        counts: y, [B, h, w, 1].
    """
    logarithms = ops.log_softmax(zero_logits, axis=-1)
    zero, other = logarithms[..., :1], logarithms[..., 1:]
    # As logarithms throughout: a softmax that rounds to 0 has no logarithm and no gradient.
    empty = -ops.logaddexp(zero, other - rate)
    occupied = rate - counts * ops.log(rate + SMALLEST) - other
    return _over_blocks(ops.where(counts > 0, occupied, empty))


def poisson_nll(density: Any, counts: Any) -> Any:
    """The negative logarithm of the Poisson likelihood of [B, h, w, 1] counts, without the constant log y!."""
    return _over_blocks(density - counts * ops.log(density + SMALLEST))


def classification(logits: Any, counts: Any, shares: Any = None) -> Any:
    """Cross-entropy of the class that each block's count lies in.

    Args:
        logits: [B, h, w, n]. With one class less than there are, empty blocks have none and are left out.
        counts: [B, h, w, 1].
        shares: optional [B, h, w, 1]: of each block inside a region of interest. Blocks that are not whole are left out: their
            count is of a part, and the class says what the whole has.
    """
    classes = logits.shape[-1]
    first = len(FLOORS) - classes  # 1 where empty blocks have no class
    floors = ops.convert_to_tensor(FLOORS[1:], "float32")
    label = ops.sum(ops.cast(counts >= floors, "int32"), axis=-1) - first
    chosen = ops.one_hot(ops.maximum(label, 0), classes, dtype="float32")
    entropy = -ops.sum(chosen * ops.log_softmax(logits, axis=-1), axis=-1, keepdims=True)
    known = label[..., None] >= 0
    if shares is not None:
        known = known & (shares > 1 - 1e-4)
    return _over_blocks(entropy * ops.cast(known, "float32"))


def multiscale_error(density: Any, counts: Any) -> Any:
    """Absolute errors of the means over 1, 2 × 2 and 4 × 4 blocks, weighted 1/4, 1/2 and 1.

    Blocks that fill no square of a scale are left out there.
    """
    total = ops.convert_to_tensor(0.0, "float32")
    for side, weight in SCALES:
        if any(isinstance(length, int) and length < side for length in density.shape[1:3]):
            continue  # not one square
        difference = density - counts
        pooled = ops.average_pool(difference, side, strides=side) if side > 1 else difference
        total = total + weight * absolute_error(pooled, 0.0)
    return total


def absolute_error(density: Any, counts: Any) -> Any:
    """|density − counts|, summed over blocks, averaged over the batch."""
    return _over_blocks(ops.abs(density - counts))


def count_error(density: Any, counts: Any) -> Any:
    """The absolute error of the count of a crop, averaged over the batch."""
    return ops.mean(ops.abs(ops.sum(density - counts, axis=(1, 2, 3))))


def _over_blocks(values: Any) -> Any:
    return ops.mean(ops.sum(values, axis=(1, 2, 3)))
