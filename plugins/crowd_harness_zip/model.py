"""ZIP's networks of sizes P, N and T: MobileNetV4, a decoder to one cell a block of 16 × 16 pixels, two heads.

Follows the authors' released code (see README).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import layers, ops

from crowd_harness_zip import mobilenet_v4
from crowd_harness_zip.mobilenet_v4 import convolution, depthwise
from harness.nn import vgg16
from harness.nn.resizing import Enlarge

if TYPE_CHECKING:
    from harness import ModelOptions

# The classes of a block's count: each begins at its floor and ends before the next one's. Its centre is the mean count of the
# blocks in it over ShanghaiTech A's training images, from the statistics that the authors' code comes with.
FLOORS = (0, *range(1, 11), 11, 13, 15)
CENTRES = (0.0, *map(float, range(1, 11)), 11.384244, 13.373132, 16.217618)


def build(options: ModelOptions) -> keras.Model:
    """float32 [B, H, W, 3] RGB values 0–255, H and W multiples of 32 → a dict of

    "density" [B, H/16, W/16, 1]: heads expected in each block, (1 − π) λ; its sum is the count;
    "class_logits" [B, H/16, W/16, 13]: the scores of the classes of counts from 1 on;
    "rate" [B, H/16, W/16, 1]: λ, the heads expected in a block that is not structurally empty, at least 1;
    "zero_logits" [B, H/16, W/16, 2]: the scores of "structurally empty" and its contrary, whose softmax is π and 1 − π.

    817,887 parameters that are trained in size P, 3,370,079 in N, 10,534,847 in T. A variant that is not zero-inflated has
    14 classes, the empty block's among them, its density is λ, and it has no other outputs.
    """
    size = options.variant.get("size", "p")
    image = keras.Input((None, None, 3), name="image")
    x = vgg16.normalize(image)
    if size == "t":
        x = mobilenet_v4.features(x, mobilenet_v4.MEDIUM)
        refine = _separable_block
    else:
        x = mobilenet_v4.features(x, mobilenet_v4.SMALL, width=0.5 if size == "p" else 1.0)
        refine = _light_block
    channels = x.shape[-1]
    x = refine(Enlarge(2, name="refiner_enlarge")(x), channels, "refiner")
    while channels > 256:
        channels //= 2
        x = refine(x, channels, f"decoder{channels}")
    return keras.Model(image, heads(x, "regression" not in options.variant), name=f"zip_{size}")


def heads(x: Any, zero_inflated: bool) -> dict[str, Any]:
    """The network's outputs (see `build`) from features of blocks [B, h, w, C]."""
    centres = CENTRES[1:] if zero_inflated else CENTRES
    logits = _head(x, len(centres), "class_logits")
    if not zero_inflated:
        return {"class_logits": logits, "density": Rate(centres, name="density", dtype="float32")(logits)}
    rate = Rate(centres, name="rate", dtype="float32")(logits)
    zeros = _head(x, 2, "zero_logits")
    density = Expected(name="density", dtype="float32")([zeros, rate])
    return {"class_logits": logits, "rate": rate, "zero_logits": zeros, "density": density}


def _head(x: Any, filters: int, name: str) -> Any:
    # Glorot's start: the official code's, He's by the number of outputs, has scores of ±10, whose softmax is saturated.
    x = layers.Conv2D(filters, 1, name=f"{name}_conv")(x)
    return layers.Activation("linear", dtype="float32", name=name)(x)


def _light_block(x: Any, filters: int, name: str) -> Any:
    """Sizes P and N: depthwise 3×3, then 1×1 to `filters`, and the input beside it."""
    inner = depthwise(x, 3, f"{name}_depthwise")
    inner = convolution(inner, 1, filters, f"{name}_pointwise", activate=False)
    return _beside(inner, x, name)


def _separable_block(x: Any, filters: int, name: str) -> Any:
    """Size T: two depthwise separable 3×3 convolutions to `filters`, and the input beside them."""
    inner = x
    for number in (1, 2):
        inner = layers.DepthwiseConv2D(
            3,
            padding="same",
            use_bias=False,
            depthwise_initializer=keras.initializers.RandomNormal(stddev=(2 / 9) ** 0.5),
            name=f"{name}_depthwise{number}",
        )(inner)
        inner = convolution(inner, 1, filters, f"{name}_pointwise{number}", activate=number == 1)
    return _beside(inner, x, name)


def _beside(inner: Any, x: Any, name: str) -> Any:
    filters = inner.shape[-1]
    if x.shape[-1] != filters:
        x = convolution(x, 1, filters, f"{name}_shortcut", activate=False)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([inner, x]))


class Rate(layers.Layer):
    """Scores of classes [B, h, w, n] → [B, h, w, 1]: the mean of their centres, each weighted by its softmax."""

    def __init__(self, centres: tuple[float, ...], **options: Any) -> None:
        super().__init__(**options)
        self.centres = centres

    def call(self, logits: Any) -> Any:
        return ops.sum(
            ops.softmax(logits, axis=-1) * ops.convert_to_tensor(self.centres, logits.dtype), -1, keepdims=True
        )

    def multiply_adds(self, *_input_shapes: tuple) -> int:
        return 0  # a mean

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (*input_shape[:3], 1)


class Expected(layers.Layer):
    """[scores of "empty" and its contrary [B, h, w, 2], λ [B, h, w, 1]] → [B, h, w, 1]: (1 − π) λ."""

    def call(self, inputs: list[Any]) -> Any:
        zeros, rate = inputs
        return ops.softmax(zeros, axis=-1)[..., 1:] * rate

    def multiply_adds(self, *_input_shapes: tuple) -> int:
        return 0  # single products

    def compute_output_shape(self, input_shape: list[tuple]) -> tuple:
        return input_shape[1]
