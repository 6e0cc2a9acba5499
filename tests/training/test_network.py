"""The trainer of points: what reaches a loss and a network whatever it computes in, what is trained, what is measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from harness.method import Method, ModelOptions
from harness.nn.batch import REGION
from harness.recipe import Recipe, Stage
from harness.training import backend
from harness.training.network import PointTrainer

pytestmark = pytest.mark.backend


def crops() -> tuple[np.ndarray, np.ndarray]:
    """Two images and 9 heads each, of sigma 4, at places that bfloat16 does not hold."""
    generator = np.random.default_rng(3)
    points = np.concatenate([generator.uniform(0, 64, (2, 9, 2)), np.full((2, 9, 1), 4.0), np.ones((2, 9, 1))], axis=2)
    return generator.integers(0, 255, (2, 64, 64, 3), np.uint8), points.astype(np.float32)


def method(build: Any, loss: Any, **more: Any) -> Method:
    return Method("one", "One", "me", build, loss, Recipe("paper", epochs=1), stride=8, **more)


@pytest.fixture(params=["float32", "mixed_bfloat16", "mixed_float16"])
def precision(request: pytest.FixtureRequest) -> Iterator[str]:
    before = keras.mixed_precision.dtype_policy()
    if backend.emulated(request.param):
        pytest.skip("bfloat16 would be emulated here")
    keras.mixed_precision.set_dtype_policy(request.param)
    yield request.param
    keras.mixed_precision.set_dtype_policy(before)


def test_what_is_taught_is_made_from_float32_heads_whatever_the_network_computes_in(precision: str) -> None:
    """On TensorFlow they came as bfloat16: places of heads rounded to half a pixel, and masks that could not be made."""
    seen: dict[str, Any] = {}

    def build(options: ModelOptions) -> keras.Model:
        image, taught = keras.Input((None, None, 3), name="image"), keras.Input((None, None, 1), name="taught")
        density = keras.layers.Conv2D(1, 8, strides=8, activation="softplus", dtype="float32", name="density")(image)
        given = keras.layers.Activation("linear", dtype="float32", name="given")(taught)
        return keras.Model({"image": image, "taught": taught}, {"density": density, "given": given})

    def teach(batch: Any, options: ModelOptions) -> dict[str, Any]:
        seen["dtype"] = keras.backend.standardize_dtype(batch.points.dtype)
        return {"taught": batch.density(8)}

    def loss(batch: Any, outputs: Any, options: ModelOptions) -> dict[str, Any]:
        return {"apart": ops.sum(ops.abs(outputs["given"] - batch.density(8))) + 0.0 * ops.sum(outputs["density"])}

    one = method(build, loss, teach=teach)
    trainer = PointTrainer(build(ModelOptions()), one, ModelOptions(), ("apart",))
    trainer.start(Stage(), backend.jit_compile())
    images, points = crops()
    assert trainer.step(images, points)["apart_loss"] == 0.0 and seen["dtype"] == "float32"


def test_a_layer_that_build_froze_is_trained_in_no_stage() -> None:
    """One in a network within the network too; those that a stage leaves out can be trained in the next."""

    def build(options: ModelOptions) -> keras.Model:
        image, features = keras.Input((None, None, 3)), keras.Input((None, None, 4))
        scaled = keras.layers.Rescaling(1 / 255)(image)
        fixed = keras.layers.Conv2D(4, 3, padding="same", trainable=False, name="fixed")(scaled)
        inner = keras.layers.Conv2D(4, 3, padding="same", trainable=False, name="inner")(features)
        front = keras.Model(features, keras.layers.Conv2D(4, 3, padding="same", name="other")(inner), name="front")
        x = keras.layers.Conv2D(1, 8, strides=8, name="last")(front(fixed))
        return keras.Model(image, keras.layers.Activation("softplus", dtype="float32", name="density")(x))

    def loss(batch: Any, outputs: Any, options: ModelOptions) -> dict[str, Any]:
        return {"density": ops.mean(ops.square(outputs["density"] - batch.density(8)))}

    keras.utils.set_random_seed(1)
    network, (images, points) = build(ModelOptions()), crops()
    trainer = PointTrainer(network, method(build, loss), ModelOptions())

    def moved(stage: Stage) -> set[str]:
        before = [ops.convert_to_numpy(weight).copy() for weight in network.weights]
        trainer.start(stage, backend.jit_compile())
        trainer.train(images, points)
        after = map(ops.convert_to_numpy, network.weights)
        pairs = zip(network.weights, before, after, strict=True)
        return {weight.path.split("/")[-2] for weight, old, new in pairs if not np.array_equal(old, new)}

    assert moved(Stage(learning_rate=1e-3)) == {"other", "last"}
    assert moved(Stage(learning_rate=1e-3, trains=("last", "fixed"))) == {"last"}
    trainer.as_built()
    names = {weight.path.split("/")[-2] for weight in network.trainable_weights}
    assert names == {"other", "last"}


def test_the_error_of_crops_is_that_of_the_region_of_interest() -> None:
    """A density of 0.5 heads a cell everywhere: 8 heads in the quarter that is inside, where 9 are annotated."""

    def build(options: ModelOptions) -> keras.Model:
        image = keras.Input((None, None, 3))
        half = keras.layers.Conv2D(
            1,
            8,
            strides=8,
            kernel_initializer="zeros",
            bias_initializer=keras.initializers.Constant(0.5),
            dtype="float32",
        )
        return keras.Model(image, half(image))

    def loss(batch: Any, outputs: Any, options: ModelOptions) -> dict[str, Any]:
        return {"density": ops.mean(outputs["density"])}

    images, points = crops()
    region = np.zeros((2, 64, 64, 1), np.float32)
    region[:, :32, :32] = 1
    for maps, expected in (({REGION: region}, abs(16 * 0.5 - 9)), ({}, 64 * 0.5 - 9)):
        trainer = PointTrainer(build(ModelOptions()), method(build, loss), ModelOptions())
        trainer.start(Stage(), backend.jit_compile())
        assert trainer.step(images, points, maps)["mae"] == pytest.approx(expected)


def test_penalties_of_layers_are_part_of_the_loss_and_no_term() -> None:
    """A kernel of 192 weights of 0.5 under L2 of 0.01 costs 0.48 more, whatever the method's own loss is."""

    def build(penalty: float) -> keras.Model:
        image = keras.Input((None, None, 3))
        scaled = keras.layers.Rescaling(0.0)(image)
        return keras.Model(
            image,
            keras.layers.Conv2D(
                1,
                8,
                strides=8,
                kernel_initializer=keras.initializers.Constant(0.5),
                kernel_regularizer=keras.regularizers.L2(penalty) if penalty else None,
                dtype="float32",
            )(scaled),
        )

    def loss(batch: Any, outputs: Any, options: ModelOptions) -> dict[str, Any]:
        return {"density": ops.mean(ops.square(outputs["density"] - 2.0))}

    images, points = crops()
    found = {}
    for penalty in (0.0, 0.01):
        one = method(lambda options, penalty=penalty: build(penalty), loss)
        trainer = PointTrainer(build(penalty), one, ModelOptions(), ("density",))
        trainer.start(Stage(), backend.jit_compile())
        found[penalty] = trainer.step(images, points)
    assert found[0.0]["loss"] == pytest.approx(4.0) and found[0.01]["density_loss"] == pytest.approx(4.0)
    assert found[0.01]["loss"] == pytest.approx(4.0 + 0.01 * 192 * 0.25)
