"""The two losses of mask-aware networks. Both are means over cells, so that their balance hangs on no crop's size."""

from __future__ import annotations

from typing import Any

from keras import ops


def focal(logits: Any, mask: Any, gamma: float) -> Any:
    """−(1 − p)^γ log p, p the posterior of what is true, averaged over cells (Lin et al.); γ = 0 is binary cross-entropy.

    From logits, for a sigmoid rounds to 0 and 1: its logarithm there is infinite, or, clipped, without gradient.

    Args:
        logits: [B, h, w, 1], the posterior of the foreground before its sigmoid.
        mask: [B, h, w, 1], 0 or 1.
    """
    right = (2 * mask - 1) * ops.cast(logits, "float32")
    # 1 − p is sigmoid(−right); as an exponential its power has a gradient where it is 0.
    return ops.mean(ops.exp(-gamma * ops.softplus(right)) * ops.softplus(-right))


def squared(predicted: Any, target: Any) -> Any:
    """The squared error, averaged over cells and batch: Eq. 2, whose sum the text calls the mean square loss.

    Args:
        predicted, target: [B, h, w, 1], in any one unit.
    """
    return ops.mean(ops.square(predicted - target))
