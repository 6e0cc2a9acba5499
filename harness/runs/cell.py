"""One cell in a process of its own: train, test once, write the record.

Run as `python -m harness.runs.cell REQUEST.json`. Events for the parent's progress display go to standard output as JSON lines;
everything else that prints goes to standard error, which the parent keeps as the run's log.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.runs.epoch_lines import epoch_lines
from harness.training import backend

if TYPE_CHECKING:
    from harness.benchmark import Sample
    from harness.data.run_data import RunData
    from harness.host.plugins import Host
    from harness.run import Run
    from harness.training.evaluation import ImageResult

Report = Callable[..., None]
WATCH_SECONDS = 0.5
LONGEST_MESSAGE = 500
DEAF = "HARNESS_CELL_IGNORES_SIGNALS"  # set where signals to a whole job are for the process that started the cell


@dataclass(frozen=True)
class CellRequest:
    """What the parent tells the cell's process: the request, and where things lie."""

    request: dict[str, Any]
    folder: str
    data_root: str | None
    plugin_files: list[str]
    memory: int
    expected_id: str


def main(path: str) -> int:
    """Runs the cell described in the file `path`; returns the exit status (0 whenever a record was written)."""
    events = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # a chatty library must not speak on the event channel
    if os.environ.get(DEAF):
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)
    spec = CellRequest(**json.loads(Path(path).read_text(encoding="utf-8")))
    backend.settings()
    host = _host(spec)
    backend.start()
    _die_with_parent()

    line = epoch_lines()

    def report(kind: str, **what: Any) -> None:
        said = what["said"] if kind == "warning" else line(kind, what)
        if said:  # into the log: not every executor passes events on, nor is there always a terminal
            print(said, file=sys.stderr, flush=True)
        try:
            events.write(json.dumps({"event": kind, **what}) + "\n")
        except BrokenPipeError:
            os._exit(1)  # the bench is gone; this is no failure of the cell, which will be continued

    report("starting")
    execute(spec, host, report)
    return 0


def _host(spec: CellRequest) -> Host:
    """The plugins, loaded once, and the backend of the cell's method chosen; a method that is not there is told of later."""
    from harness.host.plugins import load_host
    from harness.training import chosen

    host = load_host(Path(file) for file in spec.plugin_files)
    method = host.methods.get(spec.request["method"])
    if method is not None:
        chosen.use_for(method)
    return host


def execute(spec: CellRequest, host: Host, report: Report) -> None:
    """Trains and tests the cell and writes its record, whatever becomes of it; raises only if that cannot be written.

    Raises:
        SystemExit: the files or the plugin are no longer those the bench began with.
    """
    from harness.errors import one_line
    from harness.runs import records
    from harness.runs.plan import record_of
    from harness.training.state import STATE

    run, samples = _agreed(spec, host)
    started = record_of(host, run, "failed").model_dump()
    try:
        record = records.Record.model_validate({**started, **_outcome_of(host, run, samples, spec, report)})
    except ValueError as error:  # of what a plugin gave
        message = f"its results make no record: {one_line(error)}"
        record = records.Record.model_validate({**started, "message": message})
    folder = Path(spec.folder)
    records.write(folder, record)
    if record.status == "ok":
        (folder / STATE).unlink(missing_ok=True)  # nothing is left to continue, and it is three times the weights


def _agreed(spec: CellRequest, host: Host) -> tuple[Run, tuple[Sample, ...]]:
    """The run that the plugins resolve it to, and its samples."""
    from harness.data.fingerprints import fingerprint
    from harness.errors import HarnessError
    from harness.run import Request
    from harness.runs.resolve import resolve

    request = Request(**spec.request)
    try:
        benchmark = host.benchmark(request.dataset)
        samples = benchmark.index(benchmark.require(Path(spec.data_root) if spec.data_root else None))
        run = resolve(host, request, fingerprint(benchmark, samples), samples)
    except HarnessError as error:  # the bench had both: somebody edited the plugin, or moved the files
        raise SystemExit(str(error)) from None
    if run.id != spec.expected_id:
        raise SystemExit(f"{benchmark.name}: its files or the plugin changed since the bench began; start it again")
    return run, samples


def _outcome_of(host: Host, run: Run, samples: tuple[Sample, ...], spec: CellRequest, report: Report) -> dict[str, Any]:
    """What became of the run: the parts of its record that were not known before."""
    from harness.errors import DivergedError, InvalidMethodError, one_line

    try:
        return _run(host, run, samples, spec, report)
    except DivergedError as error:
        return {"status": "diverged", "message": str(error)}
    except InvalidMethodError as error:
        return {"status": "invalid", "message": str(error)}
    except Exception as error:
        import traceback

        from harness.training.complaints import place_of

        traceback.print_exc()
        status = "oom" if backend.out_of_memory(error) else "failed"
        place = place_of(error, run.method)
        return {"status": status, "message": one_line(error, LONGEST_MESSAGE) + (f" ({place})" if place else "")}


def _run(host: Host, run: Run, samples: tuple[Sample, ...], spec: CellRequest, report: Report) -> dict[str, Any]:
    """The trip of a run: samples → crops → weights → counts → record, each stage given what the one before made."""
    from harness.data.run_data import run_data
    from harness.method import inference_network
    from harness.runs import examples, outcome
    from harness.runs.commit import commit
    from harness.runs.listeners import listeners
    from harness.training.evaluation import check_finite, evaluate
    from harness.training.fit import Job, train

    code = commit()  # as it is now: it may be edited while this trains
    folder = Path(spec.folder)
    data = run_data(run, samples, spec.memory)

    def heard(model: Any) -> Any:
        return listeners(host, run, model, lambda said: report("warning", said=said))

    trained = train(Job(run, data, folder, report, heard, code))
    shown = examples.chosen({sample.name: len(data.points[sample.name]) for sample in data.tests})
    results = evaluate(
        inference_network(trained.network),
        run.method,
        data.scenes(data.tests, boxes=True),
        len(data.tests),
        lambda done, total: report("test", done=done, total=total),
        keep=shown,
        locate=True,
    )
    check_finite(results)
    examples.write(folder, run, _pictured(data, results, shown), data.points)
    found = outcome.finished(host, run, data, trained, results)
    complaints = [f"plugin {plugin.name}: {error}" for plugin in host.plugins for error in plugin.errors]
    return {**found, "message": "\n".join(filter(None, [found["message"], *complaints]))}


def _pictured(data: RunData, results: list[ImageResult], names: list[str]) -> list[tuple[Sample, Any]]:
    """The samples called `names`, in that order, with their predicted densities."""
    samples = {sample.name: sample for sample in data.tests}
    densities = {result.image: result.density for result in results}
    return [(samples[name], densities[name]) for name in names]


def _die_with_parent() -> None:
    """Ends this process when the bench that started it is gone: nobody would see it or count its time."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def to_json(spec: CellRequest) -> str:
    return json.dumps(asdict(spec), indent=1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
