"""A trained method learns: it beats the mean-count predictor clearly on drawn scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.data.datasets.synth import SYNTH
from harness.data.image_store import ImageStore
from harness.data.splits import split
from harness.host.plugins import load_host
from harness.run import Request
from harness.runs.resolve import resolve
from harness.training.evaluation import evaluate, summary
from harness.training.fit import train


def test_mcnn_beats_the_mean_of_the_training_counts(tmp_path: Path) -> None:
    run = resolve(load_host(), Request("mcnn", "synth", budget="quick"), "test")
    parts, store = split(SYNTH, SYNTH.index(Path())), ImageStore(SYNTH, 1)
    trained = train(run, parts, store, tmp_path, lambda kind, **what: None)
    scores = summary(evaluate(trained.network, run.method, SYNTH, parts.test, store))
    mean = np.mean([len(SYNTH.read_points(sample)) for sample in (*parts.train, *parts.val)])
    floor = np.mean([abs(len(SYNTH.read_points(sample)) - mean) for sample in parts.test])
    assert scores["mae"] < 0.6 * floor, (scores["mae"], floor)
