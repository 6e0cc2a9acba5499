"""A NumPy function inside a compiled step: for what no tensor operation does, an assignment by SciPy, say.

One of three modules that import a backend, with `harness/training/backend.py` and `harness/nn/torch_module.py`: losses need it,
and they lie below training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def on_host(function: Callable[..., np.ndarray], *arguments: Any, shape: Sequence[Any], dtype: str) -> Any:
    """`function` of `arguments` as NumPy arrays, called on the host whenever a step runs. No gradient flows through it.

    A network whose loss calls it is made by `calls_host`.

    Args:
        shape: of what `function` returns; sides that TensorFlow does not know yet may be tensors, as `ops.shape` gives them.
        dtype: what its result is cast to.

    Returns:
        a tensor of `shape` and `dtype`.
    """
    import keras
    from keras import ops

    arguments = tuple(ops.stop_gradient(argument) for argument in arguments)

    def called(*arrays: Any) -> np.ndarray:
        return np.asarray(function(*map(np.asarray, arrays)), dtype)

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow

        result = tensorflow.numpy_function(called, arguments, dtype, stateful=False)
        result.set_shape([side if isinstance(side, int) else None for side in shape])
        return ops.stop_gradient(result)
    if backend == "jax":
        import jax

        return jax.pure_callback(called, jax.ShapeDtypeStruct(tuple(shape), dtype), *arguments)
    return ops.convert_to_tensor(called(*map(ops.convert_to_numpy, arguments)))


def calls_host(network: Any) -> Any:
    """`network`, marked as one whose training step calls the host, which TensorFlow's XLA cannot compile; JAX's can."""
    import keras

    if keras.backend.backend() == "tensorflow":
        network.supports_jit = False
    return network
