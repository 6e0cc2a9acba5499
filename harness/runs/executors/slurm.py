"""Cells as a Slurm job array (extra `slurm`), through submitit; a cell that is pre-empted is put into the queue again.

Without Slurm, `--slurm cluster=local` runs the same path as processes of this machine.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import HarnessError, last_line, one_line
from harness.runs.cell import DEAF
from harness.runs.executors import Job, Settings, remote
from harness.runs.records import Record

POLL_SECONDS = 2.0
SPARE_MINUTES = 5
DEFAULTS = {"timeout_min": 24 * 60, "cpus_per_task": 4}


@dataclass
class CellTask:
    """One job as submitit calls it. Its state is on disk after each epoch, so it can be begun again as it is."""

    job: dict[str, Any]

    def __call__(self) -> str:
        # Before it takes a machine away Slurm signals every process of a job. This one, submitit's, answers by queueing the job
        # again; the cell's own must not end before, as if it had crashed.
        return remote.run_here(self.job, {DEAF: "1"})

    def checkpoint(self) -> Any:
        """What submitit puts into the queue when Slurm takes the machine away."""
        import submitit

        return submitit.helpers.DelayedSubmission(CellTask(self.job))


def run(jobs: Sequence[Job], settings: Settings) -> Iterator[tuple[Job, Record]]:
    """Runs `jobs`; see `harness.runs.executors.Executor`. `settings.jobs` above 1 bounds how many run at once."""
    try:
        import submitit
    except ImportError:
        raise HarnessError("--executor slurm needs submitit: pip install 'crowd-harness[slurm]'") from None
    logging.getLogger("submitit").setLevel(logging.ERROR)  # clusters without accounting are warned of at each look
    given = dict(settings.slurm)
    cluster = given.pop("cluster", None)
    try:
        executor = submitit.AutoExecutor(folder=settings.folder.resolve() / "slurm", cluster=cluster)
    except (RuntimeError, ValueError) as error:
        raise HarnessError(f"--executor slurm: {error}") from None
    if cluster is None and executor.cluster != "slurm":
        raise HarnessError(
            "--executor slurm: no sbatch on this machine; '--slurm cluster=local' tries the path without it"
        )
    parameters = {**DEFAULTS, "name": "crowd-harness", **given}
    if jobs and jobs[0].timeout and "timeout_min" not in given:
        parameters["timeout_min"] = int(jobs[0].timeout / 60) + SPARE_MINUTES
    if settings.jobs > 1 and executor.cluster == "slurm":
        parameters["slurm_array_parallelism"] = settings.jobs
    try:
        executor.update_parameters(**parameters)
        tasks = executor.submit_array([CellTask(remote.as_json(job)) for job in jobs])
    except Exception as error:  # submitit and sbatch have errors of many kinds
        raise HarnessError(f"--executor slurm: {one_line(error)}") from None
    waiting = dict(zip(tasks, jobs, strict=True))
    try:
        while waiting:
            for task in [task for task in waiting if task.done()]:
                job = waiting.pop(task)
                if (record := _record(job, task, settings.warned)) is not None:
                    yield job, record
            time.sleep(POLL_SECONDS if waiting else 0)
    finally:
        for task in waiting:
            task.cancel()


def _record(job: Job, task: Any, warned: Callable[[str], None]) -> Record | None:
    try:
        return remote.received(job, task.result(), warned)
    except Exception as error:  # whatever became of the job is its record
        state = str(task.state).upper()
        status = "timeout" if "TIMEOUT" in state else "oom" if "OUT_OF_ME" in state else "failed"
        record = job.failed(status, f"slurm {state}: {last_line(str(error)) or type(error).__name__}")
        remote.keep(job, record)
        return record
