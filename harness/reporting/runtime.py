"""Run time and size of the methods."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence

from harness.reporting import trained
from harness.reporting.asked import budget_label, proves_only, recipe_label
from harness.reporting.comparison import LEFT
from harness.reporting.crops_seen import crops_seen
from harness.reporting.tables import Cell, Table, mark, number, words
from harness.runs.records import Record
from harness.runs.runtime_records import RuntimeRecord

HEADERS = (
    "method",
    "M parameters",
    "MB",
    "G multiply-adds",
    "ms/image",
    "images/s",
    "peak MiB",
    trained.MINUTES,
)


def runtime_tables(runtimes: Sequence[RuntimeRecord], records: Sequence[Record]) -> list[Table]:
    """One table for each device, backend, precision and image size; smallest time first."""
    groups: dict[tuple[str, str, str, int, int], list[RuntimeRecord]] = defaultdict(list)
    for record in runtimes:
        environment = record.environment
        where = (str(environment.get("device")), str(environment.get("backend")), record.precision)
        groups[(*where, record.height, record.width)].append(record)
    names = [f"runtime{f'-{number}' if number > 1 else ''}" for number in range(1, len(groups) + 1)]
    return [_table(name, *key, groups[key], records) for name, key in zip(names, sorted(groups), strict=True)]


def _table(
    name: str,
    device: str,
    backend: str,
    precision: str,
    height: int,
    width: int,
    runtimes: list[RuntimeRecord],
    records: Sequence[Record],
) -> Table:
    minutes, of = _training_minutes(records, device, backend, precision)
    lines = []
    for one in sorted(runtimes, key=lambda one: (statistics.median(one.milliseconds), one.name)):
        title = one.title + (f" [{one.variant}]" if one.variant else "")
        if one.not_counted:
            title += f" (multiply-adds without {', '.join(one.not_counted)})"
        middle = statistics.median(one.milliseconds)
        lines.append(
            [
                words(title),
                number(one.inference_parameters / 1e6, 2),
                number(one.inference_megabytes),
                number(one.multiply_adds / 1e9, 2),
                number(middle, 0 if middle >= 100 else 1),
                number(1000 / middle, 2),
                number(one.peak_memory_mib, 0),
                minutes.get((one.method, one.variant), Cell()),
            ]
        )
    mark(lines, (1, 2, 3, 4, 6))
    versions = sorted(
        {f"{key} {value}" for one in runtimes for key, value in one.environment.get("versions", {}).items()}
    )
    notes = (
        f"one {height}×{width} image at a time through the network without its training-only parts, in a fresh process; median "
        f"of {min(len(one.milliseconds) for one in runtimes)} passes after a warm-up",
        f"{device}, {backend}, {precision}; {', '.join(versions)}",
        "a multiply-add is counted once (some papers print twice as many “FLOPs”); MB: weights as float32; peak: memory of "
        + ("the process" if device.startswith("CPU") else "the device"),
        *(
            [f"{trained.MINUTES}: the median epoch times their number, of runs on {of}, on this device, in {precision}"]
            if minutes
            else []
        ),
    )
    return Table(
        name,
        f"Run time and size: {device}, {backend}, {precision}",
        HEADERS,
        tuple(tuple(line) for line in lines),
        notes,
        LEFT,
    )


def _training_minutes(
    records: Sequence[Record], device: str, backend: str, precision: str
) -> tuple[dict[tuple[str, str], Cell], str]:
    """Mean minutes of a run by method and variant, and of what: minutes are compared on one benchmark and under one budget.

    That is the budget of the longest run that several methods had, and under it the benchmark and recipe of the most. What
    only proves that everything runs is taken where there is nothing else.
    """
    found: dict[tuple[str, ...], dict[tuple[str, str], list[float]]] = defaultdict(lambda: defaultdict(list))
    crops: dict[tuple[str, ...], int] = defaultdict(int)
    for record in records:
        place = (record.environment.get("device"), record.environment.get("backend"), record.precision)
        if record.training and place == (device, backend, precision):
            where = budget_label(record), record.dataset_title, recipe_label(record), record.select
            found[where][record.method, record.variant].append(trained.minutes(record))
            crops[where] = max(crops[where], crops_seen(record) or 0)
    if not found:
        return {}, ""
    methods = {where: len({method for method, _ in minutes}) for where, minutes in found.items()}
    several = [where for where in found if methods[where] > 1 and not proves_only(where[0])]
    measured = several or [where for where in found if not proves_only(where[0])] or list(found)
    longest = {where[0]: max(crops[other] for other in measured if other[0] == where[0]) for where in measured}
    chosen = min(measured, key=lambda where: (-longest[where[0]], -methods[where], where))
    budget, title, recipe, _ = chosen
    cells = {key: number(statistics.fmean(minutes)) for key, minutes in found[chosen].items()}
    return cells, f"{title}, budget {budget}, recipe {recipe}"
