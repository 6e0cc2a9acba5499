"""A few short epochs of a method's paper recipe on drawn scenes, run for real, and what was seen after each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.budgets import Budget, capped
from harness.data.datasets.synth import SYNTH
from harness.data.run_data import run_data
from harness.data.splits import Split
from harness.host.plugins import load_host
from harness.run import Request
from harness.runs.resolve import resolve
from harness.training import fit as training


@dataclass(frozen=True)
class Epoch:
    """What one epoch ended with; `weights` by path, `optimizer` the name of its class. The first of all is the start."""

    stage: str
    optimizer: str
    loss: float
    weights: dict[str, np.ndarray]

    def moved(self, before: Epoch) -> set[str]:
        """The layers whose weights are others than before."""
        changed = (path for path, value in self.weights.items() if not np.array_equal(before.weights[path], value))
        return {path.split("/")[0] for path in changed}


def paper_epochs(name: str, folder: Path, epochs: int) -> list[Epoch]:
    """The start, then `epochs` epochs of one step each, of crops of 32², on one image."""
    from keras import ops

    run = resolve(load_host(), Request(name, "synth", budget="smoke", recipe="paper"), "test")
    budget = Budget("short", epochs=epochs, steps=epochs, crop=32, crops_per_step=1, validations=1, validation_images=1)
    run = replace(run, recipe=capped(run.method.recipe, budget), budget=budget)
    samples = SYNTH.index(Path())
    seen: list[Epoch] = []
    trainers: list[Any] = []

    def look(stage: str, optimizer: str, loss: float) -> None:
        weights = {weight.path: np.array(ops.convert_to_numpy(weight)) for weight in trainers[0].network.weights}
        seen.append(Epoch(stage, optimizer, loss, weights))

    def report(kind: str, **what: Any) -> None:
        if kind == "epoch":
            look(what["stage"], type(trainers[0].optimizer).__name__, what["loss"])

    class Nothing:
        def __getattr__(self, name: str) -> Any:
            return lambda *_: None

    def listen(trainer: Any) -> Any:
        trainers.append(trainer)
        look("", "", 0.0)
        return Nothing()

    data = run_data(run, samples, 1 << 30)
    crops = replace(data.crops, samples=samples[:1])
    data = replace(data, split=Split(samples[:1], samples[1:2], ()), crops=crops, chooses=samples[1:2])
    training.train(training.Job(run, data, folder, report, listen))
    return seen
