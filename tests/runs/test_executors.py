"""Where cells run: at once, on a Ray cluster that loses a worker, on Slurm. All write the same records."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from filelock import FileLock
from made_records import make_record

from harness.errors import HarnessError
from harness.host.plugins import load_host
from harness.runs import records
from harness.runs.executors import Job, Settings, cell_process, job_of, local, remote
from harness.runs.executors.cell_process import LOCK
from harness.runs.plan import plan_cells, record_of
from harness.training.state import STATE

pytestmark = pytest.mark.system

BENCH = ("bench", "--methods", "mcnn", "--datasets", "synth", "--budget", "smoke")


def results(folder: Path) -> dict[str, list[float]]:
    found, unreadable = records.read_all([folder])
    assert not unreadable
    return {r.name: [image.predicted for image in r.results.per_image] for r in found if r.results}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[float]]:
    """What the default executor makes of two seeds."""
    folder = tmp_path_factory.mktemp("alone")
    command = [str(Path(sys.executable).with_name("harness")), *BENCH, "--seeds", "0,1"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return results(folder / "runs")


def test_each_cell_at_once_has_a_gpu_of_its_own() -> None:
    assert local.environments(2, ["0", "1"]) == [{"CUDA_VISIBLE_DEVICES": name} for name in ("0", "1")]
    sharing = local.environments(3, ["0", "1"])
    assert [place["CUDA_VISIBLE_DEVICES"] for place in sharing] == ["0", "1", "0"]
    assert all(place["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false" for place in sharing), "two of them share a GPU"


def test_cells_at_once_share_the_processors_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(6)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert local.environments(2, []) == [{"TF_NUM_INTRAOP_THREADS": "3", "OMP_NUM_THREADS": "3"}] * 2
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # what the user says stands
    assert local.environments(9, []) == [{"TF_NUM_INTRAOP_THREADS": "1"}] * 9


def test_what_an_engine_says_of_a_cell_that_another_bench_runs_is_not_written(tmp_path: Path) -> None:
    record = make_record()
    job = Job({}, record.name, str(tmp_path), None, [], 1, None, {"id": record.id})
    with FileLock(tmp_path / LOCK):
        remote.keep(job, record)
    assert not (tmp_path / records.FILE).exists()
    remote.keep(job, record)
    assert records.read(tmp_path / records.FILE).id == record.id


@pytest.mark.parametrize("there", ["oom", "damaged", "nothing"])
def test_what_came_back_takes_the_place_of_an_earlier_try(tmp_path: Path, there: str) -> None:
    record = make_record()
    job = Job({}, record.name, str(tmp_path), None, [], 1, None, {"id": record.id})
    if there == "oom":
        records.write(tmp_path, make_record(status="oom"))
    elif there == "damaged":
        (tmp_path / records.FILE).write_text("{")
    assert remote.received(job, record.model_dump_json(), print) == record == records.read(tmp_path / records.FILE)


def test_a_late_answer_that_it_failed_changes_no_finished_record(tmp_path: Path) -> None:
    record = make_record()
    job = Job({}, record.name, str(tmp_path), None, [], 1, None, {"id": record.id})
    records.write(tmp_path, record)
    late = make_record(status="failed").model_dump_json()
    assert remote.received(job, late, print) == record == records.read(tmp_path / records.FILE)


def test_what_a_library_prints_is_no_event(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lines = "; ".join(f"echo '{line}'" for line in ("1", "[2]", '{"a": 1}', '{"event": "epoch"}', "words"))
    identity = {"id": a_cell_that(f"{lines}; exit 0", monkeypatch, tmp_path)}
    heard: list[Any] = []
    job = Job({}, "cell", str(tmp_path / "run"), None, [], 1, None, identity)
    assert cell_process.run_job(job, heard.append).status == "ok"
    assert heard == [{"event": "epoch"}]


def test_what_another_bench_has_finished_meanwhile_is_not_done_again(tmp_path: Path) -> None:
    """The plan may be hours old: a finished record of the same run stays, one that failed makes room."""
    record = make_record()
    job = Job({}, record.name, str(tmp_path), None, [], 1, None, {"id": record.id})
    records.write(tmp_path, record)
    assert cell_process.run_job(job) == record == records.read(tmp_path / records.FILE)
    FileLock(tmp_path / LOCK).acquire(timeout=0)  # it was let go
    assert cell_process.finished(tmp_path, replace(job, draft={"id": "another"})) is None
    records.write(tmp_path, make_record(status="oom"))
    assert cell_process.finished(tmp_path, job) is None


def a_cell_that(does: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A Python in whose place a cell is started: it writes an ok record, and then does this."""
    ready = tmp_path / "ready.json"
    ready.write_text(make_record().model_dump_json())
    python = tmp_path / "python"
    python.write_text(f"""#!/bin/sh\ncp '{ready}' "${{3%/*}}/{records.FILE}"\n{does}\n""")
    python.chmod(0o755)
    monkeypatch.setattr(cell_process.sys, "executable", str(python))
    return make_record().id


