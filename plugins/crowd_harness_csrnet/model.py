"""CSRNet configuration B: ten VGG-16 convolutions, then six of dilation 2."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

    from harness import ModelOptions

BACKEND_FILTERS = (512, 512, 512, 256, 128, 64)


def build(options: ModelOptions) -> keras.Model:
    """float32 [B, H, W, 3] RGB values 0–255 → density map [B, H/8, W/8, 1]. 16,263,489 parameters."""
    import keras
    from keras import layers

    from harness import vgg16

    image = keras.Input((None, None, 3), name="image")
    x = vgg16.normalize(image)
    x = vgg16.blocks(x, last="block4_conv3", he_start=options.pretrained == "none")
    # The paper's N(0, 0.01) needs pretrained features in front of it: from scratch the signal dies in six such layers.
    start = "he_normal" if options.pretrained == "none" else keras.initializers.RandomNormal(stddev=0.01)
    for number, filters in enumerate(BACKEND_FILTERS, 1):
        x = layers.Conv2D(
            filters,
            3,
            padding="same",
            dilation_rate=2,
            activation="relu",
            kernel_initializer=start,
            name=f"dilated_conv{number}",
        )(x)
    x = layers.Conv2D(1, 1, kernel_initializer=keras.initializers.RandomNormal(stddev=0.01), name="output")(x)
    density = layers.Rescaling(1 / options.density_scale, dtype="float32", name="density")(x)
    network = keras.Model(image, density, name="csrnet")
    vgg16.load_pretrained(network, options.pretrained)
    return network
