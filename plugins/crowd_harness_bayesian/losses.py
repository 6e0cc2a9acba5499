"""The Bayesian loss: whose head each cell of the density map belongs to, and how many heads each head is then counted as."""

from __future__ import annotations

from typing import Any

from keras import ops

SIGMA = 8.0  # pixels; the likelihood's, whatever kernels a recipe renders
FAR = 1e12  # square pixels: where a padding row lies, beyond every head; float32 holds it
NEAR = 1e-5  # square pixels: the official code's guard of its division


def bayesian(density: Any, heads: Any, stride: int, distance: Any = None, rule: str = "code") -> dict[str, Any]:
    """Σ |1 − expected count of a head| over heads, and |0 − that of the background|, each averaged over the batch.

    Of a crop without heads all density is background: its loss is its count, under "background" or, where background is not
    modelled, under "heads".

    Args:
        density: float32 [B, h, w, 1], heads a cell, not negative.
        heads: float32 [B, P, 4] as `Batch.points`.
        stride: pixels a side of a cell.
        distance: float32 [B], d in pixels; None leaves the background out.
        rule: see `background`.

    Returns:
        "heads" and, with a distance, "background": float32 scalars.
    """
    valid = heads[..., 3]
    shape = ops.shape(density)
    nowhere = 1.0 - ops.minimum(ops.sum(valid, axis=-1), 1.0)
    apart = squared_distances(heads[..., :2], shape[1], shape[2], stride)
    apart = ops.where(valid[..., None, None] > 0, apart, FAR)
    if distance is not None:
        behind = background(ops.min(apart, axis=1), distance, rule) * (1.0 - nowhere)[:, None, None]
        apart = ops.concatenate([apart, behind[:, None]], axis=1)
    posterior = ops.softmax(-apart / (2 * SIGMA**2), axis=1)
    expected = ops.sum(posterior * density[:, None, :, :, 0], axis=(2, 3))
    if distance is None:
        empty = nowhere * ops.sum(density, axis=(1, 2, 3))
        return {"heads": ops.mean(ops.sum(valid * ops.abs(1.0 - expected), axis=-1) + empty)}
    errors = valid * ops.abs(1.0 - expected[:, :-1])
    return {"heads": ops.mean(ops.sum(errors, axis=-1)), "background": ops.mean(ops.abs(expected[:, -1]))}


def squared_distances(points: Any, height: Any, width: Any, stride: int) -> Any:
    """float32 [B, P, height, width]: from each point to the centre of each cell, in square pixels.

    Args:
        points: float32 [B, P, 2], (x, y) in pixels.
        height, width: of the density map, in cells of `stride` pixels a side.
    """
    down, across = (stride * (ops.cast(ops.arange(length), "float32") + 0.5) for length in (height, width))
    y = ops.square(points[..., 1:2] - down)
    x = ops.square(points[..., 0:1] - across)
    return y[..., :, None] + x[..., None, :]


def background(nearest: Any, distance: Any, rule: str) -> Any:
    """The squared distance of each cell to the background point, [B, h, w] in square pixels.

    Args:
        nearest: [B, h, w], the squared distance to the nearest head.
        distance: [B] in pixels: d.
        rule: "paper", a point d pixels from that head in the cell's direction: (d − √nearest)². "code", as the authors'
            code has had it since July 2021: d² / nearest. Background and head are equally near at √nearest = d/2 in the
            paper, at √d in the code.
    """
    distance = distance[:, None, None]
    if rule == "paper":
        return ops.square(distance - ops.sqrt(nearest))
    if rule == "code":
        return ops.square(distance) / (nearest + NEAR)
    raise ValueError(f"rule: expected paper or code, found {rule!r}")
