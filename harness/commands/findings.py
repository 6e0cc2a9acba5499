"""What a machine looks like to the harness, and the one thing most likely wrong."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from harness.host.plugins import Host
from harness.training.backend import BACKENDS
from harness.training.chosen import chosen as backend_chosen

PACKAGES = ("crowd-harness", "keras", "tensorflow", "jax", "torch", "numpy", "opencv-python", "ray", "submitit")
LEAST_FREE = 5 << 30  # bytes on the disk of the cache


@dataclass(frozen=True)
class Finding:
    """One line of the report; `wrong` says what to do about it, "" where it is well."""

    topic: str
    text: str
    wrong: str = ""


def findings(host: Host, data_root: Path | None) -> Iterator[Finding]:
    """Everything worth knowing, gravest first where something is wrong within a topic."""
    yield Finding("python", f"{platform.python_version()} at {sys.executable}")
    yield Finding("versions", ", ".join(f"{name} {version}" for name in PACKAGES if (version := _version(name))))
    yield _backend()
    yield _devices()
    yield from _plugins(host)
    yield _data(host, data_root)
    yield _cache()


def most_likely(found: list[Finding]) -> str:
    """The first thing that is wrong, or that nothing is."""
    return next((finding.wrong for finding in found if finding.wrong), "nothing looks wrong")


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _backend() -> Finding:
    chosen = backend_chosen()
    if chosen not in BACKENDS:
        return Finding("backend", chosen, f"KERAS_BACKEND is {chosen!r}; expected one of {', '.join(BACKENDS)}")
    if not importlib.util.find_spec(chosen):
        return Finding(
            "backend", f"{chosen}, not installed", f"pip install {chosen}, or set KERAS_BACKEND to another backend"
        )
    return Finding("backend", chosen)


def _devices() -> Finding:
    from harness.runs.executors.local import gpus, processors
    from harness.training import backend

    try:
        backend.start()
        device = backend.accelerator()
    except Exception as error:
        line = (str(error).splitlines() or [""])[0]
        return Finding(
            "device", f"Keras does not start: {line}", f"Keras does not start ({type(error).__name__}: {line})"
        )
    cores = processors()
    if device:
        return Finding("device", f"{device}, {cores} processor cores")
    if gpus():
        return Finding(
            "device",
            f"{cores} processor cores; {len(gpus())} GPUs that the backend does not see",
            "this machine has a GPU that the backend does not see: install its CUDA build (pip install "
            "'crowd-harness[cuda]' for KERAS_BACKEND=jax, 'tensorflow[and-cuda]' for TensorFlow)",
        )
    faster = "" if backend.emulated("mixed_bfloat16") else " and --precision mixed_bfloat16"
    return Finding("device", f"CPU, {cores} cores: use --budget quick{faster}")


def _plugins(host: Host) -> Iterator[Finding]:
    from harness.reporting import published

    published.gather(host)  # what is wrong with a file of numbers shows when it is read
    for plugin in host.plugins:
        for error in plugin.errors:
            yield Finding("plugin", f"{plugin.name}: {error}", f"plugin {plugin.name} ({plugin.origin}): {error}")
    yield Finding(
        "plugins", f"{len(host.plugins)} plugins, {len(host.methods)} methods, {len(host.benchmarks)} datasets"
    )


def _data(host: Host, data_root: Path | None) -> Finding:
    if data_root is None:
        return Finding(
            "data", "no data root", "no data root is set: give --data-root DIR or set HARNESS_DATA (synth needs none)"
        )
    if not data_root.is_dir():
        return Finding("data", f"{data_root}: no such folder", f"the data root {data_root} is not there")
    here = [one.name for one in host.benchmarks.values() if one.needs_files and one.locate(data_root)]
    if here:
        return Finding("data", f"{data_root}: {', '.join(here)}")
    inside = ", ".join(sorted(path.name for path in data_root.iterdir())[:5]) or "nothing"
    return Finding(
        "data",
        f"{data_root}: none of the datasets",
        f"the data root {data_root} holds no dataset under a known name (it holds {inside}); see 'harness data list'",
    )


def _cache() -> Finding:
    from harness.data.image_store import cache_folder

    folder: Any = cache_folder()
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not there.is_dir():
        return Finding("cache", str(folder), f"{there} is no folder: set HARNESS_CACHE to one that can be written")
    free = shutil.disk_usage(there).free
    text = f"{folder}, {free / (1 << 30):.0f} GiB free"
    if not os.access(there, os.W_OK):
        return Finding("cache", text, f"the cache {folder} cannot be written: set HARNESS_CACHE to a folder that can")
    if free < LEAST_FREE:
        return Finding(
            "cache", text, f"little room is left for the cache in {folder}: set HARNESS_CACHE to another disk"
        )
    return Finding("cache", text)
