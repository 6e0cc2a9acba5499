"""The network of Bayesian Loss, which DM-Count took over: VGG-19 to conv5_4, doubled, three convolutions; stride 8."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import layers, ops

from harness.nn.resizing import AlignedUpsampling
from harness.nn.vgg import VGG19, normalize
from harness.nn.vgg_weights import load_pretrained

if TYPE_CHECKING:
    from harness import ModelOptions

STRIDE = 8
FILTERS = (256, 128)


def build(options: ModelOptions) -> keras.Model:
    """float32 [B, H, W, 3] RGB values 0–255, H and W multiples of 16 → density map [B, H/8, W/8, 1].

    21,499,457 parameters. The density is the absolute value of what the last layer predicts.
    """
    image = keras.Input((None, None, 3), name="image")
    x = features(image, options)
    x = convolution(x, 1, 1, "output", activation=None)
    x = layers.Rescaling(options.heads_a_cell(STRIDE), dtype="float32", name="signed")(x)
    network = keras.Model(image, ops.absolute(x), name="bayesian")
    load_pretrained(VGG19, network, options.pretrained)
    return network


def features(image: Any, options: ModelOptions) -> Any:
    """[B, H, W, 3] → [B, H/8, W/8, 128]: everything before the last layer."""
    x = VGG19.blocks(normalize(image), he_start=options.pretrained == "none")
    x = AlignedUpsampling(name="doubled")(x)
    for number, filters in enumerate(FILTERS, 1):
        x = convolution(x, filters, 3, f"regression_conv{number}", activation="relu")
    return x


def convolution(x: Any, filters: int, size: int, name: str, activation: str | None) -> Any:
    """A convolution that starts as PyTorch's do: weights and bias uniform in ±1/√fan-in."""
    limit = (size * size * x.shape[-1]) ** -0.5
    # One initialiser a layer: a shared one draws the same values for every layer of a shape.
    weights, bias = (keras.initializers.RandomUniform(-limit, limit) for _ in range(2))
    given = {"kernel_initializer": weights, "bias_initializer": bias}
    return layers.Conv2D(filters, size, padding="same", activation=activation, name=name, **given)(x)
