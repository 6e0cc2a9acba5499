"""Cells on this machine: one after another, or several at once, each with a GPU of its own where there are GPUs."""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.runs.executors import Job, Settings
from harness.runs.executors.cell_process import run_job, stop
from harness.runs.records import Record

Sink = Callable[[dict[str, Any]], None]


def run(jobs: Sequence[Job], settings: Settings) -> Iterator[tuple[Job, Record]]:
    """Runs `jobs`; see `harness.runs.executors.Executor`."""
    if settings.jobs == 1:
        yield from _one_by_one(jobs, settings)
    else:
        yield from _at_once(jobs, settings.jobs, settings.warned)


def _one_by_one(jobs: Sequence[Job], settings: Settings) -> Iterator[tuple[Job, Record]]:
    watch = settings.watch or (lambda number, name: nullcontext(lambda event: None))
    for number, job in enumerate(jobs, 1):
        try:
            with watch(number, job.name) as sink:
                record = run_job(job, _hears(settings.warned, sink))
        except HarnessError as error:  # locked, or its folder cannot be written: the others are no worse for it
            settings.warned(str(error))
            continue
        yield job, record


def _hears(warned: Callable[[str], None], sink: Sink = lambda event: None) -> Sink:
    """`sink` for all events of a cell but its warnings."""
    return lambda event: warned(event["said"]) if event["event"] == "warning" else sink(event)


def _at_once(jobs: Sequence[Job], most: int, warned: Callable[[str], None]) -> Iterator[tuple[Job, Record]]:
    places: queue.Queue[dict[str, str]] = queue.Queue()
    for place in environments(most, gpus()):
        places.put(place)
    running: list[subprocess.Popen] = []
    stopping = threading.Event()

    def work(job: Job) -> Record:
        place = places.get()
        try:
            return run_job(job, _hears(warned), environment=place, started=running.append, stopping=stopping)
        finally:
            places.put(place)

    with ThreadPoolExecutor(most) as pool:
        try:  # an interruption while they are handed out must stop those that run, too
            futures = {pool.submit(work, job): job for job in jobs}
            for future in as_completed(futures):
                if isinstance(future.exception(), HarnessError):
                    warned(str(future.exception()))
                    continue
                yield futures[future], future.result()
        except BaseException:
            stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
            for process in [process for process in running if process.poll() is None]:
                stop(process)
            raise


# JAX and TensorFlow else take (nearly) all of a GPU's memory when they start, and the next cell on it finds none.
NOT_ALL_MEMORY = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}


def environments(most: int, devices: Sequence[str]) -> list[dict[str, str]]:
    """What each of `most` cells at once is told: its own GPU in turn, or its share of the processor's threads."""
    if devices:
        shared = NOT_ALL_MEMORY if most > len(devices) else {}
        return [{"CUDA_VISIBLE_DEVICES": devices[number % len(devices)], **shared} for number in range(most)]
    threads = str(max(1, processors() // most))
    wanted = {name: threads for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS") if name not in os.environ}
    return [dict(wanted) for _ in range(most)]


def processors() -> int:
    """Those that this process may use, where the system tells; a batch system or `taskset` may give fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus() -> list[str]:
    """The GPUs of this machine as CUDA names them; none where there is no NVIDIA driver."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    named = [name for name in (chosen or "").split(",") if name.strip() and name.strip() != "-1"]
    if not shutil.which("nvidia-smi"):  # a container may have the devices without it
        return named if has_devices() else []
    done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    there = [str(number) for number, line in enumerate(done.stdout.splitlines()) if line.startswith("GPU ")]
    return named if there and chosen is not None else there


def has_devices() -> bool:
    """Whether the kernel shows an NVIDIA GPU."""
    return any(Path("/dev").glob("nvidia[0-9]*"))
