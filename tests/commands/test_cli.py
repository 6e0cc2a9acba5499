"""The installed command in a subprocess, as a user runs it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, Command, one_line, write_shanghaitech_points

from harness.runs import records
from harness.runs.cell import DEAF

PLUGIN = ROOT / "tests" / "methods_on_trial.py"
Tiny = Callable[..., Path]
SMOKE = ("--datasets", "synth", "--budget", "smoke", "--plugin", PLUGIN)


def test_help_imports_no_keras() -> None:
    code = (
        "import sys; from harness.commands.cli import cli; cli(['--help'], standalone_mode=False); "
        "print('keras' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False False"
    assert "bench" in done.stdout and "report" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("bench", "--methods", "mccn", "--datasets", "synth"),
            "unknown method 'mccn'. Did you mean 'mcnn'?",
        ),
        (
            ("bench", "--methods", "mcnn", "--datasets", "sinth"),
            "unknown dataset 'sinth'. Did you mean 'synth'?",
        ),
        (("bench", "--methods", ",", "--datasets", "synth"), "names no method"),
        (("bench", "--methods", "mcnn", "--datasets", "synth", "--budget", "quik"), "Did you mean 'quick'?"),
        (
            ("bench", "--methods", "sasnet[no_pra", "--datasets", "synth"),
            "method 'sasnet[no_pra': expected NAME or NAME[VARIANT], for example sasnet[no_pra]",
        ),
        (
            ("plugins", "check", "mcnn", "--backends", "tensorflow,jacks"),
            "unknown backend 'jacks'. Did you mean 'jax'?",
        ),
        (("plugins", "show", "sasnet[]"), "expected NAME or NAME[VARIANT]"),
        (
            ("bench", "--methods", "mcnn", "--datasets", "synth", "--recipe", "comon"),
            "Did you mean 'common'?",
        ),
        (
            ("bench", "--methods", "mcnn", "--datasets", "synth", "--seeds", "x"),
            "--seeds 'x': expected whole numbers",
        ),
        (
            ("bench", "--methods", "mcnn", "--datasets", "synth", "--retry", "omm"),
            "unknown status 'omm'. Did you mean 'oom'?",
        ),
        (
            ("bench", "--methods", "mcnn", "--datasets", "synth", "--precision", "float8"),
            "unknown precision 'float8'",
        ),
        (
            ("bench", "--methods", "csrnet", "--datasets", "synth", "--pretrained", "gone.h5"),
            "--pretrained gone.h5: no such file",
        ),
        (("bench", "--methods", "all", "--datasets", "shtech_a"), "dataset shtech_a: no folder"),
        (
            ("bench", "--methods", "all", "--datasets", "ucf_cc_50", "--data-root", "nowhere"),
            "nowhere/UCF_CC_50",
        ),
        (
            ("eval", "--method", "mcnn", "--weights", "gone.h5", "--dataset", "synth"),
            "gone.h5: no such weights file",
        ),
        (("data", "check", "shteck_a"), "unknown dataset 'shteck_a'. Did you mean 'shtech_a'?"),
        (("report", "--runs", "nowhere"), "nowhere: no such folder of runs"),
        (("bensh",), "unknown command 'bensh'. Did you mean 'bench'?"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(
    harness: Command, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = harness(*arguments, HARNESS_DATA="")
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in one_line(done) and one_line(done).startswith("harness: ")
    assert not list(tmp_path.iterdir())


def test_missing_data_says_where_it_was_sought_and_who_offers_it(harness: Command, tmp_path: Path) -> None:
    line = one_line(harness("bench", "--methods", "mcnn", "--datasets", "shtech_a", "--data-root", tmp_path))
    assert str(tmp_path / "ShanghaiTech/part_A") in line and "https://" in line and "harness data list" in line


def test_plugins_list(harness: Command, tmp_path: Path) -> None:
    done = harness("plugins", "list")
    assert done.returncode == 0
    assert any(
        "mcnn" in line and "crowd-harness 0." in line and "method mcnn" in line for line in done.stdout.splitlines()
    )
    (tmp_path / "bad.py").write_text("raise RuntimeError('no')")
    done = harness("plugins", "list", "--plugin", "bad.py")
    assert done.returncode == 1
    assert "failed to import: RuntimeError: no" in done.stdout and "method csrnet" in done.stdout


def test_plugins_show(harness: Command) -> None:
    done = harness("plugins", "show", "csrnet", "--json")
    assert done.returncode == 0 and not done.stderr
    shown = json.loads(done.stdout)
    assert shown["parameters"] == shown["inference_parameters"] == 16_263_489
    assert shown["inference_megabytes"] == pytest.approx(4 * 16_263_489 / 1e6, abs=0.01)
    assert shown["stride"] == 8 and shown["recipe"]["stages"][0]["optimizer"] == "sgd" and shown["variants"] == {}
    assert shown["outputs"] == ["density"]
    assert {"shtech_a", "ucf_cc_50"} <= {value["dataset"] for value in shown["published"]}
    text = harness("plugins", "show", "mask_aware[solution1]").stdout
    assert "mask_aware[solution1]" in text and "adam" in text and "Table II" in text
    assert "output       density and points at stride 8\n" in harness("plugins", "show", "p2pnet").stdout
    assert "Did you mean 'no_pra'" in one_line(harness("plugins", "show", "sasnet[nopra]"))
    bayesian = json.loads(harness("plugins", "show", "bayesian", "--json").stdout)
    assert (bayesian["recipe"]["crop"], bayesian["recipes"]["shtech_a"]["crop"]) == (512, 256)


def test_data_list(harness: Command, tiny_shanghaitech: Callable[..., Path]) -> None:
    root = tiny_shanghaitech()
    rows = {row["name"]: row for row in json.loads(harness("data", "list", "--json", "--data-root", root).stdout)}
    assert rows["shtech_a"]["here"] and rows["shtech_a"]["folder"] == str(root / "ShanghaiTech/part_A")
    assert not rows["ucf_cc_50"]["here"] and rows["ucf_cc_50"]["homepage"].startswith("https://")
    text = harness("data", "list", HARNESS_DATA=str(root)).stdout
    assert f"here: {root}" in text and "offered at" in text


def test_data_check_exits_1_on_damage(harness: Command, tiny_shanghaitech: Callable[..., Path]) -> None:
    root = tiny_shanghaitech()
    assert harness("data", "check", "shtech_a", "--data-root", root).returncode == 0
    image = root / "ShanghaiTech/part_A/test_data/images/IMG_1.jpg"
    image.write_bytes(image.read_bytes()[:300])
    done = harness("data", "check", "shtech_a", "--data-root", root)
    assert done.returncode == 1 and f"{image}: truncated image" in done.stdout
    assert "harness" not in done.stderr


def test_bench_isolates_every_way_to_fail(harness: Command, tmp_path: Path) -> None:
    """Seven bad methods and a good one: eight lines in the table, and a second call that runs nothing.

    Two at a time, so that the others are made while one sleeps.
    """
    methods = "sleeping,crashing,diverging,killed,memory,raising,tiny,two_channels"
    arguments = ("bench", "--methods", methods, *SMOKE, "--timeout", "0.6", "--jobs", "2")
    done = harness(*arguments)
    assert done.returncode == 1, done.stderr
    found, _ = records.read_all([tmp_path / "runs"])
    assert {record.method: record.status for record in found} == {
        "crashing": "failed",
        "diverging": "diverged",
        "killed": "oom",
        "memory": "oom",
        "raising": "invalid",
        "sleeping": "timeout",
        "tiny": "ok",
        "two_channels": "invalid",
    }
    for message in (
        "crashed: signal SIGSEGV",
        "the loss became nan at epoch 1, step 1",
        "killed by signal SIGKILL",
        "MemoryError: cannot allocate 99 GiB",
        "build raised ValueError: this network cannot be built",
        "its density of a 64×128 image is (2, 8, 16, 2); expected (2, 8, 16, 1)",
        "stopped: the time given by --timeout was over",
    ):
        assert message in done.stdout
        assert message in (tmp_path / "runs" / "comparison.md").read_text()
    assert max(len(line) for line in done.stdout.splitlines() if line.startswith("|")) < 140
    assert "\x1b" not in done.stdout + done.stderr and "\r" not in done.stderr
    again = harness(*arguments)
    assert again.returncode == 1 and again.stdout == done.stdout
    assert "8 there already, 0 to run" in again.stderr
    hint = re.search(r"of an earlier bench, and not run again: --retry ([a-z,]+)$", again.stderr, re.MULTILINE)
    assert hint and "invalid" in hint[1].split(",") and "ok" not in hint[1].split(",")
    assert "not run again" not in done.stderr
    retried = harness(*arguments, "--retry", "oom", "--dry-run")
    assert sorted(line.split("-")[1] for line in retried.stdout.splitlines()) == ["killed", "memory"]
    there = re.findall(r"^there already: synth-([a-z_]+)-\S+  (\w+)$", retried.stderr, re.MULTILINE)
    assert len(there) == 6 and ("tiny", "ok") in there and ("two_channels", "invalid") in there, retried.stderr


def predictions(folder: Path) -> dict[str, float]:
    (record,), _ = records.read_all([folder])
    assert record.status == "ok" and record.results is not None
    return {image.image: image.predicted for image in record.results.per_image}


def start(tmp_path: Path, out: str, methods: str = "mcnn", *further: str) -> subprocess.Popen:
    command = [
        str(Path(sys.executable).with_name("harness")),
        "bench",
        "--methods",
        methods,
        *map(str, SMOKE),
        "--out",
        out,
        *further,
    ]
    slow = {**os.environ, "SLOW_EPOCHS": "2"}
    return subprocess.Popen(
        command,
        cwd=tmp_path,
        env=slow,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A suite that a shell runs in the background ignores Ctrl-C, and its children would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )


def wait_for(condition: Callable[[], bool], seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def test_a_killed_bench_continues_to_the_same_result(harness: Command, tmp_path: Path) -> None:
    arguments = ("bench", "--methods", "mcnn", *SMOKE)
    assert harness(*arguments, "--out", "whole").returncode == 0
    for kill in (signal.SIGKILL, signal.SIGINT):
        out = f"stopped{kill}"
        process = start(tmp_path, out)
        wait_for(lambda out=out: any((tmp_path / out).glob("*/state.npz")))
        process.send_signal(kill)
        _, errors = process.communicate(timeout=60)
        if kill == signal.SIGINT:
            assert process.returncode == 130
            assert (
                errors.strip().splitlines()[-1] == "harness: interrupted; the same command continues where it stopped"
            )
        wait_for(lambda: not living_cells(tmp_path))
        assert not list((tmp_path / out).rglob("record.json")), "it had ended before it was killed"
        assert not list((tmp_path / out).rglob("partial-*")) or kill == signal.SIGKILL
        assert harness(*arguments, "--out", out).returncode == 0
        assert predictions(tmp_path / out) == predictions(tmp_path / "whole")
        (record,), _ = records.read_all([tmp_path / out])
        assert record.training is not None and len(record.training.history) == record.training.epochs
        (log,) = (tmp_path / out).glob("*/log.txt")
        told = re.findall(r"^[-\d]+ [:\d]+  (.*)$", log.read_text(encoding="utf-8"), re.MULTILINE)
        begun = [line for line in told if re.fullmatch(r"\d+ epochs of \d+ steps(, \d+ of them done)?", line)]
        assert len(begun) == 2 and "them done" in begun[1] and told[-1].startswith("test on ")
        assert sum(line.startswith("epoch ") for line in told) >= record.training.epochs


def test_cells_at_once_that_are_interrupted_are_no_failures(tmp_path: Path) -> None:
    process = start(tmp_path, "runs", "sleeping", "--seeds", "0,1", "--jobs", "2")
    wait_for(lambda: len(list((tmp_path / "runs").glob("*/log.txt"))) == 2 and len(living_cells(tmp_path)) >= 2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "the same command continues where it stopped" in errors
    assert not living_cells(tmp_path) and not list((tmp_path / "runs").rglob("record.json"))


def test_a_cell_outlives_the_signals_that_are_for_who_started_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slurm sends them to all processes of a job that it takes the machine from, which queues the job again."""
    monkeypatch.setenv(DEAF, "1")
    process = start(tmp_path, "runs", "sleeping")
    wait_for(lambda: any(ignores(cell, signal.SIGTERM) for cell in living_cells(tmp_path)))
    (cell,) = living_cells(tmp_path)
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        os.kill(cell, number)
    time.sleep(0.5)
    assert living_cells(tmp_path) == [cell] and process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert not living_cells(tmp_path)


