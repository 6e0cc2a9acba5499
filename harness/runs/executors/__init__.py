"""Where cells run: a `Job` for each, and one small interface that every executor has."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from harness.errors import unknown_name
from harness.host.plugins import Host
from harness.runs.plan import Cell, record_of
from harness.runs.records import Record

EXECUTORS = {
    "local": "harness.runs.executors.local",
    "slurm": "harness.runs.executors.slurm",
    "ray": "harness.runs.executors.ray_cluster",
}


@dataclass(frozen=True)
class Job:
    """One cell as JSON values, so that it can travel to another machine that sees the same files.

    Attributes:
        request: the fields of a `harness.run.Request`.
        memory: bytes of decoded images it may hold.
        timeout: seconds it may take, or None.
        draft: the record that says it failed, for when nothing better is written. Its id is that of the run: other data or
            another plugin there are noticed by it.
    """

    request: dict[str, Any]
    name: str
    folder: str
    data_root: str | None
    plugin_files: list[str]
    memory: int
    timeout: float | None
    draft: dict[str, Any]

    def failed(self, status: str, message: str) -> Record:
        """The record of this job when it ended without writing one."""
        return Record.model_validate({**self.draft, "status": status, "message": message})


@dataclass(frozen=True)
class Settings:
    """What the user says about where to run.

    Attributes:
        jobs: cells at once on this machine.
        address: of a Ray cluster; "" starts one here.
        slurm: parameters of submitit's executor, such as {"slurm_partition": "gpu"}.
        folder: where an executor may keep its own logs.
        watch: for local cells, one after another: a context manager for (position, name) that gives the event sink.
        warned: for local cells: called with each line that one of them warns of as it starts.
    """

    jobs: int = 1
    address: str = ""
    slurm: dict[str, Any] = field(default_factory=dict)
    folder: Path = Path("runs")
    watch: Callable[[int, str], Any] | None = None
    warned: Callable[[str], None] = lambda said: None


class Executor(Protocol):
    """A module with this function is an executor."""

    def run(self, jobs: Sequence[Job], settings: Settings) -> Iterator[tuple[Job, Record]]:
        """Runs every job and gives (job, record) as each ends, in any order; the record is on disk by then."""


def executor_named(name: str) -> Executor:
    """The executor called `name`; raises `HarnessError` with the nearest known name."""
    if name not in EXECUTORS:
        raise unknown_name("executor", name, EXECUTORS)
    return importlib.import_module(EXECUTORS[name])


def job_of(
    host: Host, cell: Cell, data_root: Path | None, plugin_files: Sequence[Path], memory: int, timeout: float | None
) -> Job:
    """The job of one planned cell; paths are made absolute, and a plugin's link is not followed: its name is the plugin's."""
    request = asdict(cell.run.request)
    if cell.run.request.pretrained not in ("default", "imagenet", "none"):
        request["pretrained"] = os.path.abspath(cell.run.request.pretrained)
    return Job(
        request=request,
        name=cell.run.name,
        folder=str(cell.folder.resolve()),
        data_root=str(data_root.resolve()) if data_root else None,
        plugin_files=[os.path.abspath(file) for file in plugin_files],
        memory=memory,
        timeout=timeout,
        draft=record_of(host, cell.run, "failed").model_dump(mode="json"),
    )
