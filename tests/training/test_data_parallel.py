"""One run shared among devices: two halves of this processor stand for two accelerators."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import pytest

from harness import Method, Recipe
from harness.errors import HarnessError
from harness.training.sharing import check_data_parallel

pytestmark = [pytest.mark.backend, pytest.mark.system]
ARGUMENTS = ("bench", "--methods", "mcnn", "--datasets", "synth", "--budget", "smoke")
SHORT = "{methods: mcnn, datasets: synth, budget: {from: smoke, steps: 12, validations: 1, test_images: 4}}"


def predicted(folder: Path) -> list[float]:
    record = json.loads(next(folder.glob("*/record.json")).read_text())
    assert record["status"] == "ok", record["message"]
    return [image["predicted"] for image in record["results"]["per_image"]]


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="keras.distribution is JAX's")
def test_two_devices_give_what_one_gives(harness: Any, tmp_path: Path) -> None:
    flags = os.environ.get("XLA_FLAGS", "")  # those that compile fast
    two = {"XLA_FLAGS": f"{flags} --xla_force_host_platform_device_count=2"}
    (tmp_path / "short.yaml").write_text(SHORT)
    shared = harness("bench", "short.yaml", "--out", "two", "--data-parallel", **two)
    assert shared.returncode == 0, shared.stderr + shared.stdout
    assert harness("bench", "short.yaml", "--out", "one", **two).returncode == 0  # on the first of them
    assert predicted(tmp_path / "two") == pytest.approx(predicted(tmp_path / "one"), rel=0.02, abs=0.5)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="keras.distribution is JAX's")
def test_crops_that_cannot_be_shared_are_refused(harness: Any, tmp_path: Path) -> None:
    done = harness(*ARGUMENTS, "--data-parallel", XLA_FLAGS="--xla_force_host_platform_device_count=3")
    assert done.returncode == 1 and "4 crops a step cannot be shared equally among 3 devices" in done.stdout


def test_a_method_on_another_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any cell starts: its own would run on that backend, whatever is chosen for all."""
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    method = Method("any", "Any", "me", lambda options: None, lambda *_: {}, Recipe("paper", epochs=1), stride=8)
    check_data_parallel(method)
    with pytest.raises(HarnessError, match="which Keras has for JAX; that of method any is torch"):
        check_data_parallel(replace(method, backend="torch"))


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX can")
def test_a_backend_that_cannot_says_so(harness: Any) -> None:
    done = harness(*ARGUMENTS, "--data-parallel", KERAS_BACKEND=keras.backend.backend())
    assert done.returncode == 2 and "which Keras has for JAX" in done.stderr
