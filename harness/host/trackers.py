"""Trackers that come with the harness, each a Keras callback: `harness bench --track tensorboard`."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError, unknown_name
from harness.hookspecs import hookimpl

if TYPE_CHECKING:
    import keras

    from harness.run import Run

TRACKERS = ("tensorboard", "mlflow")
# Through the environment they reach the cells' processes and are no part of an identity.
CHOICE, FOLDER = "HARNESS_TRACK", "HARNESS_TRACK_FOLDER"


def choose(name: str, folder: Path) -> None:
    """Makes every cell of this bench report to `name`; TensorBoard's files go below `folder`, MLflow's where it is told.

    Raises:
        HarnessError: no such tracker, or its package is not installed.
    """
    if name not in TRACKERS:
        raise unknown_name("tracker", name, TRACKERS)
    if not importlib.util.find_spec(name):
        raise HarnessError(f"--track {name} needs {name}: pip install 'crowd-harness[{name}]'")
    os.environ[CHOICE], os.environ[FOLDER] = name, str(folder.resolve())


@hookimpl
def harness_callbacks(run: Run) -> list[keras.callbacks.Callback]:
    """The chosen tracker's callback for one run; none where none was chosen."""
    chosen = os.environ.get(CHOICE)
    if chosen == "tensorboard":
        import keras

        return [keras.callbacks.TensorBoard(str(Path(os.environ[FOLDER], run.name)), write_graph=False)]
    if chosen == "mlflow":
        import mlflow

        mlflow.set_experiment("crowd-harness")
        mlflow.start_run(run_name=run.name, tags={"id": run.id})
        return [mlflow.keras.MlflowCallback()]
    return []
