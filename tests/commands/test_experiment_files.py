"""`harness bench experiment.yaml` as a user runs it: the example, own recipes in a cell's process, flags over the file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml
from conftest import ROOT, Command, one_line
from pydantic import ValidationError

from harness.errors import HarnessError
from harness.runs import records
from harness.runs.experiment import Experiment

PLUGIN = ROOT / "tests" / "methods_on_trial.py"


def test_own_recipe_and_budget_reach_the_cell_and_its_record(harness: Command, tmp_path: Path) -> None:
    """Trained in its own process for exactly 20 steps; the same file does nothing again, its written copy neither."""
    recipe = {"from": "common", "learning_rate": 2e-4, "epochs": 3, "crop": 32, "sigma": {"pixels": 3.0}}
    experiment = {
        "methods": "tiny",
        "datasets": "synth",
        "recipe": recipe,
        "budget": {"from": "smoke", "name": "short", "steps": 20, "validations": 1},
        "plugins": str(PLUGIN),
        "out": "elsewhere",
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(experiment))
    done = harness("bench", "mine.yaml")
    assert done.returncode == 0, done.stderr
    (record,), _ = records.read_all([tmp_path / "elsewhere"])
    assert record.training is not None and record.training.steps == 20
    assert record.recipe == "common+crop=32,epochs=3,learning_rate=0.0002,sigma.pixels=3.0" and record.budget == "short"
    assert record.identity["asked"]["recipe"] == recipe
    assert record.identity["recipe"]["stages"][0]["learning_rate"] == 2e-4 and record.identity["recipe"]["crop"] == 32
    text = (tmp_path / "elsewhere" / "comparison.md").read_text()
    assert "20 steps of at most 4 crops of at most 48×48 px, whatever the recipe's epochs" in text
    assert "common with crop 32, epochs 3, learning rate 0.0002" in text and "budget short (smoke+steps=20" in text
    for file in ("mine.yaml", "elsewhere/experiment.yaml"):
        again = harness("bench", file)
        assert again.returncode == 0 and "1 there already, 0 to run" in again.stderr, again.stderr


def test_flags_go_before_the_file_and_are_written_down(harness: Command, tmp_path: Path) -> None:
    text = "# mine\nmethods: mccn\ndatasets: synth\nseeds: [0, 1]\nbudget: smoke\nout: mine\n"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "experiment.yaml").write_text(text)
    line = one_line(harness("bench", "mine/experiment.yaml", "--dry-run"))
    assert "mine/experiment.yaml, line 2: unknown method 'mccn'. Did you mean 'mcnn'?" in line
    done = harness("bench", "mine/experiment.yaml", "--methods", "mcnn", "--seeds", "5", "--out", "there", "--dry-run")
    assert done.returncode == 0 and done.stdout.startswith("synth-mcnn-common-smoke-seed5-")
    assert not (tmp_path / "there").exists(), "a dry run writes nothing"
    unknown = one_line(harness("bench", "mine/experiment.yaml", "--methods", "mncn"))
    assert "unknown method 'mncn'" in unknown and "line" not in unknown


def test_what_bench_leaves_and_what_it_leaves_alone(
    harness: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.commands.experiment import keep
    from harness.runs.experiment import Asked, load

    monkeypatch.chdir(tmp_path)
    asked = Asked(Experiment(methods=("mcnn",), datasets=("synth",)))
    path = tmp_path / "runs" / "experiment.yaml"
    assert keep(asked) == "" and load(path).experiment.methods == ("mcnn",)
    assert keep(asked.changed({"seeds": (4,)})) == "" and load(path).experiment.seeds == (4,), "its own is written anew"
    path.write_text("# by hand\nmethods: mcnn\ndatasets: synth\n")
    assert keep(asked) == "" and "another" not in keep(asked)
    assert "runs/experiment.yaml" in keep(asked.changed({"seeds": (4,)}))
    assert path.read_text().startswith("# by hand"), "what a person wrote is never written over"
    for text in (b"notes: my experiment\n", b"\xff\xfe\x00"):
        path.write_bytes(text)
        assert "is not ours to write over" in keep(asked) and path.read_bytes() == text


def test_slurm_values_are_numbers_where_they_are_written_so() -> None:
    from harness.commands.experiment import _slurm

    pairs = ("cpus_per_task=8", "slurm_account=0012", "a=²", "zero=0")
    assert _slurm(pairs) == {"cpus_per_task": 8, "slurm_account": "0012", "a": "²", "zero": 0}


def test_seeds_are_those_that_generators_take() -> None:
    from harness.commands.experiment import _seeds

    assert _seeds("0,4294967295") == (0, 2**32 - 1)
    with pytest.raises(HarnessError, match="from 0 to 4294967295"):
        _seeds("4294967296")
    with pytest.raises(ValidationError, match="less than or equal to 4294967295"):
        Experiment(seeds=(2**32,))


def test_mistakes_in_a_file_stop_the_bench_in_one_line(harness: Command, tmp_path: Path) -> None:
    head = "methods: {}\ndatasets: synth\nbudget: smoke\n"
    cases = {
        "a.yaml": (
            head.format("mcnn") + "recipe: {optimizer: adma}\n",
            "a.yaml, line 4: stage common: optimizer 'adma'",
        ),
        "b.yaml": (
            head.format("[csrnet, mask_aware]") + "recipe: {from: paper, learning_rate: 1e-3}\n",
            "b.yaml, line 4: recipe paper+learning_rate=0.001: learning_rate is a field of a stage, and recipe paper of",
        ),
        "c.yaml": ("datasets: synth\n", "c.yaml: no methods; give --methods and --datasets"),
        "d.yaml": (head.format("mcnn") + "seeds: [0\n", "d.yaml, line 5: not YAML"),
    }
    for name, (text, message) in cases.items():
        (tmp_path / name).write_text(text)
        done = harness("bench", name, "--dry-run")
        said = done.stderr.strip().splitlines()[-1]
        assert done.returncode == 2 and message in said, done.stderr
    assert "--methods is missing" in one_line(harness("bench", "--datasets", "synth"))
    assert "gone.yaml: cannot be read" in one_line(harness("bench", "gone.yaml"))
    assert not (tmp_path / "runs").exists()


def test_the_example_runs_as_it_is(harness: Command, tmp_path: Path) -> None:
    (tmp_path / "experiment.yaml").write_text(harness("bench", "--example").stdout)
    done = harness("bench", "experiment.yaml")
    assert done.returncode == 0 and "| MCNN" in done.stdout, done.stderr
    assert yaml.safe_load((tmp_path / "runs" / "experiment.yaml").read_text())["methods"] == ["mcnn"]


def test_flags_and_files_have_the_same_defaults() -> None:
    from harness.commands.bench import command

    same = Experiment()
    defaults = {one.name: one.default for one in command.params if isinstance(one, click.Option)}
    for key in (
        "budget",
        "recipe",
        "select",
        "precision",
        "pretrained",
        "memory",
        "executor",
        "jobs",
        "address",
        "track",
    ):
        assert defaults[key] == getattr(same, key), key
    assert str(defaults["out"]) == same.out and defaults["seeds"] == "0" and same.seeds == (0,)
    own = {"retry", "dry_run", "example"}
    assert {"plugins" if name == "plugin_files" else name for name in defaults} - own == Experiment.model_fields.keys()


def test_the_schema_is_json_and_starts_no_keras() -> None:
    code = (
        "import sys; from harness.commands.cli import cli; cli(['schema'], standalone_mode=False); "
        "print({'keras', 'tensorflow', 'cv2', 'scipy'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr.strip() == "set()", done.stderr
    assert "methods" in json.loads(done.stdout)["properties"]


def test_help_imports_no_pydantic() -> None:
    for arguments in ("--help", "bench --help"):
        code = (
            f"import sys; from harness.commands.cli import cli; cli({arguments.split()!r}, standalone_mode=False); "
            "print({'keras', 'pydantic', 'yaml', 'numpy'} & set(sys.modules))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout.splitlines()[-1] == "set()", done.stdout + done.stderr
