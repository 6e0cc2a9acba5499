"""The gradient of a loss with respect to an array, on whichever backend runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np


def value_and_gradient(loss: Callable[[Any], Any], at: np.ndarray) -> tuple[float, np.ndarray]:
    """The scalar `loss(at)` and its gradient, compiled as a training step is where the backend compiles."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        @tf.function
        def both(x: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                value = loss(x)
            return value, tape.gradient(value, x)

        value, gradient = both(tf.constant(at))
    elif backend == "jax":
        import jax

        value, gradient = jax.jit(jax.value_and_grad(loss))(at)
    else:
        x = keras.ops.convert_to_tensor(at).requires_grad_()
        value = loss(x)
        value.backward()
        value, gradient = value.detach(), x.grad
    return float(value), np.asarray(keras.ops.convert_to_numpy(gradient))
