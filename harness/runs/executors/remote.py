"""One job in a process that an engine started somewhere, perhaps on another machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from harness.runs import records
from harness.runs.executors import Job
from harness.runs.executors.cell_process import LOCK, LockedError, finished, run_job
from harness.runs.records import Record

ELSEWHERE = ""
LOCK_SECONDS = 60.0  # a lost worker's cell ends itself soon after; then its lock is free


def run_here(job: dict[str, Any], environment: Mapping[str, str] | None = None) -> str:
    """Runs the job with these fields here and returns its record as JSON; `ELSEWHERE` where another bench runs it.

    A job that was begun before, here or elsewhere on the same file system, continues; one that is done is only read.

    Args:
        environment: variables for the cell's process, beside this one's.

    Raises:
        HarnessError: the data or the plugins here are not those of the bench.
    """
    try:
        return run_job(Job(**job), environment=environment, lock_seconds=LOCK_SECONDS).model_dump_json()
    except LockedError:
        return ELSEWHERE


def received(job: Job, answer: str, warned: Callable[[str], None]) -> Record | None:
    """The record in `answer`, written to the job's folder: that machine's file system need not be this one's.

    What else lies there is of an earlier try, and makes room. None, and a line to `warned`, where another bench runs the job.
    """
    if answer == ELSEWHERE:
        warned(f"{job.folder}: another bench is running this cell")
        return None
    record = Record.model_validate_json(answer)
    folder = folder_of(job)
    if record.status != "ok" and (done := finished(folder, job)) is not None:  # meanwhile, by somebody else
        return done
    records.write(folder, record)
    return record


def keep(job: Job, record: Record) -> None:
    """Writes what an engine says became of `job`, unless it is finished, or another bench runs it, whose record it will be."""
    folder = folder_of(job)
    try:
        with FileLock(folder / LOCK, timeout=0):
            if finished(folder, job) is None:
                records.write(folder, record)
    except Timeout:
        pass


def folder_of(job: Job) -> Path:
    """The job's folder, made if it is not there."""
    folder = Path(job.folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def as_json(job: Job) -> dict[str, Any]:
    return asdict(job)
