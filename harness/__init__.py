"""crowd-harness: crowd-counting methods under one protocol. This is what plugin authors import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.benchmark import Benchmark, Sample
    from harness.hookspecs import hookimpl
    from harness.method import Method, ModelOptions, Recipe, Stage, Variant
    from harness.metrics import Metric

__version__ = "0.1.0"

_HOMES = {
    "Benchmark": "harness.benchmark",
    "Method": "harness.method",
    "Metric": "harness.metrics",
    "ModelOptions": "harness.method",
    "Recipe": "harness.method",
    "Sample": "harness.benchmark",
    "Stage": "harness.method",
    "Variant": "harness.method",
    "hookimpl": "harness.hookspecs",
}

__all__ = [
    "Benchmark",
    "Method",
    "Metric",
    "ModelOptions",
    "Recipe",
    "Sample",
    "Stage",
    "Variant",
    "hookimpl",
]


def __getattr__(name: str) -> Any:
    # Loaded on first use, so that `harness --help` and reports start at once.
    if name not in _HOMES:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
