"""Training in this process: repeatable, resumable, in stages; what it leaves behind."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT

from harness.budgets import BUDGETS, Budget, capped, plan
from harness.data.datasets.synth import SYNTH
from harness.data.image_store import ImageStore
from harness.data.run_data import run_data
from harness.data.scenes import scenes
from harness.data.splits import split
from harness.errors import DivergedError, HarnessError
from harness.host.plugins import load_host
from harness.recipe import COMMON, Recipe, Stage
from harness.run import Request, Run
from harness.runs.resolve import resolve
from harness.training import backend, state
from harness.training import fit as training
from harness.training.evaluation import evaluate, summary
from harness.training.network import learning_rate
from harness.training.random_states import random_states, set_random_states

PLUGIN = ROOT / "tests" / "methods_on_trial.py"
SAMPLES = SYNTH.index(Path())
MEMORY = 1 << 30


def make_run(method: str = "tiny", **choices: Any) -> Run:
    return resolve(load_host([PLUGIN]), Request(method, "synth", budget="smoke", **choices), "test")


def train(run: Run, folder: Path, stop_after: int | None = None) -> Any:
    """Trains in `folder`; stops like a kill after epoch `stop_after`, its state written or not."""

    class Killed(Exception):
        pass

    def report(kind: str, **what: Any) -> None:
        if kind == "step" and stop_after is not None and what["step"] > stop_after * 14:
            raise Killed

    folder.mkdir(parents=True, exist_ok=True)
    try:
        return training.train(training.Job(run, run_data(run, SAMPLES, MEMORY), folder, report))
    except Killed:
        return None


def weights_of(trained: Any) -> list[np.ndarray]:
    return [np.asarray(weight) for weight in trained.network.get_weights()]


def test_the_same_seed_repeats_to_the_bit_and_another_does_not(tmp_path: Path) -> None:
    first, second = train(make_run(), tmp_path / "a"), train(make_run(), tmp_path / "b")
    for left, right in zip(weights_of(first), weights_of(second), strict=True):
        np.testing.assert_array_equal(left, right)
    losses = [[entry["loss"] for entry in trained.progress.history] for trained in (first, second)]
    assert losses[0] == losses[1]
    other = train(make_run(seed=1), tmp_path / "c")
    assert losses[0] != [entry["loss"] for entry in other.progress.history]


@pytest.mark.parametrize("recipe", ["common", "paper"])
@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_a_run_that_was_stopped_ends_as_if_it_was_not(tmp_path: Path, recipe: str, stop_after: int) -> None:
    """On `paper`, the two-stage recipe, the third stop is inside the second stage and the second before its start."""
    run = make_run(recipe=recipe)
    whole = train(run, tmp_path / "whole")
    assert train(run, tmp_path / "stopped", stop_after) is None
    kept = state.read_progress(tmp_path / "stopped" / training.STATE)
    assert kept is not None and kept.epoch == stop_after
    resumed = train(run, tmp_path / "stopped")
    for left, right in zip(weights_of(whole), weights_of(resumed), strict=True):
        np.testing.assert_array_equal(left, right)
    assert len(resumed.progress.history) == len(whole.progress.history)
    for left, right in zip(resumed.progress.history, whole.progress.history, strict=True):
        assert {**left, "seconds": 0, "waited": 0} == {**right, "seconds": 0, "waited": 0}


def test_a_loss_that_draws_without_a_seed_goes_on_drawing(tmp_path: Path) -> None:
    """Keras' own generator, which such draws come from, is no variable of the network; nor are Python's and NumPy's."""

    def drawing(batch: Any, outputs: Any, options: Any) -> Any:
        import keras

        noise = keras.random.uniform((1,))[0]
        return {"density": (0.5 + noise) * run.method.loss(batch, outputs, options)["density"]}

    run = make_run()
    drawn = replace(run, method=replace(run.method, loss=drawing))
    whole = train(drawn, tmp_path / "whole")
    assert train(drawn, tmp_path / "stopped", 2) is None
    resumed = train(drawn, tmp_path / "stopped")
    for left, right in zip(weights_of(whole), weights_of(resumed), strict=True):
        np.testing.assert_array_equal(left, right)


def test_generators_go_on_where_they_were() -> None:
    random.seed(5), np.random.seed(5), random.gauss(0, 1), np.random.normal()  # the latter hold a second number back
    states = random_states()
    expected = [(random.random(), random.gauss(0, 1), np.random.normal(), np.random.random()) for _ in range(3)]
    random.seed(6), np.random.seed(6)
    set_random_states(states)
    assert [(random.random(), random.gauss(0, 1), np.random.normal(), np.random.random()) for _ in range(3)] == expected


