"""Steps that are not waited for: how often the host fetches what they measured, and that it is the same in the end."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT

from harness.data.datasets.synth import SYNTH
from harness.data.pipeline import Crops
from harness.data.run_data import RunData, run_data
from harness.errors import DivergedError
from harness.host.plugins import load_host
from harness.method import ModelOptions
from harness.recipe import Stage
from harness.run import Request, Run
from harness.runs.resolve import resolve
from harness.training import backend, fit, steps
from harness.training.network import PointTrainer
from harness.training.steps import Measurements

PLUGIN = ROOT / "tests" / "methods_on_trial.py"


class OnDevice:
    """Stands for a number on the device: counts how often the host waits for it."""

    fetched = 0

    def __init__(self, value: float) -> None:
        self.value = value

    def __float__(self) -> float:
        OnDevice.fetched += 1
        return self.value


def resolved() -> tuple[Run, RunData]:
    run = resolve(load_host([PLUGIN]), Request("tiny", "synth", budget="smoke"), "test")
    return run, run_data(run, SYNTH.index(Path()), 1 << 30)


class Watched:
    """A run whose steps measure what is given, and what the host did, in its order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, losses: list[float], every: int, listens: bool = False) -> None:
        self.seen: list[Any] = []
        self.listens = listens
        left = iter(losses)

        def step(trainer: PointTrainer, *crops: Any) -> dict[str, OnDevice]:
            self.seen.append("step")
            return {"loss": OnDevice(next(left)), "mae": OnDevice(1.0)}

        monkeypatch.setattr(PointTrainer, "dispatched", step)
        monkeypatch.setattr(steps, "EVERY", every)
        monkeypatch.setattr(steps, "SECONDS", math.inf)
        OnDevice.fetched = 0

    def report(self, kind: str, **what: Any) -> None:
        if kind == "step":
            self.seen.append((what["step"], what["loss"], OnDevice.fetched))

    def epoch(self, folder: Path) -> dict[str, Any]:
        run, data = resolved()
        session = fit._opened(fit.Job(run, data, folder, self.report))
        fit._enter(session, 0)
        session.listeners = self if self.listens else None
        return fit._epoch(session, 0)

    def on_train_batch_end(self, position: int, logs: dict[str, float]) -> None:
        self.seen.append((position, logs))

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


LOSSES = [0.1 * number for number in range(14)]


def test_what_steps_measure_is_fetched_every_so_many_and_at_the_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """14 steps, fetched after 5, 10 and 14; two numbers each; the sum is that of one float after another."""
    watched = Watched(monkeypatch, LOSSES, 5)
    entry = watched.epoch(tmp_path)
    reports = [(5, LOSSES[4], 10), (10, LOSSES[9], 20), (14, LOSSES[13], 28)]
    assert watched.seen == [*["step"] * 5, reports[0], *["step"] * 5, reports[1], *["step"] * 4, reports[2]]
    total = 0.0
    for loss in LOSSES:
        total += loss
    assert entry["loss"] == total / 14 and entry["mae"] == 1.0


def test_slow_steps_are_told_of_as_they_pass(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    watched = Watched(monkeypatch, LOSSES, 100)
    monkeypatch.setattr(steps, "SECONDS", 0.0)
    watched.epoch(tmp_path)
    assert [seen[0] for seen in watched.seen if seen != "step"] == [*range(1, 15)]


def test_callbacks_are_told_of_each_step_before_the_next(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    watched = Watched(monkeypatch, LOSSES, 5, listens=True)
    watched.epoch(tmp_path)
    told = [{"loss": loss, "mae": 1.0} for loss in LOSSES]
    assert watched.seen[:6] == ["step", (0, told[0]), (1, 0.0, 2), "step", (1, told[1]), (2, LOSSES[1], 4)]


def test_the_first_step_without_a_loss_is_named_within_so_many(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    watched = Watched(monkeypatch, [1.0, 1.0, math.nan, *[math.inf] * 11], 5)
    with pytest.raises(DivergedError, match="the loss became nan at epoch 1, step 3 "):
        watched.epoch(tmp_path)
    assert watched.seen == ["step"] * 5, "and the run stops there"


def test_sums_do_not_depend_on_how_many_are_fetched_at_once() -> None:
    values = np.random.default_rng(0).normal(size=100).astype(np.float32)
    totals = []
    for every in (1, 7, 100):
        measured = Measurements()
        for position, value in enumerate(values):
            measured.add(position, [0.0], {"loss": value})
            if position % every == every - 1 or position == 99:
                assert all(isinstance(one.values["loss"], float) for one in measured.fetched())
        totals.append(measured.totals["loss"])
    assert totals[0] == totals[1] == totals[2] == sum(map(float, values))


@pytest.mark.backend
def test_steps_that_are_not_waited_for_are_those_of_keras() -> None:
    """Three batches by `train_on_batch` and here: the same losses and weights to the bit, whenever they are fetched."""
    method, options = load_host([PLUGIN]).method("tiny"), ModelOptions(density_scale=100.0)
    sent = steps.to_device()
    generator = np.random.default_rng(0)
    batches = []
    for _ in range(3):
        points = np.ones((3, 16, 4), np.float32)
        points[..., :2] = generator.uniform(0, 32, (3, 16, 2))
        batches.append(Crops(generator.integers(0, 255, (3, 32, 32, 3), np.uint8), points, {}))

    def trained(way: Any) -> tuple[list[dict[str, float]], list[np.ndarray]]:
        backend.prepare(0)
        trainer = PointTrainer(method.build(options), method, options, ("density",))
        trainer.start(Stage(learning_rate=0.01), backend.jit_compile())
        measured = [way(trainer, batch) for batch in batches]
        return [steps.fetched(one) for one in measured], [np.asarray(one) for one in trainer.network.get_weights()]

    def keras_way(trainer: PointTrainer, batch: Crops) -> Any:
        return trainer.train_on_batch({"image": batch.images, "points": batch.points}, return_dict=True)

    (expected, weights), (found, same) = (
        trained(keras_way),
        trained(lambda trainer, batch: trainer.dispatched(*sent(batch))),
    )
    assert found == expected and set(found[0]) == {"loss", "mae", "density_loss"}
    assert len({one["loss"] for one in found}) == 3
    for left, right in zip(weights, same, strict=True):
        np.testing.assert_array_equal(left, right)
