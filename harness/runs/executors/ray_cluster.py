"""Cells on a Ray cluster (extra `ray`): a GPU a cell where there are GPUs, a lost worker's cell retried elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from harness.errors import HarnessError, last_line, one_line
from harness.runs.executors import Job, Settings, remote
from harness.runs.records import Record

RETRIES = (
    3  # of a cell whose worker or machine was lost; a cell that fails by itself writes its record and is not repeated
)


def run(jobs: Sequence[Job], settings: Settings) -> Iterator[tuple[Job, Record]]:
    """Runs `jobs`; see `harness.runs.executors.Executor`."""
    try:
        import ray
    except ImportError:
        raise HarnessError("--executor ray needs Ray: pip install 'crowd-harness[ray]'") from None
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    begun = not ray.is_initialized()
    try:
        if begun:
            chosen = {key: value for key, value in os.environ.items() if key.startswith(("HARNESS_", "KERAS_BACKEND"))}
            environment = {"env_vars": chosen}
            ray.init(
                address=settings.address or None, runtime_env=environment, logging_level="ERROR", log_to_driver=False
            )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise HarnessError(f"--address {settings.address}: no Ray cluster there ({one_line(error)})") from None
    try:
        gpu = 1 if ray.cluster_resources().get("GPU", 0) >= 1 else 0
        task = ray.remote(max_retries=RETRIES, num_cpus=1, num_gpus=gpu)(remote.run_here)
        yield from _collected(ray, {task.remote(remote.as_json(job)): job for job in jobs}, settings.warned)
    finally:
        if begun:
            ray.shutdown()


def _collected(ray: Any, waiting: dict[Any, Job], warned: Callable[[str], None]) -> Iterator[tuple[Job, Record]]:
    while waiting:
        done, _ = ray.wait(list(waiting), num_returns=1)
        job = waiting.pop(done[0])
        try:
            record = remote.received(job, ray.get(done[0]), warned)
        except ray.exceptions.RayError as error:
            record = job.failed("failed", f"ray: {last_line(str(error)) or type(error).__name__}")
            remote.keep(job, record)
        if record is not None:
            yield job, record
