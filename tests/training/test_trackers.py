"""What a tracker is told: here what lies in TensorBoard's own event files, read by TensorBoard."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import ROOT

from harness.data.datasets.synth import SYNTH
from harness.data.run_data import run_data
from harness.host import trackers
from harness.host.plugins import load_host
from harness.run import Request
from harness.runs.resolve import resolve
from harness.training.fit import Job, train


def test_tensorboard_gets_every_term_of_the_loss_each_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two terms of known value, 2 and 30."""
    import keras

    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    from tensorboard.util.tensor_util import make_ndarray

    for name in (trackers.CHOICE, trackers.FOLDER):  # so that they are as before afterwards
        monkeypatch.setenv(name, os.environ.get(name, ""))
    trackers.choose("tensorboard", tmp_path / "track")
    samples = SYNTH.index(Path())
    request = Request("two_terms", "synth", budget="smoke", recipe="paper")
    run = resolve(load_host([ROOT / "tests" / "methods_on_trial.py"]), request, "test")

    def callbacks(model: keras.Model) -> keras.callbacks.CallbackList:
        listeners = keras.callbacks.CallbackList(trackers.harness_callbacks(run), model=model)
        listeners.on_train_begin()
        return listeners

    trained = train(Job(run, run_data(run, samples, 1 << 30), tmp_path, lambda *_, **__: None, callbacks))
    found = events.EventAccumulator(str(tmp_path / "track" / run.name / "train"))
    found.Reload()
    for term, value in (("near_loss", 2.0), ("far_loss", 30.0)):
        told = [(event.step, float(make_ndarray(event.tensor_proto))) for event in found.Tensors(f"epoch_{term}")]
        assert told == [(epoch, pytest.approx(value)) for epoch in range(trained.progress.epoch)]
