"""A run's record: its schema, and the only code that reads or writes it."""

from __future__ import annotations

import gc
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from harness.errors import HarnessError, first_complaint
from harness.files.atomic import replacing
from harness.run import SCHEMA_VERSION, identity_hash

FILE = "record.json"
Status = Literal["ok", "failed", "timeout", "oom", "diverged", "invalid"]
STATUSES: tuple[str, ...] = get_args(Status)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Plugin(_Strict):
    distribution: str
    version: str


class Data(_Strict):
    """What the run read. `train_mean` and `train_median` are of the true counts of its training images: the constants of the
    floor. Records made before it was kept have no median. `kernel_metres`: the sigma of the density kernels where the
    benchmark's own, in metres, took the place of the recipe's; else 0, as in records made before it was kept.
    """

    fingerprint: str
    departures: list[str]
    train_images: int
    validation_images: int
    test_images: int
    test_images_available: int
    train_mean: float
    train_median: float | None = None
    kernel_metres: float = 0.0
    validation_names: list[str]


class Model(_Strict):
    """Sizes of the network; `inference_megabytes` is float32 weights of the network without training-only heads."""

    parameters: int
    inference_parameters: int
    inference_megabytes: float
    stride: int


class Epoch(_Strict):
    """One line of history. Seconds of training, and of them spent waiting for data.

    `mae` is that of the crops trained on, `terms` each term of the loss before its weight, as "TERM_loss".
    """

    epoch: int
    stage: str
    loss: float
    learning_rate: float
    seconds: float
    waited: float
    val_mae: float | None = None
    val_rmse: float | None = None
    mae: float | None = None
    terms: dict[str, float] = {}


class Training(_Strict):
    """How training went. `wait_share` is the part of its seconds spent waiting for data; `learned` is `Method.learned`.

    `stopped`: whether a callback of a plugin ended it before its length.
    """

    epochs: int
    steps: int
    seconds: float
    wait_share: float
    best_epoch: int
    best_val_mae: float
    history: list[Epoch]
    learned: dict[str, float] = {}
    stopped: bool = False


class Located(_Strict):
    """How many points were predicted, and how many of them are a head's, by tolerance (`harness.localisation.tolerances`)."""

    points: int = Field(ge=0)
    matched: dict[str, int]


class ImageCount(_Strict):
    """One test image: counts, their 8×8 grids (row by row, 64 numbers), the seconds of its forward pass, its groups.

    `height` and `width` are the pixels of the picture that was predicted; these and `located` are None in records made before
    they were kept.
    """

    image: str
    true: float
    predicted: float
    true_grid: list[float] = Field(min_length=64, max_length=64)
    predicted_grid: list[float] = Field(min_length=64, max_length=64)
    seconds: float
    groups: dict[str, str] = {}
    height: int | None = Field(default=None, gt=0)
    width: int | None = Field(default=None, gt=0)
    located: Located | None = None


class Results(_Strict):
    """Errors on the test images, in heads. `inexact_images`: those too large to be seen whole by a network that must.

    `own_points`: whether the points that were matched are the method's own, not the peaks of its density.
    """

    mae: float
    rmse: float
    nae: float | None
    game: list[float] = Field(min_length=4, max_length=4)
    extra: dict[str, float | None] = {}
    inexact_images: int = 0
    own_points: bool = False
    per_image: list[ImageCount]


class Record(_Strict):
    """One run. `identity` is what `id` is a hash of; data, model, training and results are there when status is ok."""

    schema_version: Literal[1] = SCHEMA_VERSION  # type: ignore[assignment]
    id: str
    name: str
    method: str
    method_title: str
    variant: str
    dataset: str
    dataset_title: str
    fold: int
    folds: int
    seed: int
    recipe: str
    budget: str
    select: str
    precision: str
    pretrained: str
    plugin: Plugin
    identity: dict[str, Any]
    status: Status
    message: str = ""
    environment: dict[str, Any] = {}
    data: Data | None = None
    model: Model | None = None
    training: Training | None = None
    results: Results | None = None

    @field_validator("schema_version", mode="before")
    @classmethod
    def _known_version(cls, value: Any) -> Any:
        if value != SCHEMA_VERSION:
            raise ValueError(f"schema version {value!r}; this harness reads {SCHEMA_VERSION}")
        return value

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, value: str) -> str:
        # Somebody else's record is merged into a folder that is called so.
        if value in ("", "..") or value != Path(value).name or "\\" in value:
            raise ValueError(f"{value!r}; expected the name of a folder")
        return value


