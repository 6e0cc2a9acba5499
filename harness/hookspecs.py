"""Every hook of the host. A plugin implements those it needs, marked with `harness.hookimpl`; each returns values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import click
    import keras
    import numpy as np

    from harness.benchmark import Benchmark
    from harness.method import Method
    from harness.metrics import Metric
    from harness.run import Run

PROJECT = "harness"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def harness_methods() -> list[Method]:  # type: ignore[empty-body]
    """The methods this plugin adds. Called once a command, before anything runs; must not import Keras."""


@hookspec
def harness_benchmarks() -> list[Benchmark]:  # type: ignore[empty-body]
    """The benchmarks this plugin adds. Called once a command, before anything runs."""


@hookspec
def harness_metrics() -> list[Metric]:  # type: ignore[empty-body]
    """Further metrics of each run's counts or points (`Metric.takes`), computed at its end and stored in its record."""


@hookspec
def harness_callbacks(run: Run) -> list[keras.callbacks.Callback]:  # type: ignore[empty-body]
    """Keras callbacks for one run. Called in the run's own process, after its model is built."""


@hookspec
def harness_commands() -> list[click.Command]:  # type: ignore[empty-body]
    """Commands to add to the command line. Called when `harness` starts; must import nothing heavy."""


@hookspec
def harness_read_weights(method: str, path: Path) -> dict[str, list[np.ndarray]] | None:
    """Weights from a foreign file for `method`, as layer name → arrays in Keras order; None if it is not yours.

    Called for each plugin when weights are read, before the file is tried as native Keras weights.
    """


@hookspec
def harness_published() -> list[Path]:  # type: ignore[empty-body]
    """YAML files with the tables of this plugin's paper (see `harness.reporting.published`). Called by reports."""
