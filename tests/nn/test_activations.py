"""A ReLU that comes back to life, on every backend."""

from __future__ import annotations

import numpy as np
import pytest

from harness.method import Method, ModelOptions
from harness.nn.activations import SLOPE, recovering_relu
from harness.recipe import Recipe, Stage
from harness.training import backend
from harness.training.network import PointTrainer

pytestmark = pytest.mark.backend


def test_forward_it_is_a_relu() -> None:
    from keras import ops

    values = np.random.default_rng(0).normal(0, 3, (2, 5, 7, 1)).astype(np.float32)
    np.testing.assert_array_equal(ops.convert_to_numpy(recovering_relu(values)), np.maximum(values, 0))


def test_a_last_layer_that_starts_dead_learns() -> None:
    """One 1×1 layer of bias −0.95 on black pictures: its gradient is a leaky ReLU's, and SGD follows it until it counts."""
    import keras

    def build(options: ModelOptions) -> keras.Model:
        image = keras.Input((None, None, 3))
        bias = keras.initializers.Constant(-0.95)
        x = keras.layers.Conv2D(1, 1, strides=8, activation=recovering_relu, bias_initializer=bias)(image)
        return keras.Model(image, x)

    def loss(batch: object, outputs: dict, options: ModelOptions) -> dict:
        from keras import ops

        return {"density": ops.mean(ops.square(outputs["density"] - 2.0)) / 2}

    backend.prepare(0)
    made = PointTrainer(
        build(ModelOptions()), Method("m", "M", "me", build, loss, Recipe("paper", 1), 8), ModelOptions()
    )
    made.start(Stage(optimizer="sgd", learning_rate=1.0), False)
    images, points = np.zeros((2, 16, 16, 3), np.uint8), np.ones((2, 16, 4), np.float32)
    bias = -0.95
    for _ in range(12):
        made.step(images, points)
        # d/db of (relu(b) − 2)² / 2, with the slope below zero.
        bias -= (max(bias, 0.0) - 2.0) * (1.0 if bias > 0 else SLOPE)
        assert float(np.asarray(made.network.get_weights()[1])[0]) == pytest.approx(bias, abs=1e-5)
    assert bias == pytest.approx(2.0)
