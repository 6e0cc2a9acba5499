"""P2PNet: VGG-16-BN, its last two levels joined at stride 8, a branch for the places of candidates and one for their scores.

Follows the authors' released code, but for what that builds and never uses (see README).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import layers, ops

from harness.nn.on_host import calls_host
from harness.nn.vgg import VGG16, normalize
from harness.nn.vgg_weights import load_pretrained

if TYPE_CHECKING:
    from harness import ModelOptions

STRIDE = 8
ROWS, COLUMNS = 2, 2  # of reference points in a cell
CHANNELS = 256
PIXELS = 100.0  # γ: pixels that an offset of 1 stands for
SURE = 0.5  # the score from which on a candidate counts as a head


def build(options: ModelOptions) -> keras.Model:
    """float32 [B, H, W, 3] RGB values 0–255, H and W multiples of 16 → a dict of

    "density" [B, H/8, W/8, 1]: how many candidates of each cell count as heads, a whole number without a gradient;
    "points" [B, H/8, W/8, 3·K]: x, y, score of each of K = 4 candidates a cell; pixels from the cell's upper left corner, and
    the softmax of "a person's";
    "logits" [B, H/8, W/8, 2·K]: the scores of "no head" and "head" of each, before their softmax.

    17,973,072 trainable parameters.
    """
    rows, columns = options.variant.get("rows", ROWS), options.variant.get("columns", COLUMNS)
    each = 2 * rows * columns
    image = keras.Input((None, None, 3), name="image")
    x = features(image, he_start=options.pretrained == "none")
    logits = _branch(x, each, "classification")
    logits = layers.Activation("linear", dtype="float32", name="logits")(logits)
    offsets = _branch(x, each, "regression") if options.variant.get("regression", True) else None
    candidates = Candidates(rows, columns, dtype="float32", name="points")
    points = candidates([logits] if offsets is None else [logits, offsets])
    density = Counted(dtype="float32", name="density")(points)
    network = keras.Model(image, {"density": density, "points": points, "logits": logits}, name="p2pnet")
    load_pretrained(VGG16, network, options.pretrained)
    return calls_host(network)


def features(image: Any, he_start: bool) -> Any:
    """[B, H, W, 3] → [B, H/8, W/8, 256]: levels 4 and 5, each by 1×1, the fifth enlarged onto the fourth, then 3×3."""
    *_, fourth, fifth = VGG16.levels(normalize(image), he_start, batch_normalization=True)
    enlarged = layers.UpSampling2D(2, name="level5_enlarged")(_convolution(fifth, CHANNELS, 1, "level5_reduce"))
    joined = layers.Add(name="joined")([enlarged, _convolution(fourth, CHANNELS, 1, "level4_reduce")])
    return _convolution(joined, CHANNELS, 3, "fused")


def _branch(x: Any, filters: int, name: str) -> Any:
    for number in (1, 2):
        x = layers.ReLU(name=f"{name}_relu{number}")(_convolution(x, CHANNELS, 3, f"{name}_conv{number}"))
    return _convolution(x, filters, 3, f"{name}_output")


def _convolution(x: Any, filters: int, size: int, name: str) -> Any:
    # PyTorch's start of kernels: uniform in ±1/√fan-in.
    start = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
    return layers.Conv2D(filters, size, padding="same", kernel_initializer=start, name=name)(x)


def references(rows: int, columns: int) -> np.ndarray:
    """float32 [K, 2]: x and y in pixels of the reference points of a cell, a grid of `rows` × `columns`, row by row."""
    x, y = ((np.arange(steps, dtype=np.float32) + 0.5) * (STRIDE / steps) for steps in (columns, rows))
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


class Candidates(layers.Layer):
    """[logits [B, h, w, 2·K], offsets [B, h, w, 2·K]] → "points" of `build`; without offsets at the reference points."""

    def __init__(self, rows: int, columns: int, **options: Any) -> None:
        super().__init__(**options)
        self.references = references(rows, columns)

    def call(self, inputs: list[Any]) -> Any:
        logits, *offsets = inputs
        scores = ops.sigmoid(logits[..., 1::2] - logits[..., 0::2])  # the softmax of two
        places = [ops.zeros_like(scores) + ops.convert_to_tensor(axis) for axis in self.references.T]
        if offsets:
            places = [PIXELS * offsets[0][..., axis::2] + place for axis, place in enumerate(places)]
        shape = ops.shape(scores)
        return ops.reshape(ops.stack([*places, scores], axis=-1), (*shape[:3], 3 * len(self.references)))

    def multiply_adds(self, *_input_shapes: tuple) -> int:
        return 0  # single products

    def compute_output_shape(self, input_shape: list[tuple]) -> tuple:
        return (*input_shape[0][:3], 3 * len(self.references))


class Counted(layers.Layer):
    """Points [B, h, w, 3·K] → [B, h, w, 1]: how many of them have a score of 0.5 or more."""

    def call(self, points: Any) -> Any:
        return ops.sum(ops.cast(points[..., 2::3] >= SURE, "float32"), axis=-1, keepdims=True)

    def multiply_adds(self, *_input_shapes: tuple) -> int:
        return 0  # comparisons

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (*input_shape[:3], 1)
