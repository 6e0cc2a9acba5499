"""Exact multiply-adds of a network at one image size, counted from its graph.

(TensorFlow 1's profiler counts a grouped convolution at a fraction of what it is, and needs the graph to be run.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

# Layers that multiply no weights with a sum: additions, comparisons and single products are not counted, as everywhere.
UNCOUNTED = (
    layers.InputLayer,
    layers.Activation,
    layers.ReLU,
    layers.LeakyReLU,
    layers.PReLU,
    layers.ELU,
    layers.Softmax,
    layers.BatchNormalization,
    layers.LayerNormalization,
    layers.GroupNormalization,
    layers.Normalization,
    layers.Rescaling,
    layers.Dropout,
    layers.SpatialDropout2D,
    layers.GaussianNoise,
    layers.MaxPooling2D,
    layers.AveragePooling2D,
    layers.GlobalAveragePooling2D,
    layers.GlobalMaxPooling2D,
    layers.UpSampling2D,
    layers.ZeroPadding2D,
    layers.Cropping2D,
    layers.Concatenate,
    layers.Add,
    layers.Subtract,
    layers.Multiply,
    layers.Average,
    layers.Maximum,
    layers.Minimum,
    layers.Reshape,
    layers.Flatten,
    layers.Permute,
    layers.RepeatVector,
    layers.Identity,
)
_NAMES = (
    "Absolute Add BroadcastTo Cast Clip Concatenate Divide Exp ExpandDims GetItem Log Max Maximum Mean Min Minimum Multiply "
    "Negative Pad Power Relu Repeat Reshape Sigmoid Softmax Softplus Sqrt Square Squeeze Stack Subtract Sum Tanh Tile "
    "Transpose TrueDivide"
)
PLAIN_OPERATIONS = frozenset(_NAMES.split())  # class names of keras.ops that multiply no weights


@dataclass(frozen=True)
class Counted:
    """Multiply-adds of one image, and the classes of layers that could not be counted."""

    multiply_adds: int
    not_counted: tuple[str, ...]


def count(network: keras.Model, height: int, width: int) -> Counted:
    """Multiply-adds of `network` on one image of `height` × `width`; biases, activations and pooling are not counted.

    A layer of another class counts itself with a method `multiply_adds(*input_shapes) -> int`; one that does not is named in
    `not_counted`.

    Args:
        network: a functional model with one image as its input; nothing is computed and no weight is copied.
    """
    total = 0
    unknown: set[str] = set()

    def call(layer: Any, *arguments: Any, **options: Any) -> Any:
        nonlocal total
        output = layer(*arguments, **options)
        if isinstance(layer, keras.Model) and not hasattr(layer, "multiply_adds") and len(layer.inputs) == 1:
            inner = count(keras.Model(layer.inputs[0], layer.outputs), *arguments[0].shape[1:3])
            total += inner.multiply_adds
            unknown.update(inner.not_counted)
            return output
        found = of_layer(
            layer, [tensor.shape for tensor in keras.tree.flatten(arguments) if hasattr(tensor, "shape")], output
        )
        if found is None:
            unknown.add(type(layer).__name__)
        total += found or 0
        return output

    channels = network.inputs[0].shape[-1]
    image = keras.Input((height, width, channels), batch_size=1)
    # The layers themselves are called again on a symbolic image of known size.
    keras.models.clone_model(network, input_tensors=image, clone_function=lambda layer: layer, call_function=call)
    return Counted(total, tuple(sorted(unknown)))


def of_layer(layer: Any, inputs: list[tuple], output: Any) -> int | None:
    """Multiply-adds of one call of `layer`; None where it is of a kind this does not know."""
    own = getattr(layer, "multiply_adds", None)
    if own is not None:
        return int(own(*inputs))
    if isinstance(layer, layers.Conv2DTranspose):  # each input cell is spread over the kernel
        return _area(inputs[0]) * inputs[0][-1] * math.prod(layer.kernel_size) * layer.filters
    if isinstance(layer, layers.SeparableConv2D):
        middle = inputs[0][-1] * layer.depth_multiplier
        return _area(output.shape) * middle * (math.prod(layer.kernel_size) + layer.filters)
    if isinstance(layer, layers.DepthwiseConv2D):
        return _area(output.shape) * output.shape[-1] * math.prod(layer.kernel_size)
    if isinstance(layer, layers.Conv2D):
        return _area(output.shape) * layer.filters * math.prod(layer.kernel_size) * (inputs[0][-1] // layer.groups)
    if isinstance(layer, layers.Dense):
        return math.prod(inputs[0][1:]) * layer.units
    is_operation = not isinstance(layer, layers.Layer)
    if isinstance(layer, UNCOUNTED) or (is_operation and type(layer).__name__ in PLAIN_OPERATIONS):
        return 0
    return None


def _area(shape: tuple) -> int:
    return int(shape[1]) * int(shape[2])
