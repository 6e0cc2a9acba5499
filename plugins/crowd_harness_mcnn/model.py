"""The three columns of MCNN."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

    from harness import ModelOptions

KERNELS = ((9, 7, 7, 7), (7, 5, 5, 5), (5, 3, 3, 3))
FILTERS = ((16, 32, 16, 8), (20, 40, 20, 10), (24, 48, 24, 12))

GREY_MEAN = 110.0
GREY_SCALE = 64.0
"""Grey values are centred and scaled by these for the optimiser's sake. It is done behind the padding of the first
convolution, so a border still reads as raw grey 0 and a network trained on raw values is this network with other weights."""


def build(options: ModelOptions) -> keras.Model:
    """float32 [B, H, W, 1] grey values 0–255 → density map [B, H/4, W/4, 1]. 127,953 parameters."""
    import keras
    from keras import layers

    from harness.nn.activations import density_layer

    image = keras.Input((None, None, 1), name="image")
    columns = []
    for column, (kernels, filters) in enumerate(zip(KERNELS, FILTERS, strict=True), 1):
        x = layers.ZeroPadding2D(kernels[0] // 2, name=f"column{column}_border")(image)
        x = layers.Rescaling(1 / GREY_SCALE, -GREY_MEAN / GREY_SCALE, name=f"column{column}_grey")(x)
        for number, (kernel, count) in enumerate(zip(kernels, filters, strict=True), 1):
            x = layers.Conv2D(
                count,
                kernel,
                padding="valid" if number == 1 else "same",
                activation="relu",
                kernel_initializer="he_normal",
                name=f"column{column}_conv{number}",
            )(x)
            if number <= 2:
                x = layers.MaxPooling2D(name=f"column{column}_pool{number}")(x)
        columns.append(x)
    x = layers.Concatenate(name="columns")(columns)
    x = layers.Conv2D(1, 1, name="fuse", **density_layer(options.density_scale))(x)
    density = layers.Rescaling(options.heads_a_cell(4), dtype="float32", name="density")(x)
    return keras.Model(image, density, name="mcnn")
