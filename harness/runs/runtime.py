"""Time, size and memory of one method's forward pass, measured in a process of its own.

Run as `python -m harness.runs.runtime REQUEST` with the request as JSON; the last line of standard output is the record.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, last_line
from harness.runs.runtime_records import RuntimeRecord

WARM_UP = 2


@dataclass(frozen=True)
class RuntimeRequest:
    """What to measure: one image of `height` × `width` pixels, `repeats` times."""

    method: str
    variant: str = ""
    height: int = 512
    width: int = 1024
    repeats: int = 10
    precision: str = "float32"
    plugin_files: tuple[str, ...] = ()


def measured(request: RuntimeRequest) -> RuntimeRecord:
    """The record of `request`, measured in a fresh process.

    Raises:
        HarnessError: the process failed; the message ends with its last line.
    """
    done = subprocess.run(
        [sys.executable, "-m", "harness.runs.runtime", json.dumps(asdict(request))],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    if done.returncode:
        said = last_line(done.stderr) or f"exit status {done.returncode}"
        raise HarnessError(f"{request.method}: could not be measured: {said}")
    return RuntimeRecord.model_validate_json(done.stdout.splitlines()[-1])


def measure(request: RuntimeRequest) -> RuntimeRecord:
    """Measures in this process; memory is then that of everything the process did."""
    import numpy as np

    from harness.host.plugins import load_host
    from harness.method import ModelOptions, inference_network
    from harness.runs.outcome import model_size
    from harness.training import backend, chosen

    host = load_host(Path(file) for file in request.plugin_files)
    method = host.method(request.method)
    chosen.use_for(method)
    backend.start()
    from harness.nn.multiply_adds import count

    backend.prepare(0, request.precision)
    multiple = method.side_multiple
    height, width = (-(-side // multiple) * multiple for side in (request.height, request.width))
    variant = dict(method.variants[request.variant].options) if request.variant else {}
    network = method.build(ModelOptions(variant=variant))
    sizes = model_size(method, network)
    network = inference_network(network)
    counted = count(network, height, width)
    image = np.random.default_rng(0).integers(0, 255, (1, height, width, method.channels)).astype(np.float32)
    seconds = []
    for _ in range(WARM_UP + request.repeats):
        started = time.perf_counter()
        backend.forward(network, image)  # as images are predicted
        seconds.append(time.perf_counter() - started)
    return RuntimeRecord(
        method=method.name,
        variant=request.variant,
        title=method.title,
        plugin=host.method_plugin[method.name].origin,
        height=request.height,
        width=request.width,
        precision=request.precision,
        parameters=sizes["parameters"],
        inference_parameters=sizes["inference_parameters"],
        inference_megabytes=sizes["inference_megabytes"],
        multiply_adds=counted.multiply_adds,
        not_counted=list(counted.not_counted),
        milliseconds=[round(1000 * value, 3) for value in seconds[WARM_UP:]],
        peak_memory_mib=round(backend.peak_device_memory() or _peak_process_memory(), 1),
        environment=backend.environment(),
    )


def _peak_process_memory() -> float:
    """MiB; Linux counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def main(arguments: Sequence[str]) -> int:
    standard_output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is not the record
    found: dict[str, Any] = json.loads(arguments[0])
    record = measure(RuntimeRequest(**{**found, "plugin_files": tuple(found.get("plugin_files", ()))}))
    print(record.model_dump_json(), file=standard_output, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