@pytest.mark.parametrize(("does", "timeout"), [("kill -SEGV $$", None), ("exit 3", None), ("sleep 600", 20.0)])
def test_a_run_that_is_done_is_kept_however_its_process_ends(
    does: str, timeout: float | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A library may crash as a process goes down, or the time be over then; the state to continue from is gone by then."""
    folder = tmp_path / "run"
    job = Job({}, "cell", str(folder), None, [], 1, timeout, {"id": a_cell_that(does, monkeypatch, tmp_path)})
    folder.mkdir()
    (folder / STATE).touch()
    assert cell_process.run_job(job).status == "ok"
    assert records.read(folder / records.FILE).status == "ok" and not (folder / STATE).exists()
    remote.keep(job, make_record(status="failed"))  # what an engine may say of it
    assert records.read(folder / records.FILE).status == "ok"


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_cell_that_another_bench_runs_costs_the_others_nothing(
    at_once: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    identity = {"id": a_cell_that("exit 0", monkeypatch, tmp_path)}
    jobs = [Job({}, name, str(tmp_path / name), None, [], 1, None, identity) for name in ("held", "free")]
    said: list[str] = []
    (tmp_path / "held").mkdir()
    with FileLock(tmp_path / "held" / LOCK):
        done = list(local.run(jobs, Settings(jobs=at_once, warned=said.append)))
    assert [(job.name, record.status) for job, record in done] == [("free", "ok")]
    assert len(said) == 1 and "held: another bench is running this cell" in said[0]


@pytest.mark.parametrize("at_once", [1, 2])
def test_a_cell_whose_folder_cannot_be_made_costs_the_others_nothing(
    at_once: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    identity = {"id": a_cell_that("exit 0", monkeypatch, tmp_path)}
    jobs = [Job({}, name, str(tmp_path / name), None, [], 1, None, identity) for name in ("n" * 300, "free")]
    said: list[str] = []
    done = list(local.run(jobs, Settings(jobs=at_once, warned=said.append)))
    assert [(job.name, record.status) for job, record in done] == [("free", "ok")]
    assert len(said) == 1 and "cannot be written" in said[0]


def test_an_interruption_while_cells_are_handed_out_stops_those_that_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may come once the first runs and the second is not yet handed out; the pool then waits for the first."""
    stopped: list[bool] = []

    class Interrupted(ThreadPoolExecutor):
        def submit(self, work: Any, job: Any) -> Any:  # type: ignore[override]
            if job == "second":
                raise KeyboardInterrupt
            return super().submit(work, job)

    def run_job(job: Any, hears: Any, environment: Any, started: Any, stopping: Any) -> None:
        stopped.append(stopping.wait(30))

    monkeypatch.setattr(local, "ThreadPoolExecutor", Interrupted)
    monkeypatch.setattr(local, "run_job", run_job)
    with pytest.raises(KeyboardInterrupt):
        list(local._at_once(["first", "second"], 2, print))  # type: ignore[list-item]
    assert stopped == [True]


def test_what_a_killed_process_left_half_written_is_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Before the cell begins, which may be stopped while it writes too."""
    folder = tmp_path / "run"
    leaves = f"touch '{folder}/partial-2-3-{STATE}'; kill -TERM $$"
    job = Job({}, "cell", str(folder), None, [], 1, None, {"id": a_cell_that(leaves, monkeypatch, tmp_path)})
    folder.mkdir()
    (folder / f"partial-1-2-{STATE}").touch()
    assert cell_process.run_job(job).status == "ok"
    assert not list(folder.glob("partial-*"))


def test_a_time_beyond_all_clocks_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    job = Job(
        {}, "cell", str(tmp_path / "run"), None, [], 1, 1e12, {"id": a_cell_that("exit 0", monkeypatch, tmp_path)}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a thread that died
        assert cell_process.run_job(job).status == "ok"


@pytest.mark.parametrize("ends", ["with a record", "as the bench stops", "with a folder that cannot be written"])
def test_a_cell_that_ended_is_free_at_once(ends: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also while somebody holds the error, and with it the frames that it came through."""
    identity = {"id": a_cell_that("exit 0", monkeypatch, tmp_path)}
    job = Job({}, "cell", str(tmp_path / "run"), None, [], 1, None, identity)
    stopping = threading.Event()
    error = None
    if ends == "as the bench stops":
        stopping.set()
    if ends == "with a folder that cannot be written":
        (tmp_path / "run" / cell_process.LOG).mkdir(parents=True)
    try:
        cell_process.run_job(job, stopping=stopping)
    except (HarnessError, cell_process.StoppedError) as caught:
        error = caught
    assert (error is None) == (ends == "with a record")
    with FileLock(tmp_path / "run" / LOCK, timeout=0):
        pass


def test_the_record_of_another_run_is_not_taken_for_done(tmp_path: Path) -> None:
    host = load_host()
    one, other = plan_cells(host, [("mcnn", "")], [host.benchmark("synth")], [0, 1], tmp_path, None, budget="smoke")
    record = record_of(host, one.run, "failed")
    records.write(_made(other.folder), record)
    with pytest.raises(
        HarnessError, match=f"the record of another run, {one.run.name}; expected that of {other.run.id}"
    ):
        plan_cells(host, [("mcnn", "")], [host.benchmark("synth")], [1], tmp_path, None, budget="smoke")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def test_what_an_engine_finds_running_elsewhere_is_no_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever runs it may be killed before the engine's answer comes: the cell is then one that has not been run."""
    job = Job({}, "cell", str(tmp_path), None, [], 1, None, {"id": make_record().id})
    monkeypatch.setattr(remote, "LOCK_SECONDS", 0.1)
    with FileLock(tmp_path / LOCK):
        answer = remote.run_here(remote.as_json(job))
    said: list[str] = []
    assert remote.received(job, answer, said.append) is None
    assert said == [f"{tmp_path}: another bench is running this cell"] and not (tmp_path / records.FILE).exists()


def test_a_plugin_behind_a_link_keeps_the_name_it_was_planned_under(tmp_path: Path) -> None:
    """And a file of pretrained weights is where it was for the bench, wherever a worker begins."""
    target, link = tmp_path / "versions.py", tmp_path / "mine.py"
    target.write_text((ROOT / "tests/methods_on_trial.py").read_text())
    link.symlink_to(target)
    host = load_host([link])
    (cell,) = plan_cells(host, [("tiny", "")], [host.benchmark("synth")], [0], tmp_path, None, budget="smoke")
    job = job_of(host, cell, None, [link], 1, None)
    assert [Path(file).name for file in job.plugin_files] == ["mine.py"] and Path(job.plugin_files[0]).is_absolute()
    named = replace(cell, run=replace(cell.run, request=replace(cell.run.request, pretrained="vgg16.h5")))
    assert job_of(host, named, None, [], 1, None).request["pretrained"] == os.path.abspath("vgg16.h5")
    assert job.request["pretrained"] == cell.run.request.pretrained


def test_gpus_that_were_chosen_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\n" + "".join(f"echo 'GPU {number}: NVIDIA H200'\n" for number in range(4)))
    driver.chmod(0o755)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(local, "has_devices", lambda: False)
    assert local.gpus() == [], "a variable that was left from another machine"
    monkeypatch.setattr(local, "has_devices", lambda: True)
    assert local.gpus() == ["2", "3"], "a container without the driver's program"
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert local.gpus() == ["2", "3"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert local.gpus() == ["0", "1", "2", "3"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert local.gpus() == []


def test_two_at_once(harness: Any, tmp_path: Path, alone: dict[str, list[float]]) -> None:
    done = harness(*BENCH, "--seeds", "0,1", "--jobs", "2")
    assert done.returncode == 0, done.stderr
    found = results(tmp_path / "runs")
    assert found.keys() == alone.keys()
    # Other numbers of threads may add up in another order; the runs are the same but for that.
    for name, counts in found.items():
        assert counts == pytest.approx(alone[name], rel=0.05, abs=1.0)


def test_unknown_executor_and_parameter(harness: Any) -> None:
    bad = harness(*BENCH, "--executor", "slrum")
    assert bad.returncode == 2 and "Did you mean 'slurm'" in bad.stderr
    bad = harness(*BENCH, "--executor", "ray", "--jobs", "2")
    assert bad.returncode == 2 and "--jobs is for --executor local and slurm" in bad.stderr
    for where in (("--jobs", "2"), ("--executor", "ray")):
        bad = harness(*BENCH, "--data-parallel", *where, KERAS_BACKEND="jax")
        assert bad.returncode == 2 and "a device of its own" in bad.stderr
    bad = harness(*BENCH, "--executor", "slurm", "--slurm", "partition")
    assert bad.returncode == 2 and "expected KEY=VALUE" in bad.stderr


CLUSTER = """
import json, subprocess, sys, time
from pathlib import Path
from ray.cluster_utils import Cluster

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
workers = [cluster.add_node(num_cpus=1, include_dashboard=False) for _ in range(2)]
bench = subprocess.Popen([*json.loads(sys.argv[1]), "--address", cluster.address])
runs, killed = Path("runs"), False
while bench.poll() is None:
    # Both workers are in the middle of a cell: it has logged, its state is there or it has not ended its first epoch.
    begun = [path for path in runs.glob("*/request.json") if not (path.parent / "record.json").exists()]
    if not killed and len(begun) == 2:
        time.sleep(1)
        cluster.remove_node(workers[1], allow_graceful=False)
        killed = True
        cluster.add_node(num_cpus=1, include_dashboard=False)
    time.sleep(0.1)
print("killed" if killed else "nothing was killed")
cluster.shutdown()
sys.exit(bench.returncode)
"""


def test_a_ray_cluster_that_loses_a_worker_makes_every_cell(tmp_path: Path, alone: dict[str, list[float]]) -> None:
    command = [str(Path(sys.executable).with_name("harness")), *BENCH, "--seeds", "0,1,2", "--executor", "ray"]
    done = subprocess.run(
        [sys.executable, "-c", CLUSTER, json.dumps(command)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=400,
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"},
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    assert "\nkilled" in done.stdout, done.stdout
    found = results(tmp_path / "runs")
    assert len(found) == 3
    for name in alone:
        assert found[name] == pytest.approx(alone[name], rel=0.05, abs=1.0)


CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={port}
SlurmdPort={other}
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture
def slurm(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The options for a Slurm of this machine's own; submitit's local executor, saying so, where it cannot start."""
    needed = ("munged", "slurmctld", "slurmd", "sbatch")
    missing = [name for name in needed if not shutil.which(name)]
    why = f"{', '.join(missing)} not installed" if missing else "" if os.geteuid() == 0 else "not root"
    folder = tmp_path_factory.mktemp("s")
    if not why:
        why = _start_slurm(folder, monkeypatch)
    if why:
        warnings.warn(
            f"no Slurm here ({why}): the same path with submitit's local executor", ResourceWarning, stacklevel=1
        )
        monkeypatch.delenv("SLURM_CONF", raising=False)
        yield ["--slurm", "cluster=local"]
    else:
        yield ["--slurm", "cpus_per_task=1"]
    for name in ("slurmd", "slurmctld", "munged"):
        pid = folder / f"{name}.pid"
        if pid.is_file():
            subprocess.run(["kill", pid.read_text().strip()])


def _start_slurm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Starts a cluster of one machine; returns why it is not there, or "" when its node is idle."""
    for name in ("state", "spool"):
        (folder / name).mkdir()
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        ports = {"port": one.getsockname()[1], "other": two.getsockname()[1]}
    host = socket.gethostname().partition(".")[0]
    text = CONFIGURATION.format(folder=folder, host=host, cores=os.cpu_count(), **ports)
    (folder / "slurm.conf").write_text(text)
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o400)
    monkeypatch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
    files = [f"--{name}={folder / file}" for name, file in (("key-file", "munge.key"), ("socket", "munge.sock"))]
    files += [f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log", f"--seed-file={folder}/munged.seed"]
    for command in (["munged", "--force", *files], ["slurmctld", "-i"], ["slurmd"]):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return f"{command[0]}: {done.stderr.strip()}"
        time.sleep(0.5)
    for _ in range(40):
        state = subprocess.run(["sinfo", "-h", "-o", "%t"], capture_output=True, text=True).stdout.strip()
        if state == "idle":
            return ""
        time.sleep(0.5)
    return f"its node is {state or 'unknown'}"


def test_slurm(harness: Any, tmp_path: Path, slurm: list[str], alone: dict[str, list[float]]) -> None:
    done = harness(*BENCH, "--seeds", "0,1", "--executor", "slurm", *slurm, timeout=400)
    assert done.returncode == 0, done.stderr
    found = results(tmp_path / "runs")
    assert found.keys() == alone.keys()
    for name, counts in found.items():
        assert counts == pytest.approx(alone[name], rel=0.05, abs=1.0)


def test_a_cell_taken_off_its_machine_is_put_into_the_queue_again() -> None:
    from harness.runs.executors.slurm import CellTask

    again = CellTask({"folder": "x"}).checkpoint()
    assert again.function == CellTask({"folder": "x"})


def test_a_method_that_went_away_is_told_in_one_line(tmp_path: Path) -> None:
    """Its plugin was edited, or taken away, since the bench began."""
    host = load_host()
    (planned,) = plan_cells(host, [("mcnn", "")], [host.benchmark("synth")], [0], tmp_path, None, budget="smoke")
    job = job_of(host, planned, None, [], 1 << 30, None)
    gone = replace(job, request=dict(job.request) | {"method": "mcnnn"})
    record = cell_process.run_job(gone)
    assert record.status == "failed" and "unknown method 'mcnnn'. Did you mean 'mcnn'?" in record.message
    assert len(record.message.splitlines()) <= 2, record.message


def test_lines_that_underline_are_not_among_the_last(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("earlier\n  File 'a.py'\n    f(x)\n    ~^^^\n\nValueError: x ^ y\n")
    assert cell_process._tail(log, len("earlier\n")) == "  File 'a.py'\n    f(x)\nValueError: x ^ y"
