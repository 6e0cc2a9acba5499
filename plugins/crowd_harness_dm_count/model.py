"""DM-Count's network: that of Bayesian Loss, its last layer with a ReLU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
from crowd_harness_bayesian.model import features
from keras import layers

from harness.nn.activations import density_layer
from harness.nn.vgg import VGG19
from harness.nn.vgg_weights import load_pretrained

if TYPE_CHECKING:
    from harness import ModelOptions

STRIDE = 8


def build(options: ModelOptions) -> keras.Model:
    """float32 [B, H, W, 3] RGB values 0–255, H and W multiples of 16 → density map [B, H/8, W/8, 1].

    21,499,457 parameters.
    """
    image = keras.Input((None, None, 3), name="image")
    # PyTorch's start can lie below zero everywhere.
    x = layers.Conv2D(1, 1, name="output", **density_layer(options.density_scale))(features(image, options))
    density = layers.Rescaling(options.heads_a_cell(STRIDE), dtype="float32", name="density")(x)
    network = keras.Model(image, density, name="dm_count")
    load_pretrained(VGG19, network, options.pretrained)
    return network
