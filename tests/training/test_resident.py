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
from harness.data.datasets.synth import SYNTH
from harness.data.image_store import ImageStore
from harness.data.pipeline import Pipeline, Waiting
from harness.data.run_data import run_data
from harness.host.plugins import load_host
from harness.label_map import LabelMap
from harness.method import Recipe
from harness.run import Request
from harness.runs.resolve import resolve
from harness.training import fit
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
        mirrored += int(keras.ops.convert_to_numpy(given["places"])[:, 3].sum())
    assert 15 < mirrored < 57, "of 72 crops, about every second"


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
    assert said in done.stderr


def test_pictures_of_a_run_that_devices_share_stay_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.distribution, "distribution", lambda: "two devices")
    assert resident(pipeline(), MEMORY) == "the run is shared among devices"
