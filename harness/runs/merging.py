"""Joining records of several machines."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.files.atomic import make_folder
from harness.runs import examples, records, runtime_records
from harness.runs.records import Record
from harness.runs.runtime_records import RuntimeRecord


@dataclass(frozen=True)
class Merged:
    """What a merge did: names of records that were added, and one line for each conflict."""

    added: tuple[str, ...]
    conflicts: tuple[str, ...]


def merge(sources: Sequence[Path], into: Path) -> Merged:
    """Copies each record of `sources` that `into` lacks, with its pictures.

    An ok record takes the place of a failed one of the same run. Two ok records of one run with other counts are a
    conflict: the one in `into` stays, and so do two run times of one name. A record that does not validate is a conflict too,
    and stays where it is.
    """
    there = {record.id: record for record in records.read_all([into] if into.is_dir() else [])[0]}
    added, conflicts = [], []
    for source in sources:
        found, unreadable = records.read_with_folders([source])
        conflicts += [f"{item.path}: {item.reason}" for item in unreadable]
        for its_folder, record in found:
            mine = there.get(record.id)
            if mine is not None and (mine.status == "ok" or record.status != "ok"):
                if difference := differs(mine, record):
                    conflicts.append(f"{record.name}: {into} and {source} disagree: {difference}; that of {into} stays")
                continue
            folder = into / record.name
            make_folder(folder)
            records.write(folder, record)
            pictures = its_folder / examples.FOLDER
            if pictures.is_dir():
                shutil.copytree(pictures, folder / examples.FOLDER, dirs_exist_ok=True)
            there[record.id] = record
            added.append(record.name)
        _join_runtimes(source, into, conflicts)
    return Merged(tuple(added), tuple(conflicts))


def _join_runtimes(source: Path, into: Path, conflicts: list[str]) -> None:
    """Copies the run times that `into` lacks. Their names hold the kind of a device: two machines may be of one."""
    there = {record.name: record for record in runtime_records.read_all([into])[0]}
    found, unreadable = runtime_records.read_all([source])
    conflicts += [f"{item.path}: {item.reason}" for item in unreadable]
    for runtime in found:
        mine = there.get(runtime.name)
        if mine is None:
            runtime_records.write(into / runtime_records.FOLDER, runtime)
        elif mine != runtime:
            conflicts.append(
                f"{runtime.name}: {into} and {source} disagree: {_unlike(mine, runtime)}; that of {into} stays"
            )


def _unlike(mine: RuntimeRecord, other: RuntimeRecord) -> str:
    """Their times where these differ, else the fields that do."""
    times = [f"{statistics.median(one.milliseconds):.4g}" for one in (mine, other)]
    if times[0] != times[1]:
        return f"{' and '.join(times)} ms"
    return ", ".join(name for name in RuntimeRecord.model_fields if getattr(mine, name) != getattr(other, name))


def differs(mine: Record, other: Record) -> str:
    """How two records of one run disagree in what they found, or ""."""
    if mine.status != other.status:
        return "" if other.status != "ok" else f"status {mine.status} and {other.status}"
    if mine.results is None or other.results is None:
        return ""
    pairs = zip(mine.results.per_image, other.results.per_image, strict=False)
    if len(mine.results.per_image) != len(other.results.per_image) or any(
        (a.image, a.true) != (b.image, b.true) or abs(a.predicted - b.predicted) > 1e-3 * max(1.0, a.predicted)
        for a, b in pairs
    ):
        return f"MAE {mine.results.mae:.2f} and {other.results.mae:.2f}"
    return ""