@dataclass(frozen=True)
class Unreadable:
    """A record file that does not validate, and why in one line."""

    path: Path
    reason: str


def read(path: Path) -> Record:
    """The record in `path`, checked against its schema, its own identity and its own per-image counts.

    Raises:
        HarnessError: missing, not JSON, of another schema, or changed by hand.
    """
    try:
        with open(path, "rb") as file:
            record = Record.model_validate_json(file.read())
    except OSError as error:
        raise HarnessError(f"{path}: cannot be read ({error.strerror or error})") from None
    except ValidationError as error:
        raise HarnessError(f"{path}: not a valid record: {first_complaint(error)}") from None
    wrong = _contradiction(record)
    if wrong:
        raise HarnessError(f"{path}: {wrong}. A record is never edited: run the cell again.")
    return record


def _contradiction(record: Record) -> str | None:
    """What in `record` cannot have been written by a run, or None."""
    expected = identity_hash(record.identity)
    if record.id != expected:
        return f"its id is {record.id}, its identity hashes to {expected}"
    for key in ("method", "variant", "dataset", "fold", "seed", "select", "precision", "pretrained"):
        if record.identity.get(key) != getattr(record, key):
            return f"{key} is {getattr(record, key)!r}, its identity says {record.identity.get(key)!r}"
    if record.status != "ok":
        return None
    for part in ("data", "model", "training", "results"):
        if getattr(record, part) is None:
            return f"status is ok but {part} is missing"
    assert record.results is not None and record.data is not None
    if len(record.results.per_image) != record.data.test_images or not record.results.per_image:
        return f"{record.data.test_images} test images, but counts of {len(record.results.per_image)}"
    # Plain sums: of a dozen numbers they are ten times as fast as NumPy's, and there may be ten thousand records.
    errors = [image.predicted - image.true for image in record.results.per_image]
    mae = sum(map(abs, errors)) / len(errors)
    rmse = math.sqrt(sum(error * error for error in errors) / len(errors))
    for name, found, computed in (("mae", record.results.mae, mae), ("rmse", record.results.rmse, rmse)):
        if not math.isclose(found, computed, rel_tol=1e-6, abs_tol=1e-6):
            return f"{name} is {found:g}, its per-image counts give {computed:g}"
    return None


def write(folder: Path, record: Record) -> Path:
    """Writes `record` into `folder`, all or nothing; returns its path."""
    path = folder / FILE
    with replacing(path) as temporary:
        temporary.write_text(record.model_dump_json() + "\n", encoding="utf-8")
    return path


def read_all(folders: Iterable[Path]) -> tuple[list[Record], list[Unreadable]]:
    """Every record below `folders`, ordered by name, and the files that are no valid record.

    Of several records of one run the first finished one, or the first, where none has finished.
    """
    found, unreadable = read_with_folders(folders)
    return [record for _, record in found], unreadable


def read_with_folders(folders: Iterable[Path]) -> tuple[list[tuple[Path, Record]], list[Unreadable]]:
    """`read_all`, each record behind the folder it lies in."""
    records: dict[str, tuple[Path, Record]] = {}
    unreadable = []
    with _no_garbage_collection():
        for path in _files(folders):
            try:
                record = read(path)
            except HarnessError as error:
                unreadable.append(Unreadable(path, str(error).removeprefix(f"{path}: ")))
                continue
            _, kept = records.setdefault(record.id, (path.parent, record))
            if kept.status != "ok" and record.status == "ok":  # it failed on one machine, and was run again on another
                records[record.id] = path.parent, record
    return sorted(records.values(), key=lambda each: each[1].name), unreadable


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Millions of small objects are made and all are kept: looking for garbage among them took two thirds of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    seen: set[tuple[int, int]] = set()
    for folder in folders:
        yield from map(Path, _below(os.fspath(folder), seen))


def _below(folder: str, seen: set[tuple[int, int]]) -> Iterator[str]:
    """The record in `folder`, or those below it: a run's own folder holds no other runs, so it need not be listed.

    Links are followed, as by the bench, and each folder is read once: a link may lead back above itself.
    """
    try:
        status = os.stat(folder)
    except OSError:  # a link to nowhere, or to itself
        return
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    path = os.path.join(folder, FILE)
    if os.path.isfile(path):
        yield path
        return
    with suppress(OSError), os.scandir(folder) as entries:
        for inner in sorted(entry.path for entry in entries if entry.is_symlink() or entry.is_dir()):
            yield from _below(inner, seen)
