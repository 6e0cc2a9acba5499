"""Steps given to the device one after another and not waited for; what they measured is fetched every so many."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import keras

EVERY = 16  # steps; fetching waits for the device, which then waits for its next step
SECONDS = 1.0  # after so long they are fetched too: where steps are slow a person wants to see them pass


def dispatched(trainer: Any, inputs: Any) -> Mapping[str, Any]:
    """Gives the device one step of `trainer`, a compiled `keras.Model`; what it will have measured, as scalars on the device.

    It is Keras' `train_on_batch` but for the end, where that waits for the numbers.
    """
    trainer.make_train_function()
    batch = (inputs, None, None)
    if keras.backend.backend() != "jax":
        return trainer.train_function(iter([batch]) if keras.backend.backend() == "tensorflow" else [batch])
    variables = (
        trainer.trainable_variables,
        trainer.non_trainable_variables,
        trainer.optimizer.variables,
        trainer.metrics_variables,
    )
    measured, values = trainer.train_function(tuple([one.value for one in kind] for kind in variables), iter([batch]))
    for kind, new in zip(variables, values, strict=True):
        for variable, value in zip(kind, new, strict=True):
            variable.assign(value)
    return measured


def fetched(measured: Mapping[str, Any]) -> dict[str, float]:
    """What a step measured, by name; waits until it is done."""
    return {name: float(value) for name, value in sorted(measured.items())}


def _each(measured: Mapping[str, Any], count: int) -> Iterator[dict[str, float]]:
    """`fetched` of each of so many steps, which were given at once where they are several."""
    if count == 1:
        yield fetched(measured)
        return
    values = {name: keras.ops.convert_to_numpy(value) for name, value in measured.items()}
    for number in range(count):
        yield fetched({name: value[number] for name, value in values.items()})


def to_device() -> Callable[[Any], Any]:
    """What brings a batch of arrays to the device, or shares it among several; it may be called from any thread."""
    shared = keras.distribution.distribution()  # which Keras keeps for this thread alone

    def one(array: Any) -> Any:
        if shared is None:
            return keras.ops.convert_to_tensor(array)
        return keras.distribution.distribute_tensor(array, shared.get_data_layout(array.shape))

    return lambda batch: keras.tree.map_structure(one, batch)


class Measured(NamedTuple):
    """What one step measured. `position`: its number in the epoch, from 0; `rate`: its learning rate."""

    position: int
    rate: float
    values: Mapping[str, Any]


@dataclass
class Measurements:
    """What the steps of an epoch measured, on the device until it is fetched.

    `totals`: the sums of what was fetched, as Python floats in the order of the steps, however many were fetched at once.
    """

    totals: dict[str, float] = field(default_factory=dict)
    _waiting: list[tuple[int, Sequence[float], Mapping[str, Any]]] = field(default_factory=list)
    _fetched: float = field(default_factory=time.perf_counter)

    def add(self, position: int, rates: Sequence[float], values: Mapping[str, Any]) -> None:
        """Keeps for later what the steps from `position` on measured, one at each of `rates`: scalars, or [S] of several."""
        self._waiting.append((position, rates, values))

    @property
    def due(self) -> bool:
        """Whether it is time to fetch."""
        steps = sum(len(rates) for _, rates, _ in self._waiting)
        return steps >= EVERY or time.perf_counter() - self._fetched > SECONDS

    def fetched(self) -> Iterator[Measured]:
        """Waits for the steps since the last time, adds up what they measured and gives it as floats."""
        for first, rates, values in self._waiting:
            for position, found in enumerate(_each(values, len(rates)), first):
                for name, value in found.items():
                    self.totals[name] = self.totals.get(name, 0.0) + value
                yield Measured(position, rates[position - first], found)
        self._waiting.clear()
        self._fetched = time.perf_counter()