def ignores(process: int, number: int) -> bool:
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False
    mask = re.search(r"^SigIgn:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return mask is not None and bool(int(mask[1], 16) >> (number - 1) & 1)


def living_cells(folder: Path) -> list[int]:
    """Processes of cells whose request lies under `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if (b"harness.runs.cell" in command and any(str(folder).encode() in part for part in command)) or (
                b"harness.runs.cell" in command and os.readlink(entry / "cwd") == str(folder)
            ):
                found.append(int(entry.name))
    return found


def test_a_full_disk_fails_the_cell_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    """Files may grow to 256 KiB here, less than a state of MCNN; the record of the failure fits."""
    command = " ".join(
        [
            "ulimit -f 256; exec",
            str(Path(sys.executable).with_name("harness")),
            "bench --methods mcnn",
            *map(str, SMOKE),
        ]
    )
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stderr
    (record,), unreadable = records.read_all([tmp_path / "runs"])
    assert record.status == "failed" and not unreadable
    assert "OSError" in record.message
    assert not list(tmp_path.rglob("partial-*")) and not list(tmp_path.rglob("state.npz"))


def test_two_benches_do_not_run_one_cell(harness: Command, tmp_path: Path) -> None:
    process = start(tmp_path, "runs")
    wait_for(lambda: any((tmp_path / "runs").glob("*/request.json")))
    done = harness("bench", "--methods", "mcnn", *SMOKE)
    process.kill()
    process.communicate()
    assert done.returncode == 1
    assert "another bench is running this cell; wait for it" in done.stderr
    assert "1 cells have no record: another bench may be running them" in done.stderr.splitlines()[-1]


def test_bad_files_fail_the_cell_with_their_name(harness: Command, tmp_path: Path, tiny_shanghaitech: Tiny) -> None:
    """Found before the first step for annotations, on first use for pictures; zero heads are no fault."""
    root = tiny_shanghaitech()
    part = root / "ShanghaiTech/part_A"
    write_shanghaitech_points(part / "train_data/ground-truth/GT_IMG_2.mat", np.zeros((0, 2)))
    arguments = ("bench", "--methods", "tiny", "--datasets", "shtech_a", "--budget", "smoke", "--plugin", PLUGIN)
    arguments = (*arguments, "--data-root", root)
    good = harness(*arguments)
    assert good.returncode == 0, good.stdout
    truth = part / "train_data/ground-truth/GT_IMG_1.mat"
    before = truth.read_bytes()
    write_shanghaitech_points(truth, np.array([[1.0, np.nan]]))
    done = harness(*arguments, "--out", "points")
    assert done.returncode == 1 and f"DataError: {truth.resolve()}: 1 of 1 head points are NaN" in done.stdout
    truth.write_bytes(before)
    image = part / "test_data/images/IMG_3.jpg"
    image.write_bytes(image.read_bytes()[:300])
    done = harness(*arguments, "--out", "image")
    assert done.returncode == 1 and f"DataError: {image.resolve()}: truncated image" in done.stdout


def test_commands_of_an_installed_plugin(harness: Command, tmp_path: Path) -> None:
    """A distribution on the path, as pip leaves it: its command is there, and the list shows its version."""
    site = tmp_path / "site"
    metadata = site / "crowd_harness_hello-3.1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: crowd-harness-hello\nVersion: 3.1\n")
    (metadata / "entry_points.txt").write_text("[crowd_harness]\nhello = hello_plugin\n")
    (site / "hello_plugin.py").write_text(
        "import click\nfrom harness import hookimpl\n"
        "@click.command('hello', short_help='Greets.')\ndef hello(): click.echo('hello there')\n"
        "@hookimpl\ndef harness_commands(): return [hello]\n"
    )
    assert harness("hello", PYTHONPATH=str(site)).stdout == "hello there\n"
    assert "Greets." in harness("--help", PYTHONPATH=str(site)).stdout
    assert "crowd-harness-hello 3.1" in harness("plugins", "list", PYTHONPATH=str(site)).stdout
    assert "No such command" not in harness("hello").stderr and harness("hello").returncode == 2


def test_an_unwritable_output_folder_is_one_line(harness: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = harness("bench", "--methods", "tiny", *SMOKE, "--out", "file/runs")
    assert done.returncode == 2
    assert "cannot be written" in done.stderr.splitlines()[-1] and "file/runs" in done.stderr.splitlines()[-1]


def test_a_record_edited_by_hand_stops_the_bench(harness: Command, tmp_path: Path) -> None:
    arguments = ("bench", "--methods", "tiny", *SMOKE)
    assert harness(*arguments).returncode == 0
    (path,) = (tmp_path / "runs").rglob("record.json")
    content = json.loads(path.read_text())
    content["results"]["mae"] = 0.5
    path.write_text(json.dumps(content))
    done = harness(*arguments)
    assert done.returncode == 2
    assert "mae is 0.5, its per-image counts give" in one_line(done)


def test_callbacks_metrics_and_commands_of_a_plugin(harness: Command, tmp_path: Path) -> None:
    (tmp_path / "extras.py").write_text(
        "import builtins\n"
        "if hasattr(builtins, 'seen'): raise KeyError('registered already')\n"  # as registries of networks do
        "builtins.seen = True\n"
        "from harness import Metric, hookimpl\n"
        "@hookimpl\n"
        "def harness_metrics():\n"
        "    return [\n"
        "        Metric('bias', 'bias', lambda true, predicted: float((predicted - true).mean())),\n"
        "        Metric('found', 'found', lambda true, points: float(sum(map(len, points))), takes='points'),\n"
        "    ]\n"
        "@hookimpl\n"
        "def harness_callbacks(run):\n"
        "    import keras\n"
        "    class Note(keras.callbacks.Callback):\n"
        "        begun = 0\n"
        "        def on_train_begin(self, logs=None):\n"
        "            with open('optimizer.txt', 'a') as file:\n"
        "                file.write(f'{self.model.optimizer.name}\\n')\n"
        "        def on_train_batch_begin(self, batch, logs=None):\n"
        "            self.begun += 1\n"
        "        def on_train_end(self, logs=None):\n"
        "            with open('steps.txt', 'w') as file:\n"
        "                file.write(str(self.begun))\n"
        "        def on_epoch_end(self, epoch, logs=None):\n"
        "            with open('epochs.txt', 'a') as file:\n"
        "                file.write(f'{run.name} {epoch} {logs[\"loss\"]:.3f}\\n')\n"
        "    return [Note()]\n"
    )
    (tmp_path / "raising.py").write_text(
        "from harness import Metric, hookimpl\n"
        "@hookimpl\n"
        "def harness_metrics(): return [Metric('odd', 'odd', lambda true, predicted: 1 / 0)]\n"
        "@hookimpl\n"
        "def harness_callbacks(run): raise RuntimeError('no server')\n"
    )
    keras = "__import__('keras').callbacks"
    given = {
        "nothing": "None",
        "alone": f"{keras}.Callback()",
        "odd": "[7]",
        "rates": f"[{keras}.ReduceLROnPlateau(monitor='no such thing'), {keras}.Callback()]",
    }
    for name, returned in given.items():
        (tmp_path / f"{name}.py").write_text(
            f"from harness import hookimpl\n@hookimpl\ndef harness_callbacks(run): return {returned}\n"
        )
    odd = [part for name in given for part in ("--plugin", f"{name}.py")]
    done = harness("bench", "--methods", "tiny", *SMOKE, "--plugin", "extras.py", "--plugin", "raising.py", *odd)
    assert done.returncode == 0, done.stdout
    (record,), _ = records.read_all([tmp_path / "runs"])
    assert record.results is not None and record.training is not None
    bias = np.mean([image.predicted - image.true for image in record.results.per_image])
    assert record.results.extra["bias"] == pytest.approx(bias)
    assert record.results.extra["odd"] is None
    located = [image.located for image in record.results.per_image if image.located]
    assert len(located) == len(record.results.per_image) and not record.results.own_points
    assert record.results.extra["found"] == sum(one.points for one in located)
    heads = sum(image.true for image in record.results.per_image)
    for name in ("4", "8"):
        f1 = 2 * sum(one.matched[name] for one in located) / (heads + record.results.extra["found"])
        assert record.results.extra[f"f1_{name}"] == pytest.approx(f1)
    for complaint in (
        "metric odd raised ZeroDivisionError",
        "harness_callbacks raised RuntimeError: no server",
        "plugin nothing: harness_callbacks returned NoneType; expected a list of keras.callbacks.Callback",
        "plugin alone: harness_callbacks returned Callback; expected a list",
        "plugin odd: harness_callbacks returned ['int']; expected a list",
        "plugin rates: harness_callbacks returned ReduceLROnPlateau, which is left out: the learning rate is the recipe's",
    ):
        assert complaint in record.message and complaint in done.stderr
    lines = (tmp_path / "epochs.txt").read_text().splitlines()
    assert [int(line.split()[1]) for line in lines] == list(range(record.training.epochs))
    assert (tmp_path / "optimizer.txt").read_text() == "adam\n", "called once, when there is an optimiser to look at"
    assert int((tmp_path / "steps.txt").read_text()) == record.training.steps


def test_the_plugin_of_the_readme_trains(harness: Command, tmp_path: Path) -> None:
    """Given by a relative path, and then by another path: one run, whatever the file is called from."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "my_method.py").write_text(block)
    arguments = ("bench", "--methods", "my_method", "--datasets", "synth", "--budget", "smoke", "--plugin")
    done = harness(*arguments, "my_method.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| My method" in done.stdout
    again = harness(*arguments, tmp_path / "my_method.py")
    assert again.returncode == 0 and "1 there already, 0 to run" in again.stderr


def test_bench_on_files_uses_every_benchmark_reader(
    harness: Command, tmp_path: Path, tiny_shanghaitech: Callable[..., Path]
) -> None:
    """A tiny Part A from disk, sides no multiple of the stride, memory for no image: the mapped cache is used."""
    root = tiny_shanghaitech(images={"train_data": 8, "test_data": 3}, shape=(70, 93))
    experiment = "methods: [tiny, mcnn]\ndatasets: [shtech_a]\nbudget: {from: smoke, name: short, validations: 1}\n"
    (tmp_path / "short.yaml").write_text(experiment)  # no error stands in the table of smoke itself
    done = harness("bench", "--plugin", PLUGIN, "--data-root", root, "--memory", "0", "short.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ShanghaiTech Part A: budget short" in done.stdout and "110.2" in done.stdout
    found, _ = records.read_all([tmp_path / "runs"])
    for record in found:
        assert record.results is not None and record.training is not None and record.data is not None
        assert [image.true for image in record.results.per_image] == [4, 5, 6]
        assert 0 <= record.training.wait_share <= 1
        held_out = {int(name.rpartition("_")[2]) for name in record.data.validation_names}
        counts = [3 + number for number in range(1, 9) if number not in held_out]
        assert held_out and record.data.train_mean == np.mean(counts) and record.data.train_median == np.median(counts)
    shutil.rmtree(root)
    missing = harness("bench", "--methods", "mcnn", "--datasets", "shtech_a", "--data-root", root)
    assert missing.returncode == 2


def test_a_bench_whose_cells_are_not_there_did_not_succeed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Another bench on the same folder runs them: no record is written, and none is made up."""
    from click.testing import CliRunner

    from harness.commands import bench

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bench, "_run", lambda *_: None)
    done = CliRunner().invoke(bench.command, ["--methods", "mcnn", *SMOKE])
    assert done.exit_code == 1 and "1 cells have no record" in done.output


def test_what_cannot_be_is_refused_in_a_line(harness: Command, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    for arguments, message in (
        (("report", "other", "--merge", "--check"), "--check writes nothing, and --merge copies records"),
        (("data", "synth", "--like", "shtech_a", "--out", "x", "--seed", "-1"), "-1 is not in the range"),
        (("bench", "--methods", "mcnn", *SMOKE, "--timeout", "0"), "0.0 is not in the range"),
        (("bench", "--methods", "mcnn", *SMOKE, "--memory", "nan"), "nan is no finite number"),
        (
            ("bench", "--methods", "mcnn", *SMOKE, "--slurm", "mem_gb=8"),
            "--slurm is for --executor slurm; found --executor local",
        ),
        (("bench", "--methods", "mcnn", *SMOKE, "--address", "ray://x"), "--address is for --executor ray"),
    ):
        done = harness(*arguments)
        assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
