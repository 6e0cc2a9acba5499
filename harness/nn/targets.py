"""Targets besides density maps that several methods train on, rendered on the device from head points."""

from __future__ import annotations

from typing import Any

from harness.nn.batch import Batch

CROWD = 1e-3  # heads a pixel


def head_blocks(batch: Batch, size: float, stride: int = 1) -> Any:
    """A foreground mask: 1 in every cell that a `size` × `size` block of pixels around a head overlaps.

    The usual segmentation label of this field (a block of ones on each head, cut at the border, down-sampled, `> 0`).

    Args:
        size: pixels a side of the block, centred on the pixel the head lies in.

    Returns:
        float32 [B, H/stride, W/stride, 1].
    """
    from keras import ops

    height, width = batch.size
    points = ops.floor(batch.points[..., :2]) + 0.5
    across = _overlapped(points[..., 0], size, width, stride)
    down = _overlapped(points[..., 1], size, height, stride) * batch.points[..., 3:]
    blocks = ops.matmul(ops.swapaxes(down, -1, -2), across)
    return ops.cast(blocks > 0.5, "float32")[..., None]


def crowd_mask(density: Any, stride: int = 1) -> Any:
    """A density map made binary: 1 in every cell of at least 0.001 heads a pixel.

    Around a lone head of sigma 4 pixels that is a disc of radius 8.6; crowds merge.

    Args:
        density: [B, h, w, 1], heads a cell of `stride` × `stride` pixels.
    """
    from keras import ops

    return ops.cast(density >= CROWD * stride**2, "float32")


def distilled_depth(depth: Any, mask: Any, stride: int = 1) -> Any:
    """mask ⊙ depth (AT-CNN, section 3.1): the depth of the crowd, 0 elsewhere.

    Args:
        depth: [B, H, W, 1] at every pixel; averaged over cells of `stride` × `stride`.
        mask: [B, H/stride, W/stride, 1], 0 or 1.
    """
    from keras import ops

    return mask * (ops.average_pool(depth, stride, strides=stride) if stride > 1 else depth)


def count_classes(counts: Any, largest: float, classes: int) -> Any:
    """Which of `classes` equal ranges of [0, `largest`] each count lies in (SSR-HEF, section III-B): int32 [B], from 0.

    The ranges are largest/classes wide (Table II: 209.3 heads for ShanghaiTech A); a count at a threshold opens the next
    range, and every count from the last threshold on is in the last one.
    """
    from keras import ops

    ranges = ops.floor(counts * (classes / max(largest, 1.0)))
    return ops.cast(ops.clip(ranges, 0, classes - 1), "int32")


def _overlapped(centre: Any, size: float, length: Any, stride: int) -> Any:
    """[B, P] → [B, P, length/stride]: 1 where [centre − size/2, centre + size/2] overlaps a cell."""
    from keras import ops

    left = ops.cast(ops.arange(length // stride), "float32") * stride
    begin, end = centre[..., None] - size / 2, centre[..., None] + size / 2
    return ops.cast((begin < left + stride) & (end > left), "float32")
