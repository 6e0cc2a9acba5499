"""The three columns of MCNN."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

    from harness import ModelOptions

KERNELS = ((9, 7, 7, 7), (7, 5, 5, 5), (5, 3, 3, 3))
FILTERS = ((16, 32, 16, 8), (20, 40, 20, 10), (24, 48, 24, 12))


def build(options: ModelOptions) -> keras.Model:
    """float32 [B, H, W, 1] grey values 0–255 → density map [B, H/4, W/4, 1]. 133,117 parameters."""
    import keras
    from keras import layers

    image = keras.Input((None, None, 1), name="image")
    columns = []
    for column, (kernels, filters) in enumerate(zip(KERNELS, FILTERS, strict=True), 1):
        x = image
        for number, (kernel, count) in enumerate(zip(kernels, filters, strict=True), 1):
            x = layers.Conv2D(
                count,
                kernel,
                padding="same",
                activation="relu",
                # The first layer sees raw grey values of order 100; He's rule expects order 1.
                kernel_initializer=_raw_grey_initializer() if number == 1 else "he_normal",
                name=f"column{column}_conv{number}",
            )(x)
            if number <= 2:
                x = layers.MaxPooling2D(name=f"column{column}_pool{number}")(x)
        columns.append(x)
    x = layers.Concatenate(name="columns")(columns)
    x = layers.Conv2D(1, 1, activation="relu", bias_initializer=_small_positive(), name="fuse")(x)
    density = layers.Rescaling(1 / options.density_scale, dtype="float32", name="density")(x)
    return keras.Model(image, density, name="mcnn")


def _raw_grey_initializer() -> keras.Initializer:
    from keras import initializers

    return initializers.VarianceScaling(scale=2.0 / 128.0**2, mode="fan_in", distribution="truncated_normal")


def _small_positive() -> keras.Initializer:
    """A bias above zero: the ReLU behind it must not start (and stay) dead."""
    from keras import initializers

    return initializers.Constant(0.1)
