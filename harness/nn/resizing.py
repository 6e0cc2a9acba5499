"""Resizing inside networks that take images of any size: bilinear enlarging, and pooling to a grid of fixed size.

Keras' own bilinear resizing cannot be compiled on TensorFlow for images whose size is not known then.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


def enlarge(values: Any, factor: int) -> Any:
    """[B, h, w, C] → [B, factor·h, factor·w, C] bilinearly, cell centres on cell centres, edges continued.

    Args:
        factor: a whole number from 1.
    """
    return _enlarge_axis(_enlarge_axis(values, factor, 1), factor, 2)


def _enlarge_axis(values: Any, factor: int, axis: int) -> Any:
    """Each source cell becomes `factor` cells, every one a fixed mixture of it and its nearer neighbour."""
    length = ops.shape(values)[axis]
    every = [slice(None)] * 4

    def shifted(by: int) -> Any:
        edge = every.copy()
        edge[axis] = slice(0, 1) if by < 0 else slice(length - 1, length)
        rest = every.copy()
        rest[axis] = slice(0, length - 1) if by < 0 else slice(1, length)
        parts = [values[tuple(edge)], values[tuple(rest)]]
        return ops.concatenate(parts if by < 0 else parts[::-1], axis=axis)

    before, behind = shifted(-1), shifted(1)
    offsets = [(phase + 0.5) / factor - 0.5 for phase in range(factor)]
    mixed = [(1 - abs(offset)) * values + abs(offset) * (before if offset < 0 else behind) for offset in offsets]
    shape = list(ops.shape(values))
    shape[axis] = length * factor
    return ops.reshape(ops.stack(mixed, axis=axis + 1), shape)


class Enlarge(keras.layers.Layer):
    """`enlarge` as a layer."""

    def __init__(self, factor: int, **options: Any) -> None:
        super().__init__(**options)
        self.factor = factor

    def call(self, values: Any) -> Any:
        return enlarge(values, self.factor)

    def multiply_adds(self, *_input_shapes: tuple) -> int:
        return 0  # resizing has no weights

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        batch, height, width, channels = input_shape
        return (batch, height and self.factor * height, width and self.factor * width, channels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}


class AlignedUpsampling(keras.layers.Layer):
    """Doubles [B, h, w, C] bilinearly with aligned corners (PyTorch's `upsample_bilinear`), which Keras does not offer."""

    def call(self, x: Any) -> Any:
        shape = ops.shape(x)
        down = _aligned_weights(shape[1], x.dtype)
        across = _aligned_weights(shape[2], x.dtype)
        return ops.einsum("ih,bhwc,jw->bijc", down, x, across)

    def multiply_adds(self, *_input_shapes: tuple) -> int:
        return 0  # resizing has no weights

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        batch, height, width, channels = input_shape
        return (batch, height and 2 * height, width and 2 * width, channels)


def _aligned_weights(length: Any, dtype: str) -> Any:
    """[2·length, length]: the weight of each source row in each target row."""
    source = ops.cast(ops.arange(2 * length), "float32")
    # 2n targets span n − 1 source steps; a single source row is repeated.
    step = ops.cast(length - 1, "float32") / ops.cast(2 * length - 1, "float32")
    position = source * step
    distance = ops.abs(position[:, None] - ops.cast(ops.arange(length), "float32")[None])
    return ops.cast(ops.maximum(1.0 - distance, 0.0), dtype)


class ResizeLike(keras.layers.Layer):
    """[values [B, h, w, C], other [B, H, W, …]] → values [B, H, W, C] bilinearly, centres on centres, edges continued.

    What PyTorch's `interpolate(mode="bilinear", align_corners=False)` does, for a pyramid's levels or a pooled grid. Made
    smaller, each cell is a mixture of its nearest neighbours alone, as there.
    """

    def call(self, inputs: Any) -> Any:
        values, other = inputs
        down = _centred_weights(ops.shape(other)[1], ops.shape(values)[1], values.dtype)
        across = _centred_weights(ops.shape(other)[2], ops.shape(values)[2], values.dtype)
        return ops.einsum("ih,bhwc,jw->bijc", down, values, across)

    def multiply_adds(self, *_input_shapes: tuple) -> int:
        return 0  # resizing has no weights

    def compute_output_shape(self, input_shape: list[tuple]) -> tuple:
        values, other = input_shape
        return (values[0], other[1], other[2], values[3])


def _centred_weights(targets: Any, sources: Any, dtype: str) -> Any:
    """[targets, sources]: the weight of each source row in each target row; rows add up to 1."""
    rows = ops.cast(ops.arange(targets), "float32")
    ratio = ops.cast(sources, "float32") / ops.cast(targets, "float32")
    position = ops.clip((rows + 0.5) * ratio - 0.5, 0.0, ops.cast(sources - 1, "float32"))
    distance = ops.abs(position[:, None] - ops.cast(ops.arange(sources), "float32")[None])
    return ops.cast(ops.maximum(1.0 - distance, 0.0), dtype)


class GridPooling(keras.layers.Layer):
    """Averages [B, H, W, C] over a grid of `cells` × `cells` equal rectangles → [B, cells, cells, C].

    A pixel that lies in two rectangles counts in each with the share of it that lies there, so sides need be no multiple
    of `cells`, nor as large.
    """

    def __init__(self, cells: int, **options: Any) -> None:
        super().__init__(**options)
        self.cells = cells

    def call(self, values: Any) -> Any:
        shape = ops.shape(values)
        down = ops.cast(self._shares(shape[1]), values.dtype)
        across = ops.cast(self._shares(shape[2]), values.dtype)
        rows = ops.tensordot(down, values, axes=[[1], [1]])  # [cells, B, W, C]
        grid = ops.tensordot(across, rows, axes=[[1], [2]])  # [cells (x), cells (y), B, C]
        return ops.transpose(grid, (2, 1, 0, 3))

    def multiply_adds(self, *_input_shapes: tuple) -> int:
        return 0  # a mean

    def _shares(self, length: Any) -> Any:
        """[cells, length]: the share of each rectangle's mean that comes from each pixel; rows add up to 1."""
        pixel = ops.cast(ops.arange(length), "float32")
        step = ops.cast(length, "float32") / self.cells
        begin = (ops.cast(ops.arange(self.cells), "float32") * step)[:, None]
        overlap = ops.minimum(pixel + 1, begin + step) - ops.maximum(pixel, begin)
        return ops.maximum(overlap, 0.0) / step

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], self.cells, self.cells, input_shape[3])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "cells": self.cells}
