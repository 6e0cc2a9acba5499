"""CSRNet configuration B: ten VGG-16 convolutions, then six of dilation 2."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

    from harness import ModelOptions

BACKEND_FILTERS = (512, 512, 512, 256, 128, 64)
STRIDE = 8


def build(options: ModelOptions) -> keras.Model:
    """float32 [B, H, W, 3] RGB values 0–255 → density map [B, H/8, W/8, 1]. 16,263,489 parameters."""
    import keras

    from harness.nn import vgg16

    image = keras.Input((None, None, 3), name="image")
    x = vgg16.blocks(vgg16.normalize(image), last="block4_conv3", he_start=options.pretrained == "none")
    names = [f"dilated_conv{number}" for number in range(1, 7)]
    x = dilated(x, zip(names, BACKEND_FILTERS, strict=True), options)
    network = keras.Model(image, density(last(x, "output"), options), name="csrnet")
    vgg16.load_pretrained(network, options.pretrained)
    return network


def he_start(options: ModelOptions) -> bool:
    """Whether the dilated convolutions start from He's distribution and not from the paper's N(0, 0.01).

    Six layers of N(0, 0.01) hand on 0.004 of what they are given. The paper starts so, behind pretrained features, with an
    output in heads a cell and a rate made for it. Under any other scale, or from scratch, that start learns late.
    """
    return options.pretrained == "none" or options.heads_a_cell(STRIDE) != 1.0


def dilated(x: Any, names_and_filters: Iterable[tuple[str, int]], options: ModelOptions) -> Any:
    """3×3 convolutions of dilation 2, each with ReLU, of the given names and numbers of filters."""
    import keras

    he = he_start(options)
    for name, filters in names_and_filters:
        x = keras.layers.Conv2D(
            filters,
            3,
            padding="same",
            dilation_rate=2,
            activation="relu",
            # One a layer: a shared one draws the same values for every layer of a shape, whatever the seed.
            kernel_initializer="he_normal" if he else keras.initializers.RandomNormal(stddev=0.01),
            name=name,
        )(x)
    return x


def last(x: Any, name: str) -> Any:
    """The 1×1 convolution to one map."""
    import keras

    return keras.layers.Conv2D(1, 1, kernel_initializer=keras.initializers.RandomNormal(stddev=0.01), name=name)(x)


def density(scaled: Any, options: ModelOptions) -> Any:
    """The density map, float32, from the map the last layer predicts."""
    import keras

    return keras.layers.Rescaling(options.heads_a_cell(STRIDE), dtype="float32", name="density")(scaled)
