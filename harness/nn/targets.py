"""What several methods train on besides density maps, made on the device from head points and regions of interest."""

from __future__ import annotations

import math
from typing import Any

from harness.nn.batch import FRAME, REGION, Batch
from harness.nn.density import cell_shares, cells_in, render

CROWD = 0.1  # of a kernel's peak
NARROWEST = 0.3  # cells; the peak of a narrower kernel, spread over the four cells it meets in, would be crowd in none


def head_blocks(batch: Batch, size: Any, stride: int = 1) -> Any:
    """A foreground mask: 1 in every cell that a `size` × `size` block of pixels around a head overlaps.

    The usual segmentation label of this field (a block of ones on each head, cut at the border, down-sampled, `> 0`).
    Where densities are 0, outside a region of interest and in a crop's continuation, nothing is foreground.

    Args:
        size: pixels a side of the block, centred on the pixel the head lies in; a number, or [B, P] for each head its own.

    Returns:
        float32 [B, H/stride, W/stride, 1].
    """
    from keras import ops

    height, width = batch.size
    points = ops.floor(batch.points[..., :2]) + 0.5
    size = ops.cast(size, "float32") * ops.ones_like(points[..., 0])
    across = _overlapped(points[..., 0], size, width, stride)
    down = _overlapped(points[..., 1], size, height, stride) * batch.points[..., 3:]
    blocks = ops.matmul(ops.swapaxes(down, -1, -2), across)
    return _touching_what_counts(ops.cast(blocks > 0.5, "float32")[..., None], batch, stride)


def head_counts(heads: Any, height: Any, width: Any, stride: int) -> Any:
    """How many of `heads` lie in each cell of `stride` × `stride` pixels: whole numbers, float32 [B, height, width].

    Args:
        heads: float32 [B, P, 4] as `Batch.points`.
        height, width: of the map, in cells.
    """
    from keras import ops

    cells = ops.floor(ops.cast(ops.convert_to_tensor(heads[..., :2]), "float32") / stride)
    across, down = (
        ops.cast(cells[..., axis : axis + 1] == ops.cast(ops.arange(length), "float32"), "float32")
        for axis, length in enumerate((width, height))
    )
    return ops.matmul(ops.swapaxes(down * heads[..., 3:], -1, -2), across)


def crowd_mask(batch: Batch, stride: int = 1) -> Any:
    """A density map made binary, relative to its kernels: 1 in every cell where they add up to a tenth of their peaks.

    Each head adds its kernel divided by that kernel's peak, so that wide kernels make a crowd as narrow ones do: a lone head's
    is a disc of radius 2.15 σ (8.6 pixels for sigma 4), and crowds merge. Where all heads have one sigma this is a threshold
    on density (for sigma 4, at 0.001 heads a pixel). The cell that a head lies in is crowd however small its sigma. Outside a
    region of interest and in a crop's continuation nothing is crowd.

    Returns:
        float32 [B, H/stride, W/stride, 1].
    """
    from keras import ops

    height, width = batch.size
    heads = ops.convert_to_tensor(batch.points)
    points, sigma, valid = heads[..., :2], heads[..., 2], heads[..., 3]
    wide = ops.maximum(sigma, NARROWEST * stride)
    # `render` multiplies each kernel by its head's `valid`: here the inverse of its peak, in heads a cell.
    relative = render(points, sigma, height, width, stride, valid=valid * (2 * math.pi / stride**2) * ops.square(wide))
    return _touching_what_counts(ops.cast(relative >= CROWD, "float32")[..., None], batch, stride)


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

    # Half a head more: of whole numbers no quotient is then rounded below its threshold.
    ranges = ops.floor((counts * classes + 0.5) / max(largest, 1.0))
    return ops.cast(ops.clip(ranges, 0, classes - 1), "int32")


def inside_region(density: Any, batch: Batch, stride: int) -> Any:
    """`density` [B, h, w, 1], each cell times the share of it that the test counts (`shares_inside`).

    For losses that add up densities without a rendered target, which is 0 outside.
    """
    shares = shares_inside(batch, stride)
    return density if shares is None else density * shares


def shares_inside(batch: Batch, stride: int) -> Any:
    """The share of each cell that the test counts, float32 [B, h, w, 1]; None where it counts all of every cell.

    It is the share in the region of interest, where there is one, and 0 in cells of a crop's continuation alone, which the
    test drops.
    """
    shares = cell_shares(batch.maps[REGION][..., 0], stride) if REGION in batch.maps else None
    if FRAME in batch.maps:
        seen = cells_in(batch.maps[FRAME][:, 0, 0], *batch.size, stride)
        shares = seen if shares is None else shares * seen
    return None if shares is None else shares[..., None]


def _touching_what_counts(mask: Any, batch: Batch, stride: int) -> Any:
    """`mask` [B, h, w, 1], and 0 in cells of which the test counts nothing, as rendered density is."""
    from keras import ops

    shares = shares_inside(batch, stride)
    return mask if shares is None else mask * ops.cast(shares > 0, "float32")


def _overlapped(centre: Any, size: Any, length: Any, stride: int) -> Any:
    """[B, P] → [B, P, length/stride]: 1 where [centre − size/2, centre + size/2] overlaps a cell."""
    from keras import ops

    left = ops.cast(ops.arange(length // stride), "float32") * stride
    begin, end = (centre - size / 2)[..., None], (centre + size / 2)[..., None]
    return ops.cast((begin < left + stride) & (end > left), "float32")
