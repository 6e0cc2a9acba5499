"""Callbacks of plugins: one that fails costs itself, not the run, nor the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import pytest

from harness.host.plugins import load_host
from harness.runs.listeners import listeners

PLUGIN = """
import keras
from harness import hookimpl

class Heard(keras.callbacks.Callback):
    def __init__(self, fails):
        super().__init__()
        self.fails, self.said = fails, []

    def say(self, what):
        self.said.append(what)
        if what == self.fails:
            raise OSError(2, "No such file or directory", "/nowhere/log.txt")

    def on_train_begin(self, logs=None): self.say("begin")
    def on_epoch_begin(self, epoch, logs=None): self.say(f"epoch {{epoch}} begins")
    def on_epoch_end(self, epoch, logs=None):
        self.model.seen = True
        self.say(f"epoch {{epoch}} ends at {{logs['loss']}}")
    def on_train_batch_end(self, batch, logs=None): self.say(f"batch {{batch}}")
    def on_train_end(self, logs=None): self.say("end")

CALLBACKS = {callbacks}

@hookimpl
def harness_callbacks(run):
    return CALLBACKS
"""
WHOLE = ["begin", "epoch 0 begins", "batch 0", "batch 1", "epoch 0 ends at 0.5", "end"]


def heard(tmp_path: Path, callbacks: str) -> tuple[Any, list[str], Any]:
    """The plugin, what was warned of, and what `listeners` gave, after a run of one epoch."""
    path = tmp_path / "heard.py"
    path.write_text(PLUGIN.format(callbacks=callbacks))
    host = load_host([path])
    plugin = next(each for each in host.plugins if each.name == "heard")
    warned: list[str] = []
    image = keras.Input((4,))
    run: Any = None
    found = listeners(host, run, keras.Model(image, keras.layers.Dense(1)(image)), warned.append)
    if found:
        found.on_epoch_begin(0)
        for batch in (0, 1):
            found.on_train_batch_begin(batch)
            found.on_train_batch_end(batch, {"loss": 0.25})
        found.on_epoch_end(0, {"loss": 0.5})
        found.on_train_end()
    return plugin, warned, found


@pytest.mark.parametrize("fails", WHOLE)
def test_a_callback_that_raises_is_called_no_more_and_the_others_are(tmp_path: Path, fails: str) -> None:
    plugin, warned, _ = heard(tmp_path, f"[Heard({fails!r}), Heard('')]")
    failing, other = plugin.module.harness_callbacks.__globals__["CALLBACKS"]
    assert other.said == WHOLE
    assert failing.said == WHOLE[: WHOLE.index(fails) + 1]
    assert plugin.errors == [warned[0].removeprefix("plugin heard: ")] and len(warned) == 1
    assert "of callback Heard raised FileNotFoundError: [Errno 2] No such file or directory" in warned[0]


def test_what_is_no_callback_or_sets_the_rate_is_left_out(tmp_path: Path) -> None:
    plugin, warned, found = heard(tmp_path, "[keras.callbacks.ReduceLROnPlateau()]")
    assert found is None and not warned and "ReduceLROnPlateau, which is left out" in plugin.errors[0]
    plugin, _, found = heard(tmp_path, "[Heard(''), 3]")
    assert (
        found is None and "returned ['Heard', 'int']; expected a list of keras.callbacks.Callback" in plugin.errors[0]
    )
