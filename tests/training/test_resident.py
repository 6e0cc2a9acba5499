"""Pictures on the device: crops cut in the step are the host's to the bit, and so are runs; else a run says why not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from conftest import ROOT

from harness.benchmark import Benchmark, Sample
from harness.data.cuts import Cutting
from harness.data.datasets.synth import SYNTH
from harness.data.image_store import ImageStore
from harness.data.pipeline import Pipeline, Waiting
from harness.data.run_data import run_data
from harness.errors import HarnessError
from harness.host.plugins import load_host
from harness.label_map import LabelMap
from harness.method import ModelOptions
from harness.recipe import Recipe
from harness.run import Request
from harness.runs import records
from harness.runs.resolve import resolve
from harness.training import backend, fit
from harness.training.network import PointTrainer
from harness.training.resident import Resident, crops, resident
from harness.training.steps import to_device

PLUGIN = ROOT / "tests" / "methods_on_trial.py"
MEMORY = 1 << 30
RECIPE = Recipe("r", 1, images_per_step=3, crops_per_image=2, crop=(40, 56), flip=0.5)
SHAPES = ((96, 128), (72, 60), (33, 90), (96, 50), (40, 56), (31, 30))  # some smaller than a crop


def noise(sample: Sample, channels: int) -> np.ndarray:
    number = int(sample.name)
    return np.random.default_rng(number).integers(0, 256, (*SHAPES[number], channels), np.uint8)


def heads(sample: Sample) -> np.ndarray:
    """None, few and many; some on the edges of crops, and in the corners of the picture."""
    number = int(sample.name)
    height, width = SHAPES[number]
    inside = np.random.default_rng(number).uniform(0, [width, height], (number * 30, 2))
    corners = np.array([[0, 0], [width - 1, height - 1], [width - 1e-5, 0]])
    return np.concatenate([np.floor(inside[::2]), inside[1::2], corners[: number * 2]])


def pipeline(recipe: Recipe = RECIPE, channels: int = 3, benchmark: Benchmark = SYNTH, **more: Any) -> Pipeline:
    drawn = replace(benchmark, read_image=noise, read_points=heads)
    samples = tuple(Sample(f"{number}", "train") for number in range(len(SHAPES)))
    return Pipeline(drawn, samples, ImageStore(drawn, channels), recipe, 8, 3, **more)


@pytest.mark.backend
@pytest.mark.parametrize("channels", [1, 3])
def test_crops_cut_on_the_device_are_those_of_the_host_to_the_bit(channels: int) -> None:
    made = pipeline(channels=channels)
    held = resident(made, MEMORY)
    assert isinstance(held, Resident)
    mirrored = 0
    for expected, given in zip(made.epoch(1, 12), held.epoch(1, 12, Waiting(), to_device()), strict=True):
        found = {name: keras.ops.convert_to_numpy(value) for name, value in crops(given, held.cutting.size).items()}
        assert found["image"].dtype == np.uint8 and found["points"].dtype == np.float32
        np.testing.assert_array_equal(found["image"], expected.images)
        np.testing.assert_array_equal(found["points"], expected.points)
        np.testing.assert_array_equal(found["frame"], expected.maps["frame"])
        mirrored += int(keras.ops.convert_to_numpy(given["places"])[:, 3].sum())
    assert 15 < mirrored < 57, "of 72 crops, about every second"


def test_a_label_map_may_not_hide_the_harness_own() -> None:
    method = next(iter(load_host().methods.values()))
    with pytest.raises(HarnessError, match=r"'frame'.*give it another"):
        replace(method, label_maps=lambda options: {"frame": RED}).maps(ModelOptions())


@pytest.mark.backend
def test_a_run_with_its_pictures_on_the_device_is_the_run_without(tmp_path: Path) -> None:
    """Of two stages; killed after the second epoch, it continues on the host to the same end."""
    samples = SYNTH.index(Path())

    class Killed(Exception):
        pass

    def train(folder: str, kept: bool, stop: int = 99) -> Any:
        run = resolve(
            load_host([PLUGIN]), Request("tiny", "synth", budget="smoke", recipe="paper", resident=kept), "test"
        )

        def report(kind: str, **what: Any) -> None:
            if kind == "epoch" and what["epoch"] > stop:
                raise Killed

        (tmp_path / folder).mkdir(exist_ok=True)
        return fit.train(fit.Job(run, run_data(run, samples, MEMORY), tmp_path / folder, report))

    host, device = train("host", False), train("device", True)
    with pytest.raises(Killed):
        train("both", True, 2)
    both = train("both", False)
    for trained in (device, both):
        assert trained.notes == ()
        for left, right in zip(host.network.get_weights(), trained.network.get_weights(), strict=True):
            np.testing.assert_array_equal(left, right)
        for left, right in zip(host.progress.history, trained.progress.history, strict=True):
            assert {**left, "seconds": 0, "waited": 0} == {**right, "seconds": 0, "waited": 0}


@pytest.mark.backend
@pytest.mark.skipif(keras.backend.backend() != "jax", reason="JAX alone is given several steps at once")
@pytest.mark.parametrize(
    ("precision", "change"), [("float32", {}), ("mixed_float16", {}), ("float32", {"ema": 0.9, "clip": 0.5})]
)
def test_several_steps_given_at_once_are_those_steps(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, precision: str, change: dict[str, float]
) -> None:
    """14 steps an epoch by 4: thrice four and two alone, in two stages; each step has its own rate and its own dropout."""
    samples, given = SYNTH.index(Path()), []

    def train(together: int) -> Any:
        monkeypatch.setattr(backend, "steps_a_dispatch", lambda: together)
        asked = Request("tiny", "synth", budget="smoke", recipe="paper", precision=precision, resident=True)
        run = resolve(load_host([PLUGIN]), asked, "test")
        stages = tuple(replace(stage, decay="cosine", warmup_steps=3) for stage in run.recipe.stages)
        run = replace(run, recipe=replace(run.recipe, stages=stages, **change))
        folder = tmp_path / str(together)
        folder.mkdir()
        return fit.train(fit.Job(run, run_data(run, samples, MEMORY), folder, lambda *_, **__: None))

    one = train(1)
    dispatched = PointTrainer.cut_and_dispatched
    monkeypatch.setattr(
        PointTrainer,
        "cut_and_dispatched",
        lambda trainer, what: given.append(what["places"].shape[:-2]) or dispatched(trainer, what),
    )
    several = train(4)
    epochs = several.progress.epoch
    assert given == [*[(4,)] * 3, *[()] * 2] * epochs and several.plan.steps_of(0) == 14
    for left, right in zip(one.network.get_weights(), several.network.get_weights(), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-6)
    for left, right in zip(one.progress.history, several.progress.history, strict=True):
        assert left["learning_rate"] == right["learning_rate"]
        assert left["loss"] == pytest.approx(right["loss"], rel=1e-4)
        assert left["mae"] == pytest.approx(right["mae"], rel=1e-4)
    assert len({line["loss"] for line in one.progress.history}) == epochs


def test_who_listens_is_told_of_each_step_whatever_is_given_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(backend, "steps_a_dispatch", lambda: 4)
    run = resolve(load_host([PLUGIN]), Request("tiny", "synth", budget="smoke", resident=True), "test")
    heard: list[int] = []
    listener = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: heard.append(batch))
    session = fit._opened(
        fit.Job(
            run,
            run_data(run, SYNTH.index(Path()), MEMORY),
            tmp_path,
            lambda *_, **__: None,
            lambda model: keras.callbacks.CallbackList([listener], model=model),
        )
    )
    fit._enter(session, 0)
    fit._epoch(session, 0)
    assert heard == list(range(14))


def test_cuts_of_several_steps_are_padded_alike() -> None:
    """Steps of few heads and of many: places and heads are those of one step at a time, and what is added stands for none."""
    cutting = Cutting(pipeline())
    alone, stacked = list(cutting.epoch(0, 7)), list(cutting.epoch(0, 7, together=3))
    assert [one.places.ndim for one in stacked] == [3, 3, 2]
    assert len({one.rows.shape[1] for one in alone}) > 1, "else nothing is padded"
    none = len(cutting.heads()) - 1
    for number, expected in enumerate(alone[:6]):
        places, rows = stacked[number // 3].places[number % 3], stacked[number // 3].rows[number % 3]
        np.testing.assert_array_equal(places, expected.places)
        np.testing.assert_array_equal(rows[:, : expected.rows.shape[1]], expected.rows)
        assert (rows[:, expected.rows.shape[1] :] == none).all()
    np.testing.assert_array_equal(stacked[2].rows, alone[6].rows)


def test_it_is_no_part_of_the_identity() -> None:
    host = load_host()
    runs = [resolve(host, Request("mcnn", "synth", resident=kept), "x") for kept in (False, True)]
    assert runs[0].id == runs[1].id


RED = LabelMap("red", lambda benchmark, sample, points, shape: np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    ("made", "why_not"),
    [
        (
            pipeline(replace(RECIPE, crop=None, images_per_step=1, crop_share=0.5)),
            "crops are shares of their images",
        ),
        (pipeline(replace(RECIPE, scales=(0.8, 1.2))), "images are resized"),
        (pipeline(replace(RECIPE, scales=(0.5, 0.5))), "images are resized"),
        (pipeline(replace(RECIPE, noise=5.0)), "noise is added"),
        (pipeline(replace(RECIPE, grey=0.1)), "colour is removed from some crops"),
        (pipeline(label_maps={"red": RED}), "labels are maps of pixels"),
        (
            pipeline(benchmark=replace(SYNTH, read_roi=lambda sample: np.ones((9, 9), bool))),
            "there are regions of interest",
        ),
    ],
)
def test_what_the_device_does_not_do_is_done_on_the_host(made: Pipeline, why_not: str) -> None:
    assert resident(made, MEMORY) == why_not


def test_pictures_that_do_not_fit_stay_on_the_host() -> None:
    """Six in frames of 96×128, in three channels: 221,184 bytes."""
    assert isinstance(resident(pipeline(), 221_184), Resident)
    said = resident(pipeline(), 221_183)
    assert said == "6 images in frames of 96×128 need 0.00021 GiB, above the 0.00021 of --memory"


def test_a_run_says_why_its_crops_are_cut_on_the_host(harness: Any, tmp_path: Path) -> None:
    arguments = ("bench", "--methods", "tiny", "--datasets", "synth", "--budget", "smoke", "--plugin", str(PLUGIN))
    done = harness(*arguments, "--resident", "--memory", "0.001")
    assert done.returncode == 0, done.stderr
    said = "--resident: crops are cut on the host: 54 images in frames of 192×256 need 0.0074 GiB, above the 0.001 of"
    assert done.stderr.count(said) == 1
    assert said in done.stderr.partition("[1/1]")[0], "as it starts"
    found, _ = records.read_all([tmp_path / "runs"])
    assert [record.message.startswith(said) for record in found] == [True]


def test_pictures_of_a_run_that_devices_share_stay_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.distribution, "distribution", lambda: "two devices")
    assert resident(pipeline(), MEMORY) == "the run is shared among devices"
