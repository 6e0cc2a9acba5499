"""crowd-harness: crowd-counting methods under one protocol. This is what plugin authors import.

The rooms, from the top down; each takes from those below it alone: `commands`, `testing`, `reporting`, `runs`, `training`,
`host`, `data`, the values that lie beside this file, and at the bottom `nn` and `files`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.benchmark import Benchmark, Download, Sample, Statistics
    from harness.errors import DataError, HarnessError
    from harness.head_spacing import Sigma
    from harness.hookspecs import hookimpl
    from harness.label_map import LabelMap
    from harness.method import Method, ModelOptions, Variant
    from harness.metrics import Metric
    from harness.nn.batch import Batch
    from harness.recipe import Recipe, Stage
    from harness.run import Run

__version__ = "0.2.0"
__path__ = [*__path__, str(Path(__file__).with_name("earlier_paths"))]

_HOMES = {
    "Batch": "harness.nn.batch",
    "Benchmark": "harness.benchmark",
    "DataError": "harness.errors",
    "Download": "harness.benchmark",
    "HarnessError": "harness.errors",
    "LabelMap": "harness.label_map",
    "Method": "harness.method",
    "Metric": "harness.metrics",
    "ModelOptions": "harness.method",
    "Recipe": "harness.recipe",
    "Run": "harness.run",
    "Sample": "harness.benchmark",
    "Sigma": "harness.head_spacing",
    "Stage": "harness.recipe",
    "Statistics": "harness.benchmark",
    "Variant": "harness.method",
    "hookimpl": "harness.hookspecs",
}

__all__ = [
    "Batch",
    "Benchmark",
    "DataError",
    "Download",
    "HarnessError",
    "LabelMap",
    "Method",
    "Metric",
    "ModelOptions",
    "Recipe",
    "Run",
    "Sample",
    "Sigma",
    "Stage",
    "Statistics",
    "Variant",
    "hookimpl",
]


def __getattr__(name: str) -> Any:
    # Loaded on first use, so that `harness --help` and reports start at once.
    if name not in _HOMES:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
