"""A trained method learns: it beats the mean-count predictor clearly on drawn scenes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.data.datasets.synth import SYNTH
from harness.data.run_data import run_data
from harness.host.plugins import load_host
from harness.run import Request
from harness.runs.resolve import resolve
from harness.training.evaluation import evaluate, summary
from harness.training.fit import Job, train


def test_mcnn_beats_the_mean_of_the_training_counts(tmp_path: Path) -> None:
    run = resolve(load_host(), Request("mcnn", "synth", budget="quick"), "test")
    # A sixth of what `quick` sees, in larger steps: enough to tell one that learns.
    recipe = replace(
        run.recipe, crop=96, images_per_step=4, stages=(replace(run.recipe.stages[0], learning_rate=1e-3),)
    )
    run = replace(run, recipe=recipe, budget=replace(run.budget, epochs=20))
    data = run_data(run, SYNTH.index(Path()), 1 << 30)
    trained, parts = train(Job(run, data, tmp_path, lambda kind, **what: None)), data.split
    scores = summary(evaluate(trained.network, run.method, data.scenes(parts.test)))
    mean = np.mean([len(SYNTH.read_points(sample)) for sample in (*parts.train, *parts.val)])
    floor = np.mean([abs(len(SYNTH.read_points(sample)) - mean) for sample in parts.test])
    assert scores["mae"] < 0.6 * floor, (scores["mae"], floor)
