"""Targets besides density maps that several methods train on, rendered on the device from head points."""

from __future__ import annotations

from typing import Any

from harness.batch import Batch


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


def _overlapped(centre: Any, size: float, length: Any, stride: int) -> Any:
    """[B, P] → [B, P, length/stride]: 1 where [centre − size/2, centre + size/2] overlaps a cell."""
    from keras import ops

    left = ops.cast(ops.arange(length // stride), "float32") * stride
    begin, end = centre[..., None] - size / 2, centre[..., None] + size / 2
    return ops.cast((begin < left + stride) & (end > left), "float32")