def test_a_run_in_float16_continues(tmp_path: Path) -> None:
    """Compiling wraps its optimiser in one that scales the loss: the state must hold that one's variables too, in one order."""
    run = make_run(precision="mixed_float16")
    try:
        whole = train(run, tmp_path / "whole")
        train(run, tmp_path / "stopped", 2)
        resumed = train(run, tmp_path / "stopped")
    finally:
        backend.prepare(0)
    for left, right in zip(weights_of(whole), weights_of(resumed), strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_damaged_state_says_what_to_do(tmp_path: Path) -> None:
    train(make_run(), tmp_path, 1)
    path = tmp_path / training.STATE
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(HarnessError, match=r"state\.npz: damaged state of a run .* Delete the file"):
        train(make_run(), tmp_path)


def test_damage_that_shows_as_a_run_is_continued_says_so_too(tmp_path: Path) -> None:
    """A byte of a variable, which reading the progress does not touch; and the best weights, gone."""
    train(make_run(), tmp_path, 1)
    path = tmp_path / training.STATE
    content = bytearray(path.read_bytes())
    place = content.index(b"v0.npy") + 200
    path.write_bytes(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
    with pytest.raises(HarnessError, match=r"damaged state of a run .* --retry failed"):
        train(make_run(), tmp_path)
    path.write_bytes(content)
    train(make_run(), tmp_path, 2)
    (tmp_path / training.WEIGHTS).unlink()
    with pytest.raises(HarnessError, match=r"missing, the weights of epoch [12], which was the best so far"):
        train(make_run(), tmp_path)


def test_stages_train_what_they_say(tmp_path: Path) -> None:
    """The second stage of the two-stage recipe trains the last layer alone."""
    run = make_run(recipe="paper")
    kernels: dict[int, np.ndarray] = {}

    def report(kind: str, **what: Any) -> None:
        if kind == "epoch":
            with np.load(tmp_path / training.STATE) if what["epoch"] > 1 else _nothing() as content:
                kernels[what["epoch"] - 1] = content["v0"] if content else np.zeros(0)

    training.train(training.Job(run, run_data(run, SAMPLES, MEMORY), tmp_path, report))
    progress = state.read_progress(tmp_path / training.STATE)
    assert progress is not None
    stages = [entry["stage"] for entry in progress.history]
    assert stages == ["first"] * (len(stages) // 2) + ["second"] * (len(stages) - len(stages) // 2)
    with np.load(tmp_path / training.STATE) as content:
        final = content["v0"]
    boundary = len(stages) // 2
    np.testing.assert_array_equal(final, kernels[boundary])
    assert not np.array_equal(kernels[1], kernels[boundary])


class _nothing:  # noqa: N801
    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"the loss became nan at epoch 1, step 1.*; of its terms density"):
        train(make_run("diverging"), tmp_path)


def test_the_best_weights_on_validation_are_kept(tmp_path: Path) -> None:
    from harness.training.evaluation import evaluate, summary

    run = make_run()
    trained = train(run, tmp_path)
    measured = [entry["val_mae"] for entry in trained.progress.history if "val_mae" in entry]
    assert trained.progress.best == min(measured)
    chosen = split(SYNTH, SAMPLES).val[: run.budget.validation_images]
    again = summary(evaluate(trained.network, run.method, scenes(SYNTH, chosen, ImageStore(SYNTH, 3))))
    assert again["mae"] == pytest.approx(trained.progress.best, rel=1e-6)


def test_selection_decides_what_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On validation, no test image is ever predicted in training; on test-oracle they are, and the id differs."""
    seen: dict[str, set[str]] = {}
    real = training.evaluate

    for select in ("validation", "test-oracle"):
        names = seen[select] = set()

        def spy(network: Any, method: Any, measured: Any, *rest: Any, names: set[str] = names) -> Any:
            measured = list(measured)
            names.update(scene.sample.split for scene in measured)
            return real(network, method, measured, *rest)

        monkeypatch.setattr(training, "evaluate", spy)
        train(make_run(select=select), tmp_path / select)
    assert seen == {"validation": {"train"}, "test-oracle": {"test"}}
    assert make_run().id != make_run(select="test-oracle").id


def test_every_term_of_the_loss_is_in_the_history_and_reaches_callbacks(tmp_path: Path) -> None:
    """Two terms whose values are known: 2 and 30 before their weights; the loss is their weighted sum."""
    run = make_run("two_terms", recipe="paper")
    seen: list[dict[str, float]] = []

    class Listener:
        def __getattr__(self, name: str) -> Any:
            return lambda *_: None

        def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
            seen.append(logs)

    tmp_path.mkdir(exist_ok=True)
    data = run_data(run, SAMPLES, MEMORY)
    trained = training.train(training.Job(run, data, tmp_path, lambda *_, **__: None, lambda model: Listener()))
    for entry, logs in zip(trained.progress.history, seen, strict=True):
        assert entry["terms"] == pytest.approx({"near_loss": 2.0, "far_loss": 30.0}, rel=1e-5)
        assert entry["loss"] == pytest.approx(2.0 + 0.1 * 30.0, rel=1e-5)
        assert logs["near_loss"] == entry["terms"]["near_loss"] and logs["loss"] == entry["loss"] and logs["mae"] >= 0
        assert ("val_mae" in logs) == ("val_mae" in entry)
    assert any("val_mae" in logs for logs in seen) and not all("val_mae" in logs for logs in seen)


@pytest.mark.filterwarnings("ignore:Early stopping conditioned")  # as in `fit` with validation_freq above 1
def test_kerass_own_callbacks_find_their_keys(tmp_path: Path) -> None:
    """CSVLogger has a column val_mae though the first epoch is not validated; EarlyStopping ends the run, also when resumed."""
    import csv

    import keras

    run = make_run(seed=1)
    run = replace(run, recipe=replace(run.recipe, stages=(Stage(learning_rate=1e-30, optimizer="sgd"),)))
    run = replace(run, budget=replace(run.budget, epochs=6, steps=None, validations=3))
    callbacks = [
        keras.callbacks.CSVLogger(str(tmp_path / "log.csv")),
        keras.callbacks.EarlyStopping("val_mae", mode="min", patience=1),
    ]
    data = run_data(run, SAMPLES, MEMORY)

    def listen(model: Any) -> Any:
        listeners = keras.callbacks.CallbackList(callbacks, model=model)
        listeners.on_train_begin()
        return listeners

    first = training.train(training.Job(run, data, tmp_path, lambda *_, **__: None, listen))
    assert first.progress.epoch == 4 and first.progress.stopped  # validated after 2 and 4; the second is no better
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["val_mae"] != "NA" for row in rows] == [False, True, False, True]
    again = training.train(training.Job(run, data, tmp_path, lambda *_, **__: None))
    assert again.progress.epoch == 4


def test_a_run_stopped_in_a_stage_that_selects_nothing_keeps_its_weights(tmp_path: Path) -> None:
    """A callback ends it after the first epoch, which was validated but could not be chosen."""
    run = make_run()
    stages = (Stage("base", share=0.5, selects=False), Stage("joint", share=0.5))
    run = replace(run, recipe=replace(run.recipe, stages=stages), budget=replace(run.budget, validations=50))

    class Stopping:
        def __init__(self, model: Any) -> None:
            self.model = model

        def __getattr__(self, name: str) -> Any:
            return lambda *_: None

        def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
            assert "val_mae" in logs
            self.model.stop_training = True

    job = training.Job(run, run_data(run, SAMPLES, MEMORY), tmp_path, lambda *_, **__: None, Stopping)
    trained = training.train(job)
    assert trained.progress.epoch == 1 and trained.progress.stopped and trained.progress.best_epoch == 1
    assert (tmp_path / training.WEIGHTS).is_file()


def test_a_run_shorter_than_its_stages_keeps_what_it_ended_with(tmp_path: Path) -> None:
    """The stage it ends in selects, whatever its recipe says of it: another will not come."""
    stages = [{"share": 0.4, "selects": False}, {"share": 0.3, "selects": False}, {"share": 0.3}]
    own_recipe = {"from": "common", "stages": stages}
    run = make_run(own_recipe=own_recipe, own_budget={"from": "smoke", "epochs": 2, "steps": 4, "at_most": True})
    assert len(run.recipe.stages) == 3
    trained = train(run, tmp_path)
    assert trained.plan.epochs < 3 and trained.progress.best_epoch == trained.plan.epochs


def test_early_stopping(tmp_path: Path) -> None:
    run = make_run()
    budget = replace(run.budget, validations=50)
    stuck = replace(run.recipe, patience=1, stages=(Stage(learning_rate=1e-30, optimizer="sgd"),))
    trained = train(replace(run, recipe=stuck, budget=budget), tmp_path)
    assert trained.progress.epoch == 2  # the second validation is no better than the first


def test_a_state_of_another_backend_is_refused_and_each_commit_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a run by each would be told as the last one's."""
    import keras

    run = make_run()
    assert train(run, tmp_path, stop_after=1) is None
    path, here = tmp_path / state.STATE, keras.backend.backend()
    progress = state.begun(path, here, "")
    assert (progress.epoch, progress.backend) == (1, here)
    other = next(name for name in ("jax", "torch") if name != here)
    with pytest.raises(
        HarnessError, match=rf"state\.npz: this run was begun with {here}, .* KERAS_BACKEND={here}, or delete"
    ):
        state.begun(path, other, "")
    job = training.Job(run, run_data(run, SAMPLES, MEMORY), tmp_path, lambda *_, **__: None, commit="0123456789ab")
    assert training.train(job).progress.commits == ["unknown", "0123456789ab"]  # nobody told of the first part
    assert state.begun(path, here, "0123456789ab").commits == ["unknown", "0123456789ab"]
    assert state.begun(path, here, "ba9876543210+").commits == ["unknown", "0123456789ab", "ba9876543210+"]
    assert state.begun(tmp_path / "none.npz", here, "ba9876543210").commits == ["ba9876543210"]
    assert state.begun(tmp_path / "none.npz", here, "").commits == []
    older = state.Progress(epoch=40)  # of a version that kept neither
    monkeypatch.setattr(state, "read_progress", lambda path: older)
    assert state.begun(path, here, "0123456789ab").commits == ["unknown", "0123456789ab"] and older.backend == here


def test_a_budget_of_steps_is_kept_to_the_step_and_resumed(tmp_path: Path) -> None:
    """20 steps of 14 in a pass: the last epoch has 6, and the rates of both stages fall over the steps that there are."""
    stages = (Stage("a", share=0.5, decay="cosine", learning_rate=1.0), Stage("b", share=0.5, decay="cosine"))
    run = make_run()
    run = replace(run, budget=replace(run.budget, epochs=None, steps=20, exact=True))
    run = replace(run, recipe=replace(run.recipe, epochs=1, stages=stages))
    assert train(run, tmp_path, stop_after=1) is None
    trained = train(run, tmp_path)
    assert trained.progress.step == trained.plan.steps == 20 and trained.progress.epoch == 2
    rates = [line["learning_rate"] for line in trained.progress.history]
    expected = [1.0 * 0.5 * (1 + np.cos(np.pi * 13 / 14)), 1e-4 * 0.5 * (1 + np.cos(np.pi * 5 / 6))]
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize(
    ("stage", "step", "epoch", "expected"),
    [
        (Stage(learning_rate=1.0), 5, 0, 1.0),
        (Stage(learning_rate=1.0, decay="cosine"), 0, 0, 1.0),
        (Stage(learning_rate=1.0, decay="cosine"), 50, 0, 0.5),
        (Stage(learning_rate=1.0, decay="cosine"), 100, 0, 0.0),
        (Stage(learning_rate=1.0, decay="step", decay_factor=0.1, decay_epochs=20), 0, 19, 1.0),
        (Stage(learning_rate=1.0, decay="step", decay_factor=0.1, decay_epochs=20), 0, 40, 0.01),
        (Stage(learning_rate=1.0, warmup_steps=4), 0, 0, 0.25),
        (Stage(learning_rate=1.0, decay="rise"), 0, 0, 0.01),
        (Stage(learning_rate=1.0, decay="rise"), 99, 0, 1.0),
    ],
)
def test_learning_rates(stage: Stage, step: int, epoch: int, expected: float) -> None:
    assert learning_rate(stage, step, 100, epoch) == pytest.approx(expected)


def test_budgets_cap_recipes() -> None:
    recipe = capped(COMMON, BUDGETS["smoke"])
    assert recipe.crop == 48 and recipe.images_per_step * recipe.crops_per_image == 4
    nine = Recipe("paper", 400, images_per_step=1, crops_per_image=9, crop=None, crop_share=0.5)
    assert (capped(nine, BUDGETS["quick"]).crop, capped(nine, BUDGETS["quick"]).crops_per_image) != (None, 9)
    assert capped(nine, BUDGETS["paper"]) == nine
    length = plan(recipe, Budget("x", epochs=10, steps=100), 36)
    assert (length.epochs, length.steps_per_epoch) == (10, 9)
    assert plan(recipe, Budget("x", epochs=10, steps=20), 36).epochs == 2
    assert plan(nine, BUDGETS["paper"], 270).epochs == 400
    standard = BUDGETS[
        "standard"
    ]  # 24,000 crops: 6,000 steps of 4, whatever the recipe's epochs, on few images and on many
    for images, each in ((270, 68), (36, 9), (720, 180)):
        length = plan(capped(COMMON, standard), standard, images)
        assert length.steps_per_epoch == each and abs(4 * each * length.epochs - 24_000) <= 2 * each
        assert 11 <= length.epochs // length.validate_every <= 13
    one_crop = plan(capped(Recipe("paper", 5, images_per_step=1, crops_per_image=1), standard), standard, 270)
    assert one_crop.epochs * one_crop.steps_per_epoch == pytest.approx(24_000, abs=135)
    short = plan(recipe, Budget("x", steps=5), 400)
    assert (short.epochs, short.steps_per_epoch) == (1, 5)


def test_a_cap_on_crops_leaves_whole_images_and_exact_lengths_are_looked_at_as_often_as_asked() -> None:
    """Of 4 images of 3 crops a step at most 8 crops are 2 images; 1,000 steps are 20 epochs of 50, ten looks every second."""
    recipe = Recipe("mine", 9, images_per_step=4, crops_per_image=3)
    for most, images, crops in ((8, 2, 3), (12, 4, 3), (100, 4, 3), (3, 1, 3), (2, 1, 2)):
        cut = capped(recipe, Budget("x", crops_per_step=most))
        assert (cut.images_per_step, cut.crops_per_image) == (images, crops), most
    one = Recipe("mine", 9, images_per_step=1)
    length = plan(one, Budget("x", steps=1000, exact=True, validations=10), 50)
    assert (length.epochs, length.steps, length.validate_every) == (20, 1000, 2)


def test_recipes_that_contradict_themselves_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shares of its stages add up to 0\.5"):
        Recipe("x", 1, stages=(Stage(share=0.5),))
    with pytest.raises(ValueError, match="images_per_step is 4"):
        Recipe("x", 1, crop=None)


def test_stage_ends() -> None:
    stages = (Stage(share=0.5), Stage(share=0.25), Stage(share=0.25))
    assert training.stage_ends(stages, 8) == [4, 6, 8]
    assert training.stage_ends(stages, 3) == [1, 2, 3]
    assert training.stage_ends(stages, 2) == [1, 2, 2]
    assert training.stage_ends((Stage(),), 5) == [5]


def test_identity_holds_what_determines_a_result() -> None:
    base = make_run()
    assert base.id == make_run().id
    assert json.loads(json.dumps(base.identity)) == base.identity
    for change in ({"seed": 1}, {"recipe": "paper"}, {"precision": "mixed_bfloat16"}, {"variant": "small"}):
        assert make_run(**change).id != base.id
    other_data = resolve(load_host([PLUGIN]), Request("tiny", "synth", budget="smoke"), "other")
    assert other_data.id != base.id
    with pytest.raises(HarnessError, match=r"unknown variant of tiny 'smal'\. Did you mean 'small'"):
        make_run(variant="smal")
    with pytest.raises(HarnessError, match=r"unknown selection 'test'\. Did you mean 'test-oracle'"):
        make_run(select="test")


def four_epochs(*stages: Stage) -> Run:
    run = make_run()
    return replace(
        run,
        recipe=replace(run.recipe, epochs=4, stages=stages),
        budget=replace(run.budget, epochs=4, steps=None, validations=4),
    )


def test_a_rate_that_falls_by_steps_counts_the_epochs_of_its_own_stage(tmp_path: Path) -> None:
    falls = Stage("b", share=0.5, learning_rate=1e-3, decay="step", decay_factor=0.1, decay_epochs=1)
    history = train(four_epochs(Stage("a", share=0.5, learning_rate=1e-3), falls), tmp_path).progress.history
    assert [line["learning_rate"] for line in history] == pytest.approx([1e-3, 1e-3, 1e-3, 1e-4])


def test_what_is_tested_is_the_best_epoch_and_not_the_last(tmp_path: Path) -> None:
    run = four_epochs(Stage("good", share=0.5, learning_rate=1e-3), Stage("bad", share=0.5, learning_rate=1.0))
    trained = train(run, tmp_path)
    assert trained.progress.best_epoch < trained.progress.epoch == 4
    data = run_data(run, SAMPLES, MEMORY)
    again = summary(evaluate(trained.network, run.method, data.scenes(data.chooses)))
    assert again["mae"] == pytest.approx(trained.progress.best, rel=1e-6)
