"""SSR-HEF's losses: Dice on the segmentation maps, cross-entropy on the class of the count, hard example focusing."""

from __future__ import annotations

from typing import Any

from keras import ops

EPSILON = 1e-6


def dice(predicted: Any, mask: Any) -> Any:
    """One term of Eq. 2: 1 − 2·Σ ŜS / (Σ Ŝ² + Σ S²) over each map, averaged over the batch.

    Args:
        predicted: [B, h, w, 1], 0–1.
        mask: [B, h, w, 1], 0 or 1.
    """
    axes = (1, 2, 3)
    both = ops.sum(predicted * mask, axis=axes)
    either = ops.sum(ops.square(predicted), axis=axes) + ops.sum(ops.square(mask), axis=axes)
    return ops.mean(1 - 2 * both / (either + EPSILON))


def cross_entropy(logits: Any, classes: Any) -> Any:
    """Eq. 3: −log of the softmax probability of the true class, averaged over the batch.

    Args:
        logits: [B, K].
        classes: int32 [B], from 0.
    """
    return ops.mean(ops.sparse_categorical_crossentropy(classes, logits, from_logits=True))


def hard_example_focusing(predicted: Any, target: Any, gamma: float, literal: bool = False) -> Any:
    """Eq. 4: (1 − σ(D̂))^γ (D̂ − D)², averaged over cells and the batch.

    The factor is a weight: no gradient flows through it, so that the best prediction is still the mean of what may be there.

    Args:
        predicted, target: [B, h, w, 1], in the unit that the factor is to work in: with densities of order 0.001 it is
            0.5^γ everywhere and focuses on nothing; with densities far above 1 it vanishes where people are.
        literal: let the gradient flow through the factor too, which pays for predicting more: the minimum then lies above
            the mean wherever the density is uncertain, and beyond D + 2 / (γ σ(D̂)) the loss falls without end.
    """
    weight = ops.power(1 - ops.sigmoid(predicted), gamma)
    if not literal:
        weight = ops.stop_gradient(weight)
    return ops.mean(weight * ops.square(predicted - target))


def squared(predicted: Any, target: Any) -> Any:
    """The Euclidean loss that Table VII puts in the place of Eq. 4, averaged over cells and the batch."""
    return ops.mean(ops.square(predicted - target))
