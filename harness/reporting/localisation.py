"""The table of localisation: precision, recall and F1 of each row's points, at each tolerance."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from harness import localisation
from harness.reporting.comparison import LEFT, section_of, table_name, title_of
from harness.reporting.groups import images_of
from harness.reporting.rows import Comparison, Row
from harness.reporting.tables import Cell, Table, number, words
from harness.runs.records import Record

POINTS, NUMBER, COUNTED = "points from", "points predicted", "heads counted"
OWN, PEAKS = "its own", "peaks"
NOTES = (
    "one-to-one matches of predicted points and annotated heads, as many as can be made of pairs within the tolerance, summed "
    "over a run's test images; means over runs. Higher is better",
    f"{POINTS}: {OWN} (the method says where heads are), or {PEAKS}: the highest local maxima of the density, as many as it "
    f"counts heads where it has so many. Two neighbouring cells are hardly ever both peaks, so that coarse densities have too "
    f"few in a dense crowd: see {NUMBER} beside {COUNTED}, of a run's test images together",
)
BOXES = "box small, box large: within half the shorter side, half the diagonal of the head's box (NWPU-Crowd)"


def localisation_table(comparison: Comparison) -> Table | None:
    """The table of one comparison; None where no record says which points are heads."""
    rows = [(row, [scores(record) for record in row.records]) for row in comparison.rows]
    rows = [(row, runs) for row, runs in rows if runs and all(runs)]  # others do not stand for a run that has none
    names = list(dict.fromkeys(name for _, runs in rows for run in runs for name in run))
    if not names:
        return None
    headers = [f"{what} {localisation.named(name)}" for name in names for what in ("precision", "recall", "F1")]
    return Table(
        table_name(comparison.key, "localisation"),
        f"{title_of(comparison)}: localisation",
        ("method", POINTS, NUMBER, COUNTED, *headers),
        tuple((words(row.title), _points(row), *_numbers(row), *_cells(runs, names)) for row, runs in rows),
        (*NOTES, _annotated(rows[0][0])) + ((BOXES,) if any(name.startswith("box") for name in names) else ()),
        LEFT | {POINTS},
        section_of(comparison.key),
        ("method", *(header for header in headers if header.startswith("F1")), NUMBER, COUNTED, POINTS),
    )


def _annotated(row: Row) -> str:
    """How many heads a run of `row` has to find; tolerances are in pixels of the pictures as they are read."""
    heads = sum(image.true for image in images_of(row.records)) / len(row.records)
    mean = " in the mean of its folds" if len({record.fold for record in row.records}) > 1 else ""
    return f"{heads:,.0f} heads are annotated{mean}; tolerances are in pixels of the pictures as networks see them"


def scores(record: Record) -> dict[str, tuple[float, float, float]]:
    """Precision, recall and F1 of a run by tolerance; empty where its points were not matched."""
    images = record.results.per_image if record.results else []
    return localisation.summary(
        [(image.true, image.located.points, image.located.matched) for image in images if image.located]
    )


def _points(row: Row) -> Cell:
    return words(OWN if all(record.results and record.results.own_points for record in row.records) else PEAKS)


def _numbers(row: Row) -> list[Cell]:
    """Points and counts of all test images together, means over runs."""
    images = images_of(row.records)
    runs = len(row.records)
    points = sum(image.located.points for image in images if image.located) / runs
    counted = sum(image.predicted for image in images if image.located) / runs
    return [Cell(f"{value:,.0f}", value) for value in (points, counted)]


def _cells(runs: Sequence[dict[str, tuple[float, float, float]]], names: Sequence[str]) -> list[Cell]:
    """Means over runs; empty where a run has none."""
    nothing = (math.nan,) * 3
    means = [float(value) for name in names for value in np.mean([run.get(name, nothing) for run in runs], axis=0)]
    return [number(None if math.isnan(mean) else mean, 3) for mean in means]
