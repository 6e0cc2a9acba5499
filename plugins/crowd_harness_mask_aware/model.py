"""Mask-aware networks: a shared backbone, a mask branch, and a density regressor that is told the mask in one of five ways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import layers, ops

from harness.nn import vgg16

if TYPE_CHECKING:
    from harness import ModelOptions

CHANNELS = 256
BRANCH = 64  # channels each of the four branches of an inception unit adds to its output
REDUCED = 160  # channels inside its two separable branches; the figure is lost, this meets "less than 5.1 million"
STRIDE = 4
STRIDE_CSR = 8
FUSED = ("solution4", "solution5", "baseline3")


def build(options: ModelOptions) -> keras.Model:
    """The light network: float32 [B, H, W, 1] grey values 0–255, H and W multiples of 4 → see `_assemble`."""
    image = keras.Input((None, None, 1), name="image")
    x = layers.Rescaling(1 / 64.0, -110.0 / 64.0, name="grey")(image)
    for number, filters in enumerate((64, 64, 0, 128, 128, 0, 128), 1):
        x = _convolve(x, filters, 3, f"backbone{number}") if filters else layers.MaxPooling2D(name=f"pool{number}")(x)
    for unit in (1, 2):
        x = inception(x, f"inception{unit}")
    return _assemble(image, x, options, STRIDE, "mask_aware")


def build_csr(options: ModelOptions) -> keras.Model:
    """On CSRNet's VGG part: float32 [B, H, W, 3] RGB values 0–255, H and W multiples of 8 → see `_assemble`."""
    image = keras.Input((None, None, 3), name="image")
    x = vgg16.blocks(vgg16.normalize(image), last="block4_conv3", he_start=options.pretrained == "none")
    x = _convolve(x, CHANNELS, 3, "adapter")
    network = _assemble(image, x, options, STRIDE_CSR, "mask_aware_csr")
    vgg16.load_pretrained(network, options.pretrained)
    return network


def inception(x: Any, name: str) -> Any:
    """Four branches of 64 channels: 1×1; 1×7, 7×1; 7×1, 1×7 twice; average pool. 256 channels together."""
    one = _convolve(x, BRANCH, 1, f"{name}_1x1")
    seven = _convolve(x, REDUCED, 1, f"{name}_7_reduce")
    seven = _convolve(seven, REDUCED, (1, 7), f"{name}_7_across")
    seven = _convolve(seven, BRANCH, (7, 1), f"{name}_7_down")
    double = _convolve(x, REDUCED, 1, f"{name}_77_reduce")
    for number, size in enumerate(((7, 1), (1, 7), (7, 1)), 1):
        double = _convolve(double, REDUCED, size, f"{name}_77_{number}")
    double = _convolve(double, BRANCH, (1, 7), f"{name}_77_4")
    pooled = layers.AveragePooling2D(3, strides=1, padding="same", name=f"{name}_pool")(x)
    pooled = _convolve(pooled, BRANCH, 1, f"{name}_pool_1x1")
    return layers.Concatenate(name=f"{name}_join")([one, seven, double, pooled])


def _assemble(image: Any, features: Any, options: ModelOptions, stride: int, name: str) -> keras.Model:
    """The branches behind the backbone. A dict of

    "density" [B, h, w, 1]: what is predicted in test, from the predicted mask;
    "mask_logits" [B, h, w, 1]: the posterior of the foreground before its sigmoid (absent without a mask branch);
    "taught" [B, h, w, 1]: the density under the true mask, trained on in its place (solutions 1 and 4);
    "auxiliary" [B, h, w, 1]: the density that baseline 3 predicts where the others predict the mask.

    Solutions 1 and 4 take the true mask as input "true_mask" [B, h, w, 1] in training.
    """
    solution = options.variant.get("solution", "solution5")
    inputs: Any = image
    outputs = {}
    if solution in ("baseline1", "baseline2"):
        scaled = _regress(features, 1 if solution == "baseline1" else 3, "regressor")
        return keras.Model(image, {"density": _to_heads(scaled, stride, options, "density")}, name=name)
    branch = _convolve(features, CHANNELS, 3, "mask_conv1")
    told = layers.Conv2D(1, 1, kernel_initializer="he_normal", name="mask_conv2")(branch)
    if solution == "baseline3":
        outputs["auxiliary"] = _to_heads(told, stride, options, "auxiliary")
    else:
        outputs["mask_logits"] = layers.Activation("linear", dtype="float32", name="mask_logits")(told)
        told = layers.Activation("sigmoid", dtype="float32", name="mask")(outputs["mask_logits"])
    if solution in ("solution1", "solution4"):
        true_mask = keras.Input((None, None, 1), name="true_mask")
        inputs = {"image": image, "true_mask": true_mask}
    if solution in FUSED:
        regress = _fused_regressor(stride, options)
        if solution == "solution4":
            outputs["taught"] = regress(features, true_mask, "taught")
            told = Binary(name="binary_mask")(told)
        outputs["density"] = regress(features, told, "density")
    else:
        density = _to_heads(_regress(features, 1, "regressor"), stride, options, "unmasked")
        if solution == "solution1":
            outputs["taught"] = layers.Multiply(dtype="float32", name="taught")([density, true_mask])
        if solution in ("solution1", "solution3"):
            told = Binary(name="binary_mask")(told)
        outputs["density"] = layers.Multiply(dtype="float32", name="density")([density, told])
    return keras.Model(inputs, outputs, name=name)


def _fused_regressor(stride: int, options: ModelOptions) -> Any:
    """A function (features, mask, name) → density; every call shares its layers.

    Mask → 256 channels, joined to the features, C(512, 256, 3)-C(256, 256, 3)-C(256, 1, 1).
    """
    feedback = _layer(CHANNELS, 3, "feedback")
    first, second = _layer(CHANNELS, 3, "regressor_conv1"), _layer(CHANNELS, 3, "regressor_conv2")
    last = layers.Conv2D(1, 1, kernel_initializer="he_normal", name="regressor_output")

    def regress(features: Any, mask: Any, name: str) -> Any:
        joined = layers.Concatenate(name=f"{name}_join")([features, feedback(mask)])
        return _to_heads(last(second(first(joined))), stride, options, name)

    return regress


def _regress(features: Any, depth: int, name: str) -> Any:
    x = features
    for number in range(1, depth + 1):
        x = _convolve(x, CHANNELS, 3, f"{name}_conv{number}")
    return layers.Conv2D(1, 1, kernel_initializer="he_normal", name=f"{name}_output")(x)


def _to_heads(scaled: Any, stride: int, options: ModelOptions, name: str) -> Any:
    return layers.Rescaling(options.heads_a_cell(stride), dtype="float32", name=name)(scaled)


def _layer(filters: int, size: Any, name: str) -> Any:
    return layers.Conv2D(filters, size, padding="same", activation="relu", kernel_initializer="he_normal", name=name)


def _convolve(x: Any, filters: int, size: Any, name: str) -> Any:
    return _layer(filters, size, name)(x)


class Binary(layers.Layer):
    """1 where the posterior is above 0.5, else 0; backwards, the gradient passes as if nothing were done (Eq. 4)."""

    def call(self, posterior: Any) -> Any:
        hard = ops.cast(posterior > 0.5, posterior.dtype)
        return posterior + ops.stop_gradient(hard - posterior)

    def multiply_adds(self, *_input_shapes: tuple) -> int:
        return 0  # a comparison

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return input_shape
