"""AT-CNN's losses (Eq. 1–4), each averaged as printed."""

from __future__ import annotations

from typing import Any

from keras import ops


def cross_entropy(logits: Any, mask: Any) -> Any:
    """Eq. 1 with the sign it needs: −t·log o − (1 − t)·log(1 − o), averaged over cells; o = σ(logits).

    Args:
        logits, mask: [B, h, w, 1]; the mask is 0 or 1.
    """
    return ops.mean(ops.binary_crossentropy(mask, logits, from_logits=True))


def squared(predicted: Any, target: Any) -> Any:
    """Eq. 2, 3 and 4: the squared error, averaged over cells (Eq. 2, 4) and the batch."""
    return ops.mean(ops.square(predicted - target))
