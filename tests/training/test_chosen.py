"""The backend is settled before Keras is imported: by the method, else by the variable, else by Keras' own file."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import pytest

from harness import Method, Recipe
from harness.errors import HarnessError
from harness.training import chosen

ANY = Method("any", "Any", "me", lambda options: None, lambda *_: {}, Recipe("paper", epochs=1), stride=8)


def test_what_is_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    assert chosen.chosen() == "tensorflow"
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    assert chosen.chosen() == "jax"
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert chosen.chosen() == "torch"
    monkeypatch.delenv("KERAS_BACKEND")
    for text in ("{", "[]"):
        (tmp_path / "keras.json").write_text(text)
        assert chosen.chosen() == "tensorflow"


def test_a_method_may_name_one_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen.check(ANY)
    chosen.check(replace(ANY, backend=keras.backend.backend()))
    with pytest.raises(
        HarnessError, match=r"unknown backend of method any: 'pytorch'\. .*Known: tensorflow, jax, torch|torch"
    ):
        chosen.check(replace(ANY, backend="pytorch"))
    monkeypatch.setattr(chosen.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(HarnessError, match="method any runs on jax, which is not installed: pip install jax"):
        chosen.check(replace(ANY, backend="jax"))


def test_a_backend_that_there_is_not_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.setenv("KERAS_BACKEND", "pytorch")
    with pytest.raises(HarnessError, match=r"unknown backend \(KERAS_BACKEND\) 'pytorch'"):
        chosen.use_for(ANY)
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setattr(chosen.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(HarnessError, match="KERAS_BACKEND is torch, which is not installed: pip install torch"):
        chosen.use_for(ANY)


def test_keras_that_runs_stays_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    other = "jax" if chosen.chosen() != "jax" else "torch"
    monkeypatch.setattr(chosen, "check", lambda method: None)
    with pytest.raises(
        HarnessError, match=f"method any runs on {other}, and Keras was started on .*: set KERAS_BACKEND={other}"
    ):
        chosen.use_for(replace(ANY, backend=other))
    with pytest.raises(HarnessError, match="or import Keras inside the functions of plugins alone"):
        chosen.check_not_started(replace(ANY, backend=other))
    chosen.check_not_started(replace(ANY, backend=chosen.chosen()))
    chosen.check_not_started(ANY)


def test_before_keras_the_methods_own_is_taken() -> None:
    code = """
import os, sys
from dataclasses import replace
from harness.host.plugins import load_host
from harness.training import chosen
mcnn = load_host().method("mcnn")
chosen.use_for(mcnn)
assert os.environ["KERAS_BACKEND"] == "tensorflow"
chosen.check = lambda method: None
chosen.use_for(replace(mcnn, backend="torch"))
assert os.environ["KERAS_BACKEND"] == "torch" and "keras" not in sys.modules
"""
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
