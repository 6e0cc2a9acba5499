"""One cell in a process of its own: train, test once, write the record.

Run as `python -m harness.runs.cell REQUEST.json`. Events for the parent's progress display go to standard output as JSON lines;
everything else that prints goes to standard error, which the parent keeps as the run's log.
"""

from __future__ import annotations

import json
import math
import os
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.training import backend

WATCH_SECONDS = 0.5


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
    backend.start()
    _die_with_parent()

    def report(kind: str, **what: Any) -> None:
        try:
            events.write(json.dumps({"event": kind, **what}) + "\n")
        except BrokenPipeError:
            os._exit(1)  # the bench is gone; this is no failure of the cell, which will be continued

    spec = CellRequest(**json.loads(Path(path).read_text(encoding="utf-8")))
    report("starting")
    execute(spec, report)
    return 0


def execute(spec: CellRequest, report: Any) -> None:
    """Trains and tests the cell and writes its record, whatever becomes of it; raises only if that cannot be written."""
    from harness.data.fingerprints import fingerprint
    from harness.errors import DivergedError
    from harness.host.plugins import load_host
    from harness.run import Request
    from harness.runs import records
    from harness.runs.plan import record_of
    from harness.runs.resolve import resolve
    from harness.training.state import STATE

    folder = Path(spec.folder)
    host = load_host(Path(file) for file in spec.plugin_files)
    request = Request(**spec.request)
    benchmark = host.benchmark(request.dataset)
    samples = benchmark.index(benchmark.require(Path(spec.data_root) if spec.data_root else None))
    run = resolve(host, request, fingerprint(benchmark, samples), samples)
    if run.id != spec.expected_id:
        raise SystemExit(f"{benchmark.name}: its files or the plugin changed since the bench began; start it again")
    started = record_of(host, run, "failed")
    try:
        finished = _run(host, run, samples, folder, spec.memory, report)
    except DivergedError as error:
        finished = {"status": "diverged", "message": str(error)}
    except Exception as error:
        import traceback

        traceback.print_exc()
        status = "oom" if backend.out_of_memory(error) else "failed"
        finished = {"status": status, "message": _one_line(error)}
    record = records.Record.model_validate({**started.model_dump(), **finished})
    records.write(folder, record)
    if record.status == "ok":
        (folder / STATE).unlink(missing_ok=True)  # nothing is left to continue, and it is three times the weights


def _one_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"[:500]


def _run(host: Any, run: Any, samples: Any, folder: Path, memory: int, report: Any) -> dict[str, Any]:
    """Trains, tests once, and returns the parts of the record that an ok run adds."""
    from harness.data import splits
    from harness.data.image_store import ImageStore
    from harness.errors import DivergedError
    from harness.method import inference_network
    from harness.runs import examples, outcome
    from harness.training import fit as training
    from harness.training.evaluation import evaluate

    def step(done: int, total: int) -> None:
        report("test", done=done, total=total)

    split = splits.split(run.benchmark, samples, run.request.fold)
    points = {sample.name: run.benchmark.read_points(sample) for sample in samples}
    store = ImageStore(run.benchmark, run.method.channels, memory)
    trained = training.train(run, split, store, folder, report, lambda model: _callbacks(host, run, model))
    test = split.test[: run.budget.test_images]
    network = inference_network(trained.network)
    results = evaluate(network, run.method, run.benchmark, test, store, step)
    bad = next((result.image for result in results if not math.isfinite(result.predicted)), None)
    if bad:
        raise DivergedError(f"the predicted count of {bad} is not a finite number")
    examples.write(folder, run, network, test, points, store)
    found = outcome.finished(host, run, split, points, trained, results)
    complaints = [f"plugin {plugin.name}: {error}" for plugin in host.plugins for error in plugin.errors]
    return {**found, "message": "\n".join(filter(None, [found["message"], *complaints]))}


def _callbacks(host: Any, run: Any, model: Any) -> Any:
    import keras

    gathered = [callback for _, result in host.call("harness_callbacks", run=run) for callback in result]
    if not gathered:
        return None
    listeners = keras.callbacks.CallbackList(gathered, model=model)
    listeners.on_train_begin()
    return listeners


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
