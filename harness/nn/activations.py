"""How last layers of densities begin, and how they come back from below zero."""

from __future__ import annotations

from typing import Any

from keras import ops

SLOPE = 0.1
USUAL = 0.001  # heads a pixel


def recovering_relu(values: Any, slope: float = SLOPE) -> Any:
    """ReLU forward; backward, values below zero have a gradient of `slope` instead of none.

    A density's last ReLU that is below zero everywhere would stay so for ever, for nothing tells it that people are there.
    Where the target is zero too nothing pulls at it, so the network learned is one with an ordinary ReLU.
    """
    below = ops.minimum(values, 0.0) * slope
    return ops.relu(values) + (below - ops.stop_gradient(below))


def density_layer(density_scale: float) -> dict[str, Any]:
    """Arguments of a last 1×1 convolution whose ReLU is a density, in heads a pixel × `density_scale`.

    It starts at about 0.001 heads a pixel in every cell: above zero, and no larger than densities are, for from a loud start
    the first steps push the whole map below zero at once; and from below it comes back, for on sparse pictures the first steps
    do so from any start.
    """
    import keras

    usual = USUAL * density_scale
    return {
        "activation": recovering_relu,
        "kernel_initializer": keras.initializers.RandomNormal(stddev=0.05 * usual),
        "bias_initializer": keras.initializers.Constant(usual),
    }
