"""Plugins' own metrics as columns: their names, titles and means."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping

from harness.metrics import Metric
from harness.reporting.rows import Row
from harness.reporting.tables import Cell
from harness.runs.records import Record

ARROWS = {"lower": "↓", "higher": "↑"}


def headers(records: Iterable[Record], known: Mapping[str, Metric], taken: Iterable[str]) -> dict[str, str]:
    """The heading of each further metric that `records` hold, by its name and ordered by it.

    Args:
        known: metrics of the plugins loaded here, which give title and arrow; a metric of none has its name and no arrow.
        taken: headings that are something else's.
    """
    names = sorted({name for record in records if record.results for name in record.results.extra})
    found: dict[str, str] = {}
    for name in names:
        metric = known.get(name)
        title = f"{metric.title} {ARROWS[metric.better]}" if metric else name
        found[name] = f"{title} ({name})" if title in {*taken, *found.values()} else title
    return found


def cells(row: Row, names: Iterable[str]) -> list[Cell]:
    """The mean of each metric over the runs of a row; empty where a run has none, since others do not stand for it.

    Not ranked: the best of a signed metric such as a bias is neither its lowest nor its highest.
    """
    found = []
    for name in names:
        values = [record.results.extra.get(name) for record in row.records if record.results]
        whole = [value for value in values if value is not None]
        mean = statistics.fmean(whole) if whole and len(whole) == len(values) else math.nan
        found.append(
            Cell()
            if math.isnan(mean)
            else Cell(f"{mean:.3f}" if 0.01 <= abs(mean) < 1 or not mean else f"{mean:.4g}", mean)
        )
    return found
