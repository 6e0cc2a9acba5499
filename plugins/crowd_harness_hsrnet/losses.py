"""HSRNet's losses: the Euclidean loss of Eq. 8 on the final map and, for scale consistency, on each scale's map."""

from __future__ import annotations

from typing import Any

from keras import ops

from harness.nn.resizing import enlarge

POOLS = (1, 2, 4, 8, 16)


def euclidean(predicted: Any, target: Any) -> Any:
    """Eq. 8: half the squared error, averaged over pixels (N is the number of pixels) and the batch."""
    return 0.5 * ops.mean(ops.square(predicted - target))


def consistency_targets(target: Any) -> Any:
    """The pyramid of ground truths: average-pooled by 1, 2, 4, 8, 16 and bilinearly enlarged back.

    Args:
        target: [B, H, W, 1], sides multiples of 16.

    Returns:
        [B, H, W, 5].
    """
    levels = [target]
    for pool in POOLS[1:]:
        pooled = ops.average_pool(target, pool, strides=pool)
        levels.append(enlarge(pooled, pool))
    return ops.concatenate(levels, axis=-1)


def scale_losses(scales: Any, target: Any, inside: Any = None) -> Any:
    """[5]: L1 … L5, the Euclidean loss of each scale's map against its level of the pyramid.

    Args:
        scales: [B, H, W, 5].
        target: [B, H, W, 1].
        inside: optional [B, H, W, 1], 1 in a region of interest and 0 outside, where nothing is learned: pooling carries
            heads beyond it.
    """
    difference = ops.square(scales - consistency_targets(target))
    if inside is not None:
        difference = difference * inside
    return 0.5 * ops.mean(difference, axis=(0, 1, 2))


def learned_weighting(losses: Any, log_variance: Any) -> Any:
    """Σ wi·Li − ln wi with wi = exp(−log_variance): Eq. 9 with weights that can be minimised over.

    Minimised directly, the λi of Eq. 9 run to −∞; the logarithm holds weights at 1/Li (homoscedastic weighting, Kendall et al.,
    CVPR 2018). The final map has such a weight w0 too, and λi = wi/w0: with w0 fixed at 1 the scales, each at wi·Li = 1, would
    leave a final map whose loss is 0.05 a hundredth of the gradient.

    Args:
        losses, log_variance: a scalar or [n] each.
    """
    return ops.sum(ops.exp(-log_variance) * losses + log_variance)
