"""A method's network as a Keras model that can be trained on points: targets are rendered inside its compiled step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from harness.data.crops import CropSize
from harness.method import Method, ModelOptions, named_outputs
from harness.nn.batch import FRAME, Batch
from harness.nn.every_layer import every_layer
from harness.nn.targets import inside_region
from harness.recipe import Stage
from harness.training import resident, steps
from harness.training.optimizers import optimizer_of, with_rates


class PointTrainer(keras.Model):
    """Trains `network` with the loss of `method`.

    `train(images uint8 [B, h, w, C], points float32 [B, P, 4], maps)` on any backend; the loss is computed in `compute_loss`,
    which Keras calls inside its compiled step on TensorFlow, JAX and PyTorch alike.

    `cuts`: the size of crops that are cut in that step, from pictures on the device; None where they come as they are.
    """

    def __init__(self, network: keras.Model, method: Method, options: ModelOptions, terms: Iterable[str] = ()) -> None:
        super().__init__(name="point_trainer")
        # Heads and maps stay float32 whatever the network computes in; its layers cast for themselves.
        self.autocast = False
        self._error = keras.metrics.Mean("mae")
        self._terms = {name: keras.metrics.Mean(f"{name}_loss") for name in terms}
        self.network = network
        self._method = method
        self._options = options
        self._weights_of_terms: Mapping[str, float] = {}
        self._l2 = 0.0
        self._averages = False
        self._fixed = {id(layer) for layer in every_layer(network) if not layer.trainable}
        self.cuts: CropSize | None = None
        self.built = True  # with its network, so nothing is left to be built in a step

    def start(self, stage: Stage, jit_compile: bool | str, ema: float = 0.0, clip: float = 0.0) -> None:
        """Compiles for `stage`: its optimiser, its loss weights, the layers it trains; `ema` and `clip` as in `Recipe`."""
        for layer in self.network.layers:
            layer.trainable = not stage.trains or any(matches(layer.name, name) for name in stage.trains)
        self._keep_fixed()
        self._averages = bool(ema)
        self._weights_of_terms = dict(stage.loss_weights)
        self._l2 = stage.l2
        optimizer = with_rates(optimizer_of(stage, ema, clip), self._rates(stage))
        self.compile(optimizer=optimizer, jit_compile=jit_compile)
        # Under float16 compiling wraps it in one that scales the loss and has variables of its own.
        self.optimizer.build(self.trainable_variables)
        # A recompiled model keeps the step that was traced for the last stage unless it is made again.
        self.train_function = None

    def as_built(self) -> None:
        """Layers that a stage froze can be trained again; those that `Method.build` froze stay so."""
        for layer in self.network.layers:
            layer.trainable = True
        self._keep_fixed()

    def _keep_fixed(self) -> None:
        for layer in every_layer(self.network):
            if id(layer) in self._fixed:
                layer.trainable = False

    def _rates(self, stage: Stage) -> dict[int, float]:
        """What `stage` multiplies its rate with for single variables, by their `id`."""
        return {
            id(variable): next(factor for name, factor in stage.rates.items() if matches(layer.name, name))
            for layer in self.network.layers
            if any(matches(layer.name, name) for name in stage.rates)
            for variable in layer.trainable_variables
        }

    def train(self, images: Any, points: Any, maps: Mapping[str, Any] | None = None) -> float:
        """One step; returns its loss before the step. `maps`: the method's label maps, float32 [B, h, w, 1] by name."""
        return self.step(images, points, maps)["loss"]

    def step(self, images: Any, points: Any, maps: Mapping[str, Any] | None = None) -> dict[str, float]:
        """One step; returns what was measured before it.

        Returns:
            "loss"; "mae", the mean absolute error of the crops' counts; and each term of the loss, unweighted, as "TERM_loss".
        """
        return steps.fetched(self.dispatched(images, points, maps))

    def dispatched(self, images: Any, points: Any, maps: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """`step` that waits for nothing: what it returns is still on the device, which may not have begun."""
        return steps.dispatched(self, {"image": images, "points": points, **_prefixed(maps or {})})

    def cut_and_dispatched(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """The same of crops of `cuts`, which are cut within the step: `given` is as `Resident.epoch` yields it.

        Where that is of several steps, each has its learning rate in `given` as "rates", float32 [S], and what they measured is
        float32 [S] too.
        """
        return steps.dispatched(self, given)

    def train_step(self, *given: Any) -> Any:
        """Keras' own, on crops; its last argument is the batch, and JAX gives the state before it."""
        *state, (inputs, *rest) = given
        if "rates" in inputs:
            return self._one_after_another(state[0], inputs)
        if self.cuts is not None:
            crops = resident.crops(inputs, self.cuts)
            inputs = {**_prefixed({FRAME: crops.pop("frame")}), **crops}
        return super().train_step(*state, (inputs, *rest))

    def _one_after_another(self, state: Any, inputs: Mapping[str, Any]) -> Any:
        """JAX's `train_step` of several steps, compiled once however many they are."""
        changing = ("places", "rows", "rates")
        same = {name: value for name, value in inputs.items() if name not in changing}
        rate = self.optimizer.learning_rate
        at = next(number for number, variable in enumerate(self.optimizer.variables) if variable is rate)

        def one(state: Any, own: Mapping[str, Any]) -> Any:
            weights, others, slots, metrics = state
            slots = [*slots[:at], own["rates"], *slots[at + 1 :]]
            given = {**same, "places": own["places"], "rows": own["rows"]}
            measured, state = self.train_step((weights, others, slots, metrics), (given, None, None))
            return tuple(map(list, state)), measured

        state, measured = ops.scan(one, tuple(map(list, state)), {name: inputs[name] for name in changing})
        return measured, state

    @contextmanager
    def averaged(self) -> Iterator[keras.Model]:
        """The network with the averages of its weights in place of them, where the recipe averages; they return afterwards."""
        if not self._averages or not int(self.optimizer.iterations):
            yield self.network
            return
        weights = [ops.convert_to_numpy(weight.value) for weight in self.trainable_variables]
        self.optimizer.finalize_variable_values(self.trainable_variables)
        try:
            yield self.network
        finally:
            for variable, value in zip(self.trainable_variables, weights, strict=True):
                variable.assign(value)

    def call(self, inputs: Mapping[str, Any], training: bool = False) -> Any:
        return self.network(fed(self._method, self.network, _batch(inputs), self._options), training=training)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Mapping[str, Any]:
        """Those of one step: they begin anew within it, which so needs nothing of the host."""
        measured = super().compute_metrics(x, y, y_pred, sample_weight)
        self.reset_metrics()
        return measured

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        batch, outputs = _batch(x), named_outputs(y_pred)
        terms = self._method.loss(batch, outputs, self._options)
        density = inside_region(
            ops.cast(outputs["density"], "float32"), batch, self._method.stride
        )  # as it is counted in test
        counted = ops.sum(density, axis=(1, 2, 3))
        self._error.update_state(ops.mean(ops.abs(counted - batch.counts())))
        total = ops.convert_to_tensor(0.0, "float32")
        for name, term in terms.items():
            value = ops.cast(term, "float32")
            total = total + self._weights_of_terms.get(name, 1.0) * value
            if name in self._terms:
                self._terms[name].update_state(value)
        if self._l2:
            squares = [ops.sum(ops.square(ops.cast(weight, "float32"))) for weight in self.network.trainable_weights]
            total = total + 0.5 * self._l2 * sum(squares)
        for penalty in self.losses:
            total = total + ops.cast(penalty, "float32")
        return total


MAP = "map:"


def fed(method: Method, network: keras.Model, batch: Batch, options: ModelOptions) -> Any:
    """What `network` is given in training: the images as float32, and its training-only inputs where it has any."""
    image = ops.cast(batch.image, "float32")
    return {"image": image, **method.taught(batch, options)} if isinstance(network.input, dict) else image


def _prefixed(maps: Mapping[str, Any]) -> dict[str, Any]:
    return {MAP + name: values for name, values in maps.items()}


def _batch(inputs: Mapping[str, Any]) -> Batch:
    maps = {name.removeprefix(MAP): values for name, values in inputs.items() if name.startswith(MAP)}
    return Batch(inputs["image"], inputs["points"], maps)


def matches(name: str, pattern: str) -> bool:
    """Whether a layer called `name` is meant by `pattern`: its name, or a prefix of it that ends in "*"."""
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def learning_rate(stage: Stage, step: int, steps: int, epoch: int) -> float:
    """The rate of `stage` at its `step` of `steps`, in its `epoch` (all counted from 0 at the stage's start)."""
    import math

    rate = stage.learning_rate
    if stage.decay == "cosine":
        rate *= 0.5 * (1 + math.cos(math.pi * step / max(1, steps)))
    elif stage.decay == "rise":
        rate *= (step + 1) / max(1, steps)
    elif stage.decay == "step":
        rate *= stage.decay_factor ** (epoch // stage.decay_epochs)
    if step < stage.warmup_steps:
        rate *= (step + 1) / stage.warmup_steps
    return rate
