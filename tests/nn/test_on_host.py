"""NumPy inside a compiled step: its values arrive on every backend, and no gradient flows through it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from harness.nn.on_host import calls_host, on_host

pytestmark = pytest.mark.backend


def ranks(values: np.ndarray, first: np.ndarray) -> np.ndarray:
    return np.argsort(np.argsort(values, axis=0), axis=0) + first  # int64, as NumPy makes it


def test_a_compiled_training_step_calls_it_and_no_gradient_flows_through() -> None:
    """Σ y · rank(y) of y = x w: the ranks are constants to the gradient, which is xᵀ · ranks."""
    x = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
    (weight,) = network.get_weights()

    def loss(_true: Any, y: Any) -> Any:
        return ops.sum(y * on_host(ranks, y, ops.ones((1, 1)), shape=ops.shape(y), dtype="float32"))

    network.compile(optimizer=keras.optimizers.SGD(1.0), loss=loss, jit_compile=keras.backend.backend() == "jax")
    y = x @ weight
    expected = np.array([[sorted(y[:, 0]).index(value) + 1] for value in y[:, 0]], np.float32)
    assert float(network.train_on_batch(x, np.zeros((7, 1)))) == pytest.approx(float((y * expected).sum()), rel=1e-4)
    np.testing.assert_allclose(network.get_weights()[0], weight - x.T @ expected, rtol=1e-4, atol=1e-4)


def test_it_is_cast_and_called_anew_each_time() -> None:
    calls = []

    def count(values: np.ndarray) -> np.ndarray:
        calls.append(values)
        return values.sum(axis=0) + len(calls)

    for call in (1, 2):
        found = on_host(count, ops.ones((4, 2)), shape=(2,), dtype="int32")
        assert keras.backend.standardize_dtype(found.dtype) == "int32"
        np.testing.assert_array_equal(ops.convert_to_numpy(found), [4 + call] * 2)


def test_tensorflow_alone_compiles_such_a_network_without_xla() -> None:
    from keras.src.trainers.trainer import model_supports_jit

    image = keras.Input((4,))
    inner = calls_host(keras.Model(image, keras.layers.Dense(1)(image)))
    outer = keras.Sequential([keras.Input((4,)), inner])  # as the trainer holds a method's network
    assert model_supports_jit(outer) == (keras.backend.backend() != "tensorflow")
