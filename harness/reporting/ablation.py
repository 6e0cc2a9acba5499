"""A method's variants side by side, with what its paper printed for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from harness.reporting.comparison import LEFT, published_of, section_of, table_name, title_of
from harness.reporting.published import PublishedValue
from harness.reporting.rows import Comparison, Row, paired
from harness.reporting.tables import Table, mark, printed, scored, signed, words
from harness.reporting.versions import line_of


def ablation_tables(comparisons: Sequence[Comparison], values: list[PublishedValue]) -> list[Table]:
    """One table for each method of which a variant was run, within one comparison."""
    tables = []
    for comparison in comparisons:
        by_method: dict[str, list[Row]] = defaultdict(list)
        for row in comparison.rows:
            by_method[row.method.partition("[")[0]].append(row)
        for method, rows in sorted(by_method.items()):
            if any("[" in row.method for row in rows):
                tables.append(_table(method, rows, comparison, values))
    return tables


def _table(method: str, rows: list[Row], comparison: Comparison, values: list[PublishedValue]) -> Table:
    lines = []
    for row in rows:
        whole = _whole(method, row, rows)
        difference = paired(whole.records, row.records) if whole and row.records else None
        lines.append(
            [
                words(row.title + (f" ({row.missing})" if row.missing else "")),
                scored(row.mae),
                scored(row.rmse),
                signed(difference),
                printed(published_of(values, row.method, comparison.key.dataset, "mae")),
            ]
        )
    mark(lines, (1, 2))
    return Table(
        table_name(comparison.key, f"ablation-{method}"),
        f"{title_of(comparison)}: variants of {rows[0].runs[0].method_title}",
        ("method", "MAE", "RMSE", "against the whole method", "published MAE"),
        tuple(tuple(line) for line in lines),
        ("against the whole method: difference of MAE, image by image, with its 95 % interval",),
        LEFT,
        section_of(comparison.key),
    )


def _whole(method: str, row: Row, rows: list[Row]) -> Row | None:
    """What the variant in `row` is set against; None for a whole method.

    It is the whole method of the same version of its plugin, and of the same precision and pretrained part if there is one.
    """
    line = line_of(row.runs[0])
    same = [
        (line_of(other.records[0])[2:4] == line[2:4], other)
        for other in rows
        if other.method == method and other.records and line_of(other.records[0])[-2:] == line[-2:]
    ]
    return max(same, key=lambda one: one[0])[1] if same and row.method != method else None
