"""The package as others get it: its wheel in an empty environment, a new plugin from `plugins new`, `doctor`."""

from __future__ import annotations

import json
import os
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, run

import harness

pytestmark = pytest.mark.system


def test_what_the_wheel_and_the_sdist_hold(built: Path) -> None:
    names = set(zipfile.ZipFile(next(built.glob("*.whl"))).namelist())
    for needed in (
        "harness/py.typed",
        "harness/reporting/templates/report.html",
        "harness/host/templates/plugin/pyproject.toml.jinja",
        "crowd_harness_sasnet/published.yaml",
        *(f"harness/models/{path.name}" for path in (ROOT / "harness" / "models").glob("*")),
    ):
        assert needed in names
    assert not [name for name in names if name.startswith(("tests/", "reports/", "docs/"))]
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        inner = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "tests/conftest.py"} <= inner


def test_one_version() -> None:
    """The package's own is its metadata's, and what one is asked to cite."""
    said = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"]
    assert said == harness.__version__ == metadata.version("crowd-harness")
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert changes.startswith(f"# Changelog\n\n## {said}")


@pytest.mark.parametrize("target", ["wheel", "sdist"])
def test_models_are_packed_though_weights_are_not_kept_elsewhere(target: str) -> None:
    """By the build backend's own rules, which follow .gitignore."""
    from hatchling.builders.sdist import SdistBuilder
    from hatchling.builders.wheel import WheelBuilder

    rules = {"wheel": WheelBuilder, "sdist": SdistBuilder}[target](str(ROOT)).config
    for name in ("zip-shtech_a.weights.h5", "zip-shtech_a.yaml"):
        assert rules.include_path(f"harness/models/{name}")
    assert not rules.include_path("harness/runs/best.weights.h5")


def test_the_wheel_in_an_empty_environment(empty: Path, tmp_path: Path) -> None:
    command = empty / "bin" / "harness"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    where = run(
        empty / "bin" / "python", "-c", "import harness; print(harness.__file__)", cwd=tmp_path, env=environment
    )
    assert str(empty) in where
    plugins = json.loads(run(command, "plugins", "list", "--json", cwd=tmp_path, env=environment))
    assert sum("method" in what for plugin in plugins for what in plugin["adds"]) == 13
    assert not [error for plugin in plugins for error in plugin["errors"]]
    run(
        command, "bench", "--methods", "mcnn", "--datasets", "synth", "--budget", "smoke", cwd=tmp_path, env=environment
    )
    run(command, "report", cwd=tmp_path, env=environment)
    assert "<!doctype html>" in (tmp_path / "reports" / "report.html").read_text()


def test_a_new_plugin_installs_passes_its_tests_and_trains(empty: Path, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command, python = empty / "bin" / "harness", empty / "bin" / "python"
    run(command, "plugins", "new", "my_method", "--out", "mine", cwd=tmp_path, env=environment)
    install = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "./mine")
    run(python, *install, cwd=tmp_path, env=environment)
    said = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "mine", cwd=tmp_path, env=environment)
    assert "2 passed" in said
    bench = ("bench", "--methods", "my_method", "--datasets", "synth", "--budget", "smoke")
    run(command, *bench, cwd=tmp_path, env=environment)
    record = json.loads(next((tmp_path / "runs").glob("*/record.json")).read_text())
    assert record["status"] == "ok" and record["plugin"] == {
        "distribution": "crowd-harness-my-method",
        "version": "0.1.0",
    }
    run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "crowd-harness-my-method", env=environment)


@pytest.mark.parametrize("name", ["My-Method", "class", "1st"])
def test_a_name_that_cannot_be_one_is_refused(harness: Any, name: str) -> None:
    done = harness("plugins", "new", name, "--out", "mine")
    assert done.returncode == 2 and "expected a method's name in small letters" in done.stderr


def test_nothing_is_written_over(harness: Any, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "kept").touch()
    done = harness("plugins", "new", "my_method", "--out", "mine")
    assert done.returncode == 2 and "already there" in done.stderr


def test_doctor_names_what_is_most_likely_wrong(harness: Any, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    done = harness("doctor", "--data-root", "data", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 1 and "holds no dataset under a known name" in found["most_likely_wrong"]
    topics = {finding["topic"] for finding in found["findings"]}
    assert {"python", "versions", "backend", "device", "plugins", "data", "cache"} <= topics
    assert harness("data", "synth", "--like", "mall", "--out", "data").returncode == 0
    well = harness("doctor", "--data-root", "data")
    assert well.returncode == 0 and "nothing looks wrong" in well.stdout and "mall" in well.stdout
    bad = harness("doctor", "--data-root", "data", KERAS_BACKEND="tensorflwo")
    assert "KERAS_BACKEND is 'tensorflwo'" in bad.stdout
    (tmp_path / "broken.py").write_text("import no_such_module\n")
    bad = harness("doctor", "--data-root", "data", "--plugin", "broken.py")
    assert "most likely wrong: plugin broken" in bad.stdout and "no_such_module" in bad.stdout


def test_losses_go_to_tensorboard(harness: Any, tmp_path: Path) -> None:
    done = harness("bench", "--methods", "mcnn", "--datasets", "synth", "--budget", "smoke", "--track", "tensorboard")
    assert done.returncode == 0, done.stderr
    files = list((tmp_path / "runs" / "track").rglob("events.out.tfevents.*"))
    assert files and any(file.stat().st_size > 200 for file in files)
    assert json.loads(next((tmp_path / "runs").glob("*/record.json")).read_text())["message"] == ""
    bad = harness("bench", "--methods", "mcnn", "--datasets", "synth", "--budget", "smoke", "--track", "tensorbord")
    assert bad.returncode == 2 and "Did you mean 'tensorboard'" in bad.stderr
