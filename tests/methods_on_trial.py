"""A plugin file of small and of misbehaving methods, for the tests of training and of the bench."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from harness import Method, Recipe, Stage, Variant, hookimpl
from harness.head_spacing import Sigma


def tiny(options: Any) -> Any:
    """One strided convolution and a dropout, so that training draws random numbers on the device too."""
    import keras

    image = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.Conv2D(8, 5, strides=8, padding="same", activation="relu", name="first")(x)
    x = keras.layers.Dropout(0.1, seed=3)(x)
    x = keras.layers.Conv2D(1, 1, name="last")(x)
    return keras.Model(image, keras.layers.Rescaling(options.heads_a_cell(8), dtype="float32")(x))


def euclidean(batch: Any, outputs: Any, options: Any) -> dict[str, Any]:
    from harness.nn.losses import euclidean_density

    return {"density": euclidean_density(outputs["density"], batch.density(8))}


def not_a_number(batch: Any, outputs: Any, options: Any) -> dict[str, Any]:
    """Sound on the two crops that every method is tried on first, and no number in training."""
    from keras import ops

    tried = ops.equal(ops.shape(batch.points)[0], 2)
    return {"density": euclidean(batch, outputs, options)["density"] * ops.where(tried, 1.0, float("nan"))}


def two_terms(batch: Any, outputs: Any, options: Any) -> dict[str, Any]:
    """Of known value: 2 and 30; the first has a gradient of size nought."""
    from keras import ops

    nothing = 0.0 * ops.mean(outputs["density"])
    return {"near": 2.0 + nothing, "far": 30.0 + nothing}


def raising(options: Any) -> Any:
    raise ValueError("this network cannot be built")


def out_of_memory(options: Any) -> Any:
    raise MemoryError("cannot allocate 99 GiB")


def killed(options: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def crashing(options: Any) -> Any:
    os.kill(os.getpid(), signal.SIGSEGV)


def sleeping(options: Any) -> Any:
    time.sleep(600)


TWO_STAGES = Recipe(
    "paper",
    epochs=6,
    crop=64,
    sigma=Sigma(4.0),
    density_scale=64.0,
    stages=(
        Stage("first", share=0.5, optimizer="adam", learning_rate=1e-3),
        Stage(
            "second",
            share=0.5,
            optimizer="sgd",
            learning_rate=1e-4,
            options={"momentum": 0.9},
            trains=("last",),
        ),
    ),
)


def two_channels(options: Any) -> Any:
    """A mistake: a map of two channels, whose sum would be taken for the count."""
    import keras

    image = keras.Input((None, None, 3))
    return keras.Model(image, keras.layers.Conv2D(2, 8, strides=8, padding="same", dtype="float32")(image))


def method(name: str, build: Any = tiny, loss: Any = euclidean, recipe: Recipe = TWO_STAGES) -> Method:
    variants = {"small": Variant({"width": 4}, "half the filters")}
    return Method(name, name.replace("_", " "), "", build, loss, recipe, stride=8, variants=variants)


@hookimpl
def harness_methods() -> list[Method]:
    return [
        method("tiny"),
        method("diverging", loss=not_a_number),
        method(
            "two_terms", loss=two_terms, recipe=Recipe("paper", epochs=6, stages=(Stage(loss_weights={"far": 0.1}),))
        ),
        method("two_channels", two_channels),
        method("raising", raising),
        method("memory", out_of_memory),
        method("killed", killed),
        method("crashing", crashing),
        method("sleeping", sleeping),
    ]


@hookimpl
def harness_callbacks(run: Any) -> list[Any]:
    """With SLOW_EPOCHS set, every epoch lasts that many seconds longer: time to be killed in."""
    import keras

    class Slow(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            time.sleep(float(os.environ["SLOW_EPOCHS"]))

    return [Slow()] if "SLOW_EPOCHS" in os.environ else []
