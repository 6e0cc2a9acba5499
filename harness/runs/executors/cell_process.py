"""Runs a cell in a process of its own and makes a record of whatever becomes of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from harness.errors import HarnessError, signal_name
from harness.files.atomic import remove_partial
from harness.runs import records
from harness.runs.cell import CellRequest, to_json
from harness.runs.executors import Job
from harness.runs.records import Record
from harness.training.state import STATE

LOG = "log.txt"
LOCK = ".lock"
REQUEST = "request.json"
LAST_LINES = 8
GRACE_SECONDS = 5.0


class LockedError(HarnessError):
    """Another bench is running the cell, whose record it will be."""


class StoppedError(Exception):
    """A cell was stopped with its bench."""


def run_job(
    job: Job,
    watch: Callable[[dict[str, Any]], None] = lambda event: None,
    environment: Mapping[str, str] | None = None,
    lock_seconds: float = 0.0,
    started: Callable[[subprocess.Popen], None] = lambda process: None,
    stopping: threading.Event | None = None,
) -> Record:
    """Runs `job` to its end and returns its record, which is on disk by then.

    Args:
        watch: called with each event of the cell.
        environment: variables for the cell's process, beside this one's.
        lock_seconds: how long to wait for another process that runs the same cell.
        started: called with the cell's process.
        stopping: set when the bench ends: what became of the cell then is no result of it.

    Raises:
        StoppedError: `stopping` was set before the cell ended; no record is written, its state stays for the next time.
        LockedError: another bench runs this cell.
        HarnessError: the run's folder cannot be written.
        KeyboardInterrupt: after the cell's process was stopped; its state stays for the next time.
    """
    folder = Path(job.folder)
    spec = CellRequest(job.request, job.folder, job.data_root, job.plugin_files, job.memory, job.draft["id"])
    with ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(folder / LOCK, timeout=lock_seconds))
            if (done := finished(folder, job)) is not None:
                return done
            (folder / records.FILE).unlink(missing_ok=True)
            remove_partial(folder)
            (folder / REQUEST).write_text(to_json(spec), encoding="utf-8")
            log = held.enter_context((folder / LOG).open("ab"))
        except Timeout:
            raise LockedError(
                f"{folder}: another bench is running this cell; wait for it, or choose another --out"
            ) from None
        except OSError as error:
            raise HarnessError(
                f"{folder}: cannot be written ({error.strerror or error}); choose another --out"
            ) from None
        if stopping and stopping.is_set():
            raise StoppedError(job.name)
        start = log.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "harness.runs.cell", str(folder / REQUEST)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,  # Ctrl-C reaches the bench alone, which then stops the cell
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
        )
        started(process)
        if stopping and stopping.is_set():  # while it began: whoever stops all knew nothing of it yet
            stop(process)
        timed_out = _follow(process, job.timeout, watch)
        remove_partial(folder)
        return _outcome(job, folder, process.returncode, timed_out, _tail(folder / LOG, start), stopping)


def finished(folder: Path, job: Job) -> Record | None:
    """The finished record of this very run, where there is one: another bench's, or this one's since the cell began."""
    try:
        record = records.read(folder / records.FILE)
    except HarnessError:
        return None
    return record if record.status == "ok" and record.id == job.draft["id"] else None


def _follow(process: subprocess.Popen, timeout: float | None, watch: Callable[[dict[str, Any]], None]) -> bool:
    """Passes events on until the process ends; returns whether it was stopped for its time."""
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        stop(process)

    timer = threading.Timer(min(timeout, threading.TIMEOUT_MAX), expire) if timeout else None
    if timer:
        timer.daemon = True
        timer.start()
    try:
        assert process.stdout is not None
        for line in process.stdout:
            try:
                event = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(event, dict) and "event" in event:  # and nothing that a library prints
                watch(event)
        process.wait()
    except BaseException:
        stop(process)
        raise
    finally:
        if timer:
            timer.cancel()
        process.stdout.close()  # type: ignore[union-attr]
    return expired.is_set()


def stop(process: subprocess.Popen) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(GRACE_SECONDS)
            return
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            return


def _tail(path: Path, start: int) -> str:
    """The last lines that this attempt wrote to its log, without those that only underline a traceback's."""
    with path.open("rb") as file:
        file.seek(start)
        text = file.read().decode("utf-8", "replace")
    lines = [line.rstrip() for line in text.splitlines() if line.strip(" ^~")]
    return "\n".join(lines[-LAST_LINES:])


def _outcome(
    job: Job, folder: Path, code: int, timed_out: bool, tail: str, stopping: threading.Event | None = None
) -> Record:
    """The record the cell wrote, or one that says how its process ended.

    A run whose record says "ok" is done, however its process went down after that.
    """
    if (done := finished(folder, job)) is not None:
        (folder / STATE).unlink(missing_ok=True)  # where the process had no time for it
        return done
    if stopping and stopping.is_set() and code:
        raise StoppedError(job.name)
    path = folder / records.FILE
    if code == 0 and path.is_file():
        return records.read(path)
    if timed_out:
        status, how = "timeout", "stopped: the time given by --timeout was over"
    elif code == -signal.SIGKILL:
        # Nothing but the kernel's out-of-memory killer sends this signal unasked; its log line is not ours to read.
        status, how = "oom", "killed by signal SIGKILL, which usually means that memory ran out"
    elif code < 0:
        status, how = "failed", f"crashed: {signal_name(-code)}"
    elif code == 0:
        status, how = "failed", "ended without a record"
    else:
        status, how = "failed", f"exit status {code}"
    record = job.failed(status, f"{how}\n{tail}".strip())
    try:
        records.write(folder, record)
    except OSError as error:
        raise HarnessError(f"{folder}: the record cannot be written ({error.strerror or error})") from None
    return record
