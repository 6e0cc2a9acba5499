"""Entropic optimal transport from a density map to points by Sinkhorn's iterations, on the device.

The squared distance of a point to a cell is a sum over the two axes, so the kernel exp(−C/ε) is a product of a factor over rows
and one over columns, and a product with it is two small matrix products: no array of points × cells is ever made. In the
official code's form both scalings are divided by sums to which `FLOOR` is added, which bounds them by 1/`FLOOR`: nothing
overflows float32, what underflows it is far below `FLOOR`, and no logarithms are needed before the last step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras import ops

REGULARISATION = 10.0  # ε, square pixels
ITERATIONS = 100
CHECKED = 10  # iterations between two looks at the error
ENOUGH = 1e-9  # a squared error of the marginals at which a crop's potentials stay as they are
FLOOR = 1e-16


@dataclass(frozen=True)
class Plan:
    """P = u · down · across · v of each crop.

    Attributes:
        u: float32 [B, P], of points; v: float32 [B, h, w], of cells.
        down, across: [B, P, h] and [B, P, w], the factors of exp(−C/ε).
        rows, columns: [B, P, h] and [B, P, w], the squared distances along each axis, in square pixels.
        beta: float32 [B, h, w], the potential of cells, in square pixels.
    """

    u: Any
    v: Any
    down: Any
    across: Any
    rows: Any
    columns: Any
    beta: Any


def sinkhorn(target: Any, source: Any, points: Any, stride: int) -> Plan:
    """The plan between `source` and `target` after `ITERATIONS`, or as many as bring a crop's error below `ENOUGH`.

    Args:
        target: float32 [B, P], the mass of each point, 0 for padding.
        source: float32 [B, h, w], the mass of each cell.
        points: float32 [B, P, 2], (x, y) in pixels.
        stride: pixels a side of a cell.
    """
    shape = ops.shape(source)
    rows = _along(points[..., 1:2], shape[1], stride)
    columns = _along(points[..., 0:1], shape[2], stride)
    down, across = ops.exp(-rows / REGULARISATION), ops.exp(-columns / REGULARISATION)

    def to_cells(u: Any) -> Any:
        return ops.matmul(ops.swapaxes(down * u[..., None], 1, 2), across)

    def to_points(v: Any) -> Any:
        return ops.sum(ops.matmul(down, v) * across, axis=-1)

    def step(_number: Any, state: tuple) -> tuple:
        u, v = state
        v = source / (to_cells(u) + FLOOR)
        return target / (to_points(v) + FLOOR), v

    def steps(_number: Any, state: tuple) -> tuple:
        u, v, unsettled = state
        new_u, new_v = ops.fori_loop(0, CHECKED, step, (u, v))
        new_u = ops.where(unsettled[:, None] > 0, new_u, u)
        new_v = ops.where(unsettled[:, None, None] > 0, new_v, v)
        error = ops.sum(ops.square(source - to_cells(new_u) * new_v), axis=(1, 2))
        return new_u, new_v, ops.cast(error > ENOUGH, "float32")

    points_of = ops.sum(ops.cast(target > 0, "float32"), axis=-1, keepdims=True)
    u = ops.cast(target > 0, "float32") / ops.maximum(points_of, 1.0)
    v = ops.ones_like(source) / ops.cast(shape[1] * shape[2], "float32")
    u, v, _ = ops.fori_loop(0, ITERATIONS // CHECKED, steps, (u, v, ops.ones_like(target[:, 0])))
    return Plan(u, v, down, across, rows, columns, REGULARISATION * ops.log(v + FLOOR))


def transport_cost(plan: Plan) -> Any:
    """float32 [B]: ⟨C, P⟩, the squared distance that the plan's mass moves, in square pixels."""
    vertical = ops.sum(ops.matmul(plan.down * plan.rows, plan.v) * plan.across, axis=-1)
    horizontal = ops.sum(ops.matmul(plan.down, plan.v) * (plan.across * plan.columns), axis=-1)
    return ops.sum(plan.u * (vertical + horizontal), axis=-1)


def _along(coordinate: Any, length: Any, stride: int) -> Any:
    """[B, P, 1] → [B, P, length]: the squared distance along one axis to the centre of each cell."""
    return ops.square(coordinate - stride * (ops.cast(ops.arange(length), "float32") + 0.5))
