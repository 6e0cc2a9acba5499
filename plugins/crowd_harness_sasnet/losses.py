"""SASNet's three losses. All squared distances are means over pixels of densities × 1000 (see README)."""

from __future__ import annotations

from typing import Any

from keras import ops


def confidence_labels(levels: Any, target: Any, patch: int) -> Any:
    """Labels of Eq. 2: 1 for the level whose count of a patch is nearest the truth, 0 for the farthest, −1 for the rest.

    Args:
        levels: [B, H, W, L] density of each level.
        target: [B, H, W, 1].
        patch: pixels a side; H and W are continued with zeros to multiples of it.

    Returns:
        float32 [B, ceil(H/patch), ceil(W/patch), L]. Of levels that tie, the first is chosen for either label; where all
        tie (an empty patch, say), there is nothing to learn and every label is −1.
    """
    errors = ops.abs(patch_counts(levels, patch) - patch_counts(target, patch))
    count = errors.shape[-1]
    best = ops.one_hot(ops.argmin(errors, axis=-1), count, dtype="float32")
    worst = ops.one_hot(ops.argmax(errors, axis=-1), count, dtype="float32")
    apart = ops.cast(ops.max(errors, axis=-1, keepdims=True) > ops.min(errors, axis=-1, keepdims=True), "float32")
    return apart * (2 * best + worst) - 1


def patch_counts(density: Any, patch: int) -> Any:
    """[B, H, W, L] → [B, ceil(H/patch), ceil(W/patch), L]: the mass in each patch."""
    return ops.average_pool(_filled(density, patch), patch, strides=patch) * float(patch * patch)


def _filled(density: Any, patch: int) -> Any:
    _, height, width, _ = ops.shape(density)
    down, across = -height % patch, -width % patch
    if isinstance(down, int) and isinstance(across, int) and not down and not across:
        return density
    return ops.pad(density, [[0, 0], [0, down], [0, across], [0, 0]])


def confidence_loss(logits: Any, labels: Any) -> Any:
    """Eq. 3 and 4: binary cross-entropy over the labels 0 and 1, averaged over them.

    The paper prints the second term as 1 − log C; it means log(1 − C), and the sum is negated to be minimised. From
    logits, for a sigmoid rounds to 0 and 1: its logarithm there is infinite, or, clipped, without gradient.

    Args:
        logits: [B, h, w, L], the confidence before its sigmoid.
        labels: [B, h, w, L]; 1, 0, or −1 for what is ignored.
    """
    known = ops.cast(labels >= 0, "float32")
    right = (2 * ops.cast(labels > 0, "float32") - 1) * ops.cast(logits, "float32")
    return ops.sum(known * ops.softplus(-right)) / ops.maximum(ops.sum(known), 1.0)


def hard_pixels(predicted: Any, target: Any) -> Any:
    """The pixels that the pyramid search of the PRA loss ends at: 1 there, 0 elsewhere.

    From the whole crop down to single pixels, a region is divided in four, and a part is searched on if it is
    over-estimated in an over-estimated region or under-estimated in an under-estimated one. So a pixel is chosen if every
    region it lies in errs in the same direction as the whole crop does. Sides are halved while both are even; what is left
    is then divided into pixels at once. No gradient flows through the choice.

    Args:
        predicted, target: [B, H, W, 1] with static H and W.

    Returns:
        float32 [B, H, W, 1].
    """
    difference = ops.stop_gradient(predicted - target)
    _, height, width, _ = difference.shape
    direction = ops.sign(ops.sum(difference, axis=(1, 2), keepdims=True))
    chosen = ops.cast(ops.sign(difference) == direction, "float32") * ops.abs(direction)
    rows, columns = height, width
    while rows % 2 == 0 and columns % 2 == 0:
        rows, columns = rows // 2, columns // 2
        sums = ops.average_pool(difference, (rows, columns), strides=(rows, columns))
        agrees = ops.cast(ops.sign(sums) == direction, "float32")
        chosen = chosen * ops.repeat(ops.repeat(agrees, rows, axis=1), columns, axis=2)
    return chosen


def pra_loss(predicted: Any, target: Any, gamma: float = 1.0) -> Any:
    """Eq. 6: the squared error of all pixels, and γ times that of the hard ones once more."""
    squared = ops.square(predicted - target)
    return ops.mean(squared * (1 + gamma * hard_pixels(predicted, target)))
