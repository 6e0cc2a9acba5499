"""The mask loss of mask-aware networks."""

from __future__ import annotations

from typing import Any

from keras import ops

EPSILON = 1e-6


def focal(posterior: Any, mask: Any, gamma: float) -> Any:
    """−(1 − p)^γ log p, p the posterior of what is true, averaged over cells (Lin et al.); γ = 0 is binary cross-entropy.

    Args:
        posterior: [B, h, w, 1], 0–1.
        mask: [B, h, w, 1], 0 or 1.
    """
    posterior = ops.clip(ops.cast(posterior, "float32"), EPSILON, 1 - EPSILON)
    right = mask * posterior + (1 - mask) * (1 - posterior)
    return ops.mean(-ops.power(1 - right, gamma) * ops.log(right))


def squared(predicted: Any, target: Any) -> Any:
    """Eq. 2: the squared error summed over cells, averaged over the batch."""
    return ops.mean(ops.sum(ops.square(predicted - target), axis=(1, 2, 3)))
