"""The table of a budget that proves that everything runs: what was trained and tested, and no errors."""

from __future__ import annotations

from collections.abc import Mapping

from harness import localisation
from harness.metrics import Metric
from harness.reporting import extra
from harness.reporting.asked import budget_told, recipe_told
from harness.reporting.captions import data_lines, left_out_lines
from harness.reporting.comparison import LEFT, section_of, table_name, title_of, training_cells
from harness.reporting.rows import Comparison
from harness.reporting.tables import Table, words
from harness.reporting.trained import MINUTES

TESTED = "trained and tested"
HEADERS = ("method", "result", "runs", "seeds", MINUTES, "pretrained", "precision", "device")
MEANING = (
    "this budget shows that everything runs. Errors after so little training say nothing of a method: they are in its records "
    "alone; a longer budget prints them (`--budget quick`, `standard`)"
)


def proof_table(comparison: Comparison, known: Mapping[str, Metric] | None = None) -> Table:
    """What ran to its end, by name.

    Args:
        known: the metrics of plugins by name; what records hold of them are further columns, since they were asked for. The
            harness' own are not: they are errors too.
    """
    own = {metric.name for metric in localisation.METRICS}
    found = extra.headers(comparison.records, known or {}, HEADERS)
    further = {name: title for name, title in found.items() if name not in own}
    rows = []
    for row in sorted(comparison.rows, key=lambda row: row.title):
        result = words(TESTED if row.records else "failed")
        rows.append(
            (words(row.title_with_missing, row.title), result, *extra.cells(row, further), *training_cells(row))
        )
    finished = [record for record in comparison.records if record.status == "ok"]
    asked = [budget_told(comparison.records[0]), recipe_told(finished or list(comparison.records))]
    return Table(
        table_name(comparison.key, ""),
        title_of(comparison),
        (*HEADERS[:2], *further.values(), *HEADERS[2:]),
        tuple(rows),
        (MEANING, *asked, *data_lines(finished), *left_out_lines(comparison)),
        LEFT | {"result"},
        section_of(comparison.key),
        HEADERS[:5],
    )
