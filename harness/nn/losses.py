"""Losses that several methods share."""

from __future__ import annotations

from typing import Any


def euclidean_density(predicted: Any, target: Any) -> Any:
    """The squared distance of density maps, summed over cells, halved, averaged over the batch (MCNN, Eq. 3).

    `L = 1/(2B) Σ_b Σ_ij (predicted − target)²`

    Args:
        predicted, target: [B, h, w, 1].

    Returns:
        A float32 scalar.
    """
    from keras import ops

    difference = ops.cast(predicted, "float32") - ops.cast(target, "float32")
    return 0.5 * ops.mean(ops.sum(ops.square(difference), axis=(1, 2, 3)))
