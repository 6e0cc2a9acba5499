"""The state of a run after each epoch, on disk in one atomic file, so that a killed run continues."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from harness.errors import HarnessError, one_line
from harness.files.atomic import replacing
from harness.training.random_states import random_states, set_random_states

STATE = "state.npz"
RANDOM = "random:"
DAMAGE = (OSError, ValueError, KeyError, EOFError, TypeError, BadZipFile)  # what reading a damaged file raises


@dataclass
class Progress:
    """Where a run stands, besides its weights.

    `best` is the lowest validation MAE so far, `stale` the validations since it; `stopped` says that a callback ended the run.
    `backend` and `commits` are what trained it; a state that does not say them is of an older version.
    """

    epoch: int = 0
    stage: int = 0
    step: int = 0
    best: float = float("inf")
    best_epoch: int = 0
    stale: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    stopped: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)
    backend: str = ""
    commits: list[str] = field(default_factory=list)


def save(path: Path, progress: Progress, trainer: Any) -> None:
    """Writes progress, the network's and the optimiser's variables, and what draws random numbers, to `path` (`.npz`).

    All or nothing.
    """
    arrays = {f"v{number}": np.asarray(value) for number, value in enumerate(_values(trainer))}
    arrays |= {f"{RANDOM}{name}": value for name, value in random_states().items()}
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, progress=np.array(json.dumps(asdict(progress))), **arrays)  # type: ignore[arg-type]


def read_progress(path: Path) -> Progress | None:
    """The progress in `path`, or None if there is no such file; raises `HarnessError` if it is damaged."""
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file, np.load(file) as content:
            return Progress(**json.loads(str(content["progress"])))
    except DAMAGE as error:
        raise _damaged(path, error) from None


def begun(path: Path, backend: str, commit: str) -> Progress:
    """Where the run whose state is at `path` stands, or a new one's progress, as it is taken up by `backend` and `commit`.

    Raises:
        HarnessError: the state is damaged, or of another backend: half a run by each would be told as one's.
    """
    progress = read_progress(path) or Progress(backend=backend)
    if progress.backend and progress.backend != backend:
        raise HarnessError(
            f"{path}: this run was begun with {progress.backend}, and would go on with {backend}. Set "
            f"KERAS_BACKEND={progress.backend}, or delete the file to train from the start; then --retry failed."
        )
    progress.backend = backend
    if commit and progress.epoch and not progress.commits:
        progress.commits.append("unknown")
    if commit and commit not in progress.commits:
        progress.commits.append(commit)
    return progress


def restore(path: Path, trainer: Any) -> None:
    """Sets the network's and the optimiser's variables, and what draws random numbers, from `path`.

    The trainer must be compiled for the same stage.

    Raises:
        HarnessError: the file is damaged, or of other variables.
    """
    variables = _variables(trainer)
    try:
        with np.load(path) as content:
            for number, variable in enumerate(variables):
                variable.assign(content[f"v{number}"])
            drawn = {name.removeprefix(RANDOM): content[name] for name in content.files if name.startswith(RANDOM)}
    except DAMAGE as error:
        raise _damaged(path, error) from None
    set_random_states(drawn)


def _damaged(path: Path, error: Exception) -> HarnessError:
    return HarnessError(
        f"{path}: damaged state of a run ({one_line(error)}). Delete the file to train from the start; then --retry failed."
    )


def _variables(trainer: Any) -> list[Any]:
    """Weights, seed generators (dropout) and the optimiser's slots, in a fixed order."""
    return [*trainer.network.variables, *trainer.optimizer.variables]


def _values(trainer: Any) -> list[Any]:
    import keras

    return [keras.ops.convert_to_numpy(variable.value) for variable in _variables(trainer)]
