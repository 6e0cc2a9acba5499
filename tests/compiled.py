"""What networks and losses compute, each in one compilation on JAX, which else compiles every operation for itself (20 ms)."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from harness.method import Method, ModelOptions
from harness.nn.batch import Batch


def tensor(value: np.ndarray) -> Any:
    """`value` as a tensor of the backend."""
    return keras.ops.convert_to_tensor(value)


def to_numpy(value: object) -> np.ndarray:
    """`value`, a tensor of the backend, as an array."""
    return keras.ops.convert_to_numpy(value)


def outputs_of(network: Any, inputs: Any) -> Any:
    """The outputs of `network` for `inputs`, as in prediction: tensors of the backend, arrays on JAX."""
    return network.predict_on_batch(inputs) if keras.backend.backend() == "jax" else network(inputs)


def losses_of(method: Method, batch: Batch, outputs: Any, options: ModelOptions) -> dict[str, Any]:
    """The terms of `method`'s loss, by name."""

    def loss(image: Any, points: Any, maps: Any, outputs: Any) -> dict[str, Any]:
        return method.loss(Batch(image, points, maps), outputs, options)

    return _in_one(loss)(batch.image, batch.points, dict(batch.maps), outputs)


def computed(function: Any, *values: Any, **options: Any) -> np.ndarray:
    """`function` of arrays as the backend's tensors, as NumPy; whatever else `values` has is passed on as it is."""
    places = [place for place, value in enumerate(values) if isinstance(value, np.ndarray)]

    def of_tensors(*tensors: Any) -> Any:
        given = list(values)
        for place, tensor in zip(places, tensors, strict=True):
            given[place] = tensor
        return function(*given, **options)

    return to_numpy(_in_one(of_tensors)(*(tensor(values[place]) for place in places)))


def _in_one(function: Any) -> Any:
    if keras.backend.backend() != "jax":
        return function
    import jax

    return jax.jit(function)
