"""What `harness runtime` measured, as files: the schema, and the only code that reads or writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.errors import first_complaint
from harness.files.atomic import written
from harness.run import in_brackets
from harness.runs.records import Unreadable

SUFFIX = ".runtime.json"
FOLDER = "runtime"  # in a folder of runs


class RuntimeRecord(BaseModel):
    """One method on one device: sizes of the network that predicts, and the times of its forward pass with batch 1.

    `multiply_adds` is of one image of `height` × `width`; `not_counted` names layers it leaves out. Megabytes are float32
    weights; peak memory is the process' (on a GPU the device's), in MiB.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    schema_version: Literal[1] = 1
    method: str
    variant: str
    title: str
    plugin: str
    height: int
    width: int
    precision: str
    parameters: int
    inference_parameters: int
    inference_megabytes: float
    multiply_adds: int
    not_counted: list[str]
    milliseconds: list[float]
    peak_memory_mib: float
    environment: dict[str, Any]

    @property
    def name(self) -> str:
        """Its file's name: one for each method, size, precision, backend and device."""
        method = in_brackets(self.method, self.variant)
        device = re.sub(r"[^A-Za-z0-9]+", "-", str(self.environment.get("device", ""))).strip("-").lower()
        backend = self.environment.get("backend", "")
        return f"{method}-{self.height}x{self.width}-{self.precision}-{backend}-{device}"


def write(folder: Path, record: RuntimeRecord) -> Path:
    """Writes `record` into `folder`, in the place of an earlier one of the same name; returns its path."""
    path = folder / f"{record.name}{SUFFIX}"
    with written(path) as temporary:
        temporary.write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return path


def read_all(folders: Iterable[Path]) -> tuple[list[RuntimeRecord], list[Unreadable]]:
    """Every such file in `folders` and their `runtime`, ordered by name, and those that do not validate.

    The first of a name wins.
    """
    found: dict[str, RuntimeRecord] = {}
    unreadable = []
    for folder in folders:
        for path in sorted([*folder.glob(f"*{SUFFIX}"), *(folder / FOLDER).glob(f"*{SUFFIX}")]):
            try:
                record = RuntimeRecord.model_validate_json(path.read_bytes())
            except OSError as error:
                unreadable.append(Unreadable(path, f"cannot be read ({error.strerror or error})"))
                continue
            except ValidationError as error:
                unreadable.append(Unreadable(path, f"not a valid runtime record: {first_complaint(error)}"))
                continue
            found.setdefault(record.name, record)
    return [found[name] for name in sorted(found)], unreadable
