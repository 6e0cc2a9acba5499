"""What chance and order decide of a run's crops, and which images a run is given: by hand, beside the pipeline's own words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.benchmark import Sample
from harness.data.datasets.synth import SYNTH
from harness.data.image_store import ImageStore
from harness.data.pipeline import Pipeline
from harness.data.run_data import run_data
from harness.host.plugins import load_host
from harness.recipe import COMMON
from harness.run import Request
from harness.runs.resolve import resolve


def pipeline(seed: int = 0, **recipe: Any) -> Pipeline:
    """Of seven pictures."""
    return Pipeline(SYNTH, SYNTH.index(Path())[:7], ImageStore(SYNTH, 1), replace(COMMON, crop=64, **recipe), 8, seed)


def test_every_crop_has_draws_of_its_own() -> None:
    """None of seed, epoch, step, picture and crop repeats what another drew."""
    drawn = [
        generator.random()
        for seed in range(2)
        for epoch in range(2)
        for step in range(3)
        for _, _, generator in pipeline(seed, images_per_step=2, crops_per_image=3).draws(
            epoch, step, [0, 1], lambda row: (192, 256, 1)
        )
    ]
    assert len(set(drawn)) == len(drawn) == 2 * 2 * 3 * 2 * 3


def test_an_epoch_passes_over_every_picture_once_in_an_order_of_its_own() -> None:
    def order(seed: int, epoch: int) -> tuple[int, ...]:
        steps = pipeline(seed, images_per_step=2).epoch(epoch, 4, made=lambda number, step, rows: rows)
        return tuple(row for rows in steps for row in rows)

    orders = [order(seed, epoch) for seed in range(3) for epoch in range(3)]
    assert all(sorted(one[:7]) == list(range(7)) and one[7] == one[0] for one in orders)
    assert len(set(orders)) == 9


def test_kernels_in_metres_follow_the_perspective_where_each_head_is() -> None:
    perspective = np.arange(192 * 256, dtype=np.float32).reshape(192, 256)
    points = np.array([[200.7, 30.2], [3.0, 190.9], [255.9, 191.9]])
    benchmark = replace(
        SYNTH, sigma_metres=0.5, read_perspective=lambda sample: perspective, read_points=lambda sample: points
    )
    made = Pipeline(benchmark, SYNTH.index(Path())[:1], ImageStore(benchmark, 1), COMMON, 8, 0)
    expected = [0.5 * (256 * int(y) + int(x)) for x, y in points]
    np.testing.assert_allclose(made.heads(made.samples[0])[:, 2], expected)


def test_a_run_trains_on_the_training_images_of_its_own_fold_alone() -> None:
    """Nothing of its validation or test images reaches it, not even how many heads the fullest of the latter has."""
    samples = tuple(Sample(f"{number}", "", groups={"fold": str(number % 3)}) for number in range(30))
    heads = {sample.name: np.ones((100 if sample.groups["fold"] == "2" else int(sample.name), 2)) for sample in samples}
    folded = replace(SYNTH, folds=3, read_points=lambda sample: heads[sample.name])
    run = resolve(load_host(), Request("mcnn", "synth", budget="paper", fold=2, seed=5), "test")
    data = run_data(replace(run, benchmark=folded), samples, 1 << 20)
    train, chooses, test = ({sample.name for sample in part} for part in (data.crops.samples, data.chooses, data.tests))
    assert test == {f"{number}" for number in range(2, 30, 3)}
    assert not train & chooses and train | chooses == {sample.name for sample in samples} - test
    assert data.crops.seed == 5 and data.largest_count == 28
