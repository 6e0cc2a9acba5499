"""Head points → density map, on the device, inside the compiled step."""

from __future__ import annotations

from typing import Any

SMALLEST_MASS = 1e-12  # a head outside the region, or one whose kernel does not reach it, is no head there
SMALLEST_SIGMA = 0.05  # pixels; below this a Gaussian lies within one pixel and float32 erf has nothing left to say


def render(
    points: Any,
    sigma: Any,
    height: Any,
    width: Any,
    stride: int = 1,
    valid: Any = None,
    region: Any = None,
    frame: Any = None,
) -> Any:
    """The density map of `points`: one Gaussian a head, integrated over each output cell, of mass exactly 1.

    The map is one matrix product of two factors, `density[h, w] = Σ_p Gy[p, h] · Gx[p, w]`; a row of Gx or Gy is a
    difference of erf at the cell edges, renormalised over the frame so that a head at the border loses nothing.

    Args:
        points: float [P, 2] or [B, P, 2], (x, y) in pixels; pixel column c spans c ≤ x < c + 1.
        sigma: standard deviation in pixels; a number, [P] or [B, P].
        height, width: frame in pixels, multiples of `stride`.
        stride: pixels a side of an output cell.
        valid: optional [P] or [B, P]; zero where a row of `points` is padding.
        region: optional [height, width] or [B, height, width]; 1 where heads count, 0 elsewhere. Each kernel is then
            renormalised over the region as it is over the frame.
        frame: optional [4] or [B, 4]: left, top, right, bottom in pixels of what counts as the frame; the whole where None.
            Cells that lie beside it are 0, and kernels are renormalised over those that reach into it.

    Returns:
        float32 [height/stride, width/stride] ([B, …] for batched points). Its sum is the number of valid points with
        0 ≤ x < width and 0 ≤ y < height; other points add nothing. With a region, that is the sum of the map times the
        share of each cell that lies inside, and cells wholly outside are 0.

    Raises:
        ValueError: height or width is no multiple of stride, or points do not end in (x, y).
    """
    from keras import ops

    if isinstance(height, int) and isinstance(width, int) and (height % stride or width % stride):
        raise ValueError(
            f"height, width: expected multiples of stride {stride}, found {height} x {width}; pad the image first"
        )
    points = ops.cast(ops.convert_to_tensor(points), "float32")
    if len(points.shape) not in (2, 3) or points.shape[-1] != 2:
        raise ValueError(f"points: expected shape [P, 2] or [B, P, 2], found {tuple(points.shape)}")
    x, y = points[..., 0], points[..., 1]
    sigma = ops.cast(ops.convert_to_tensor(sigma), "float32") * ops.ones_like(x)
    # A size that is unknown when the step is compiled is an integer tensor, which compares with no float.
    within = (x >= 0) & (x < ops.cast(width, "float32")) & (y >= 0) & (y < ops.cast(height, "float32"))
    weight = ops.cast(within, "float32")
    if valid is not None:
        weight = weight * ops.cast(ops.convert_to_tensor(valid), "float32")
    horizontal, vertical = (None, None) if frame is None else _ends(frame)
    across = _cell_masses(x, sigma, width, stride, horizontal)
    down = _cell_masses(y, sigma, height, stride, vertical)
    inside = None if region is None else cell_shares(region, stride)
    if inside is not None:
        mass = ops.sum(ops.matmul(down, inside) * across, axis=-1)
        weight = weight / ops.maximum(mass, SMALLEST_MASS)
    density = ops.matmul(ops.swapaxes(down * weight[..., None], -1, -2), across)
    return density if inside is None else density * ops.cast(inside > 0, "float32")


def cell_shares(region: Any, stride: int) -> Any:
    """[height, width] or [B, height, width], 1 inside and 0 outside → the share of each cell inside, float32 [(B,) h, w]."""
    from keras import ops

    region = ops.cast(ops.convert_to_tensor(region), "float32")
    if stride == 1:
        return region
    planes = region[..., None] if len(region.shape) == 3 else region[None, ..., None]
    shares = ops.average_pool(planes, stride, strides=stride)[..., 0]
    return shares if len(region.shape) == 3 else shares[0]


def _cell_masses(centre: Any, sigma: Any, length: Any, stride: int, between: tuple[Any, Any] | None) -> Any:
    """[…, P] centres → […, P, length/stride]: the mass of each 1-D Gaussian in each cell; every row sums to 1.

    Args:
        between: optional […] begin and end; cells that do not reach between them are 0.
    """
    from keras import ops

    # A centre outside the frame has weight 0; clipping keeps its row finite, so that 0 · row is 0 and not NaN.
    begin, end = (side[..., None] for side in between) if between else (0.0, ops.cast(length, "float32"))
    centre = ops.minimum(ops.maximum(centre, begin), end)
    edges = ops.cast(ops.arange(length // stride + 1), "float32") * stride
    scale = 1.0 / (ops.maximum(sigma, SMALLEST_SIGMA) * 2.0**0.5)
    cumulative = ops.erf((edges - centre[..., None]) * scale[..., None])
    mass = cumulative[..., 1:] - cumulative[..., :-1]
    if between is not None:
        mass = mass * _reaching(*between, length, stride)[..., None, :]
    return mass / ops.sum(mass, axis=-1, keepdims=True)


def cells_in(frame: Any, height: Any, width: Any, stride: int) -> Any:
    """float32 [(B,) height/stride, width/stride]: 1 in every cell that reaches into `frame`, as of `render`; 0 elsewhere."""

    horizontal, vertical = _ends(frame)
    return _reaching(*vertical, height, stride)[..., :, None] * _reaching(*horizontal, width, stride)[..., None, :]


def _ends(frame: Any) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """[…, 4] left, top, right, bottom → where it begins and ends across, and down, each […]."""
    from keras import ops

    sides = ops.cast(ops.convert_to_tensor(frame), "float32")
    return (sides[..., 0], sides[..., 2]), (sides[..., 1], sides[..., 3])


def _reaching(begin: Any, end: Any, length: Any, stride: int) -> Any:
    """[…] begins and ends → float32 […, length/stride]: 1 in the cells that reach between them."""
    from keras import ops

    left = ops.cast(ops.arange(length // stride), "float32") * stride
    return ops.cast((left + stride > begin[..., None]) & (left < end[..., None]), "float32")
