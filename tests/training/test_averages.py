"""Averaged weights, clipped gradients and rates of single layers, against NumPy, on every backend."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import ROOT

from harness.data.datasets.synth import SYNTH
from harness.data.run_data import run_data
from harness.errors import HarnessError
from harness.host.plugins import load_host
from harness.method import Method, ModelOptions
from harness.recipe import COMMON, Recipe, Stage
from harness.run import Request, Run
from harness.runs.resolve import resolve
from harness.training import backend, optimizers
from harness.training import fit as training
from harness.training.network import PointTrainer

PLUGIN = ROOT / "tests" / "methods_on_trial.py"
MOMENTUM = 0.9


def trainer(method: Method, precision: str = "float32") -> PointTrainer:
    backend.prepare(0, precision)
    options = ModelOptions(density_scale=COMMON.density_scale)
    return PointTrainer(method.build(options), method, options)


def batch() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    points = np.ones((2, 16, 4), np.float32)
    points[..., :2] = generator.uniform(0, 32, (2, 16, 2))
    points[..., 2] = 4.0
    return generator.integers(0, 255, (2, 32, 32, 3), np.uint8), points


def flat(made: PointTrainer) -> np.ndarray:
    return np.concatenate([np.asarray(weight, np.float64).ravel() for weight in made.network.get_weights()])


@pytest.mark.backend
@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_the_average_is_the_moving_average_of_the_weights_after_each_step(precision: str) -> None:
    """m ← momentum · m + (1 − momentum) · w, begun at the weights after the first step; the weights return afterwards.

    Under float16 the steps whose scaled gradients overflow are left out, and so are they here.
    """
    if precision == "mixed_float16" and keras.backend.backend() != "tensorflow":
        pytest.skip("losses are scaled alike on every backend; on PyTorch that needs a GPU")
    try:
        made = trainer(load_host([PLUGIN]).method("tiny"), precision)
        made.start(Stage(learning_rate=0.01), False, ema=MOMENTUM)
        before = flat(made)
        with made.averaged():
            np.testing.assert_array_equal(flat(made), before, "nothing to average yet")
        expected: np.ndarray | None = None
        for _ in range(12):
            made.step(*batch())
            if not np.array_equal(flat(made), before):
                expected = flat(made) if expected is None else MOMENTUM * expected + (1 - MOMENTUM) * flat(made)
            before = flat(made)
        assert expected is not None
        trained = flat(made)
        with made.averaged() as network:
            assert network is made.network
            np.testing.assert_allclose(flat(made), expected, rtol=1e-4, atol=1e-6)
            assert not np.allclose(flat(made), trained, rtol=1e-4)
        np.testing.assert_array_equal(flat(made), trained)
    finally:
        backend.prepare(0)


@pytest.mark.backend
def test_a_clipped_step_is_the_unclipped_one_shortened_to_the_norm() -> None:
    """SGD of rate 1 moves by the gradient itself, so the length of a step is the norm that was let through."""
    method, moves = load_host([PLUGIN]).method("tiny"), []
    for clip in (0.0, 0.25, 1e9):
        made = trainer(method)
        made.start(Stage(optimizer="sgd", learning_rate=1.0), False, clip=clip)
        before = flat(made)
        made.step(*batch())
        moves.append(flat(made) - before)
    whole, clipped, unclipped = moves
    assert np.linalg.norm(whole) > 0.25
    np.testing.assert_allclose(clipped, whole * 0.25 / np.linalg.norm(whole), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(unclipped, whole, rtol=1e-3, atol=1e-6)


@pytest.mark.backend
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_single_layers_have_rates_of_their_own(optimizer: str) -> None:
    """A first step of SGD and of Adam is in proportion to the rate, weight by weight; clipped or not."""
    method, moves = load_host([PLUGIN]).method("tiny"), []
    names = [layer.name for layer in method.build(ModelOptions()).layers if layer.count_params()]
    assert len(names) > 1
    for rates in ({}, {names[0]: 0.25, "*": 0.5}):
        made = trainer(method)
        made.start(Stage(optimizer=optimizer, learning_rate=0.01, rates=rates), False, clip=1.0)
        before = [np.array(weight) for weight in made.network.get_weights()]
        made.step(*batch())
        moves.append([new - old for new, old in zip(made.network.get_weights(), before, strict=True)])
    for weight, whole, slowed in zip(made.network.weights, *moves, strict=True):
        factor = 0.25 if weight.path.startswith(f"{names[0]}/") else 0.5
        np.testing.assert_allclose(slowed, factor * whole, rtol=1e-2, atol=1e-6)
        assert np.abs(whole).max() > 1e-4


@pytest.mark.parametrize(
    ("optimizer", "options", "message"),
    [
        ("nadam", {}, r"optimizer nadam\w*: cannot have rates"),
        ("adamw", {}, r"adam_?w\w*: its weight_decay of 0.004 would not"),
    ],
)
def test_rates_that_an_optimiser_would_not_follow_are_refused(
    optimizer: str, options: dict[str, float], message: str
) -> None:
    """Nadam's product of momenta would advance with every group; AdamW's decay knows one rate."""
    stage = Stage("slow", optimizer=optimizer, options=options, rates={"*": 0.5})
    with pytest.raises(HarnessError, match=message):
        optimizers.with_rates(optimizers.optimizer_of(stage), {1: 0.5})
    with pytest.raises(HarnessError, match=f"stage slow: .*{message}"):
        optimizers.check(Recipe("mine", epochs=1, stages=(stage,)))
    optimizers.check(Recipe("mine", epochs=1, stages=(replace(stage, rates={}),)))
    assert optimizers.with_rates(optimizers.optimizer_of(stage), {}) is not None


def _run(ema: float) -> Run:
    run = resolve(load_host([PLUGIN]), Request("tiny", "synth", budget="smoke"), "test")
    return replace(run, recipe=replace(run.recipe, ema=ema))


def _train(run: Run, folder: Path, stop_after: int = 0) -> training.Trained | None:
    class Killed(Exception):
        pass

    def report(kind: str, **what: object) -> None:
        if stop_after and kind == "step" and int(str(what["step"])) > stop_after * 14:
            raise Killed

    folder.mkdir()
    return _again(run, folder, report, Killed)


def _again(run: Run, folder: Path, report: training.Report, killed: type[Exception]) -> training.Trained | None:
    try:
        return training.train(training.Job(run, run_data(run, SYNTH.index(Path()), 1 << 30), folder, report))
    except killed:
        return None


def test_averages_are_what_is_validated_and_kept_and_a_killed_run_keeps_them(tmp_path: Path) -> None:
    plain, whole = _train(_run(0.0), tmp_path / "plain"), _train(_run(0.95), tmp_path / "whole")
    assert plain is not None and whole is not None
    losses = [[entry["loss"] for entry in trained.progress.history] for trained in (plain, whole)]
    assert losses[0] == losses[1], "averaging changes no step"
    errors = [
        [entry["val_mae"] for entry in trained.progress.history if "val_mae" in entry] for trained in (plain, whole)
    ]
    assert errors[0] != errors[1]
    assert _train(_run(0.95), tmp_path / "stopped", stop_after=2) is None
    resumed = _again(_run(0.95), tmp_path / "stopped", lambda kind, **what: None, KeyError)
    assert resumed is not None
    for left, right in zip(whole.network.get_weights(), resumed.network.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


def test_recipes_refuse_what_no_average_or_norm_can_be() -> None:
    with pytest.raises(
        ValueError, match=r"recipe 'common': ema is 1.0; expected a finite number of at least 0, below 1"
    ):
        replace(COMMON, ema=1.0)
    with pytest.raises(ValueError, match=r"recipe 'common': clip is -1.0; expected a finite number of at least 0"):
        replace(COMMON, clip=-1.0)


def test_a_recipe_that_uses_none_of_them_keeps_its_identity() -> None:
    """The fields came later; what ran before them must be found again."""
    assert not {"ema", "clip"} & set(COMMON.as_json())
    (stage,) = COMMON.as_json()["stages"]
    slowed = replace(COMMON, stages=(replace(COMMON.stages[0], rates={"block*": 0.1}),)).as_json()
    assert "rates" not in stage and slowed["stages"] == ({**stage, "rates": {"block*": 0.1}},)
    assert replace(COMMON, ema=0.999, clip=1.0).as_json() == {**COMMON.as_json(), "ema": 0.999, "clip": 1.0}
