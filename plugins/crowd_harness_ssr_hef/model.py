"""SSR-HEF: three scales refined by their own segmentation maps, fused, enhanced; a light network trained from scratch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import layers, ops

from harness.nn.resizing import GridPooling

if TYPE_CHECKING:
    from harness import ModelOptions

DILATIONS = (1, 2, 3, 4)
SCALES = ((32,), (64, 64), (96, 96))  # filters at 1/2, 1/4, 1/8; the figure is lost, these give the 2 MB of Table IX
DILATED, FUSED, ENHANCED, LAST = 16, 128, 48, 16
GRID, HIDDEN = 16, 64
CLASSES = 15


def build(options: ModelOptions) -> keras.Model:
    """float32 [B, H, W, 3] RGB values 0–255, H and W multiples of 8 → a dict of

    "density" [B, H/8, W/8, 1]; "segmentation2", "segmentation4", "segmentation8": 0–1 at those strides, absent in the
    variant without refining; "classes" [B, K]: logits of the classes of counts, absent where K is 0.
    """
    image = keras.Input((None, None, 3), name="image")
    x = layers.Rescaling(1 / 64.0, -110.0 / 64.0, name="centred")(image)
    x = layers.Concatenate(name="dilated")(
        [_convolve(x, DILATED, f"dilated_conv{rate}", dilation=rate) for rate in DILATIONS]
    )
    outputs, refined = {}, []
    for number, filters in enumerate(SCALES, 1):
        x = layers.MaxPooling2D(name=f"pool{number}")(x)
        for depth, channels in enumerate(filters, 1):
            x = _convolve(x, channels, f"scale{number}_conv{depth}")
        if options.variant.get("refine", True):
            x, outputs[f"segmentation{2**number}"] = _refine(x, f"segmentation{2**number}")
        refined.append(x)
    pooled = [
        layers.AveragePooling2D(2 ** (len(SCALES) - number), name=f"pooled{number}")(features)
        for number, features in enumerate(refined[:-1], 1)
    ]
    fused = _convolve(layers.Concatenate(name="joined")([*pooled, refined[-1]]), FUSED, "fusion")
    classes = options.variant.get("classes", CLASSES)
    if classes:
        hidden = layers.Flatten(name="grid")(GridPooling(GRID, name="pyramid_pooling")(fused))
        hidden = layers.Dense(HIDDEN, activation="relu", name="class_hidden")(hidden)
        outputs["classes"] = layers.Dense(classes, dtype="float32", name="classes")(hidden)
    x = _enhance(fused) if options.variant.get("enhance", True) else fused
    x = _convolve(x, LAST, "output_conv")
    x = layers.Conv2D(1, 1, kernel_initializer="he_normal", name="output")(x)
    outputs["density"] = layers.Rescaling(options.heads_a_cell(8), dtype="float32", name="density")(x)
    return keras.Model(image, outputs, name="ssr_hef")


def _refine(features: Any, name: str) -> tuple[Any, Any]:
    """F ⊙ σ(Ŝ), and σ(Ŝ): the map of where the crowd is decides what the next layers see (section III-B)."""
    logits = layers.Conv2D(1, 1, kernel_initializer="he_normal", name=f"{name}_logits")(features)
    crowd = layers.Activation("sigmoid", dtype="float32", name=name)(logits)
    return layers.Multiply(name=f"{name}_refined")([features, crowd]), crowd


def _enhance(features: Any) -> Any:
    """The feature enhancement layer (Fig. 5): convolved features times σ(conv of their channel maximum and mean)."""
    x = _convolve(features, ENHANCED, "enhance_conv")
    # The maximum of 48 channels is large and nothing normalises it: a start of Glorot's would have the gate shut, or wide
    # open, in most places.
    weights = layers.Conv2D(
        1,
        7,
        padding="same",
        activation="sigmoid",
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        name="enhance_weights",
    )(ChannelPooling(name="enhance_pool")(x))
    return layers.Multiply(name="enhanced")([x, weights])


class ChannelPooling(layers.Layer):
    """[B, H, W, C] → [B, H, W, 2]: the maximum and the mean over channels."""

    def call(self, values: Any) -> Any:
        return ops.concatenate([ops.max(values, -1, keepdims=True), ops.mean(values, -1, keepdims=True)], axis=-1)

    def multiply_adds(self, *_input_shapes: tuple) -> int:
        return 0  # a maximum and a mean

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (*input_shape[:-1], 2)


def _convolve(x: Any, filters: int, name: str, dilation: int = 1) -> Any:
    return layers.Conv2D(
        filters,
        3,
        padding="same",
        dilation_rate=dilation,
        activation="relu",
        kernel_initializer="he_normal",
        name=name,
    )(x)
