"""A method's variants side by side, with what its paper printed for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from harness.method import Method
from harness.reporting import trained
from harness.reporting.beside import GAP, gap, published_of
from harness.reporting.comparison import LEFT, mark_complete, section_of, table_name, title_of
from harness.reporting.published import PublishedValue
from harness.reporting.rows import Comparison, Row, paired
from harness.reporting.settings import settings_of
from harness.reporting.tables import Table, digits_of, printed, scored, signed, words
from harness.reporting.versions import line_of
from harness.run import out_of_brackets


def ablation_tables(
    comparisons: Sequence[Comparison], values: list[PublishedValue], methods: Mapping[str, Method] | None = None
) -> list[Table]:
    """One table for each method of which a variant was run, within one comparison.

    Args:
        methods: the methods of plugins by name, whose recipes say how much their papers trained.
    """
    tables = []
    for comparison in comparisons:
        by_method: dict[str, list[Row]] = defaultdict(list)
        for row in comparison.rows:
            by_method[out_of_brackets(row.method)[0]].append(row)
        for method, rows in sorted(by_method.items()):
            if any("[" in row.method for row in rows):
                tables.append(_table(method, rows, comparison, values, methods or {}))
    return tables


def _table(
    method: str, rows: list[Row], comparison: Comparison, values: list[PublishedValue], methods: Mapping[str, Method]
) -> Table:
    lines = []
    notes = ["against the whole method: difference of MAE, image by image, with its 95 % interval"]
    shares = [trained.share(row, methods) for row in rows]
    digits = digits_of(row.mae for row in rows)
    for row, share in zip(rows, shares, strict=True):
        found = published_of(values, row.method, comparison.key.dataset, "mae")
        whole = _whole(method, row, rows)
        difference = paired(whole.strata, row.strata) if whole else None
        lines.append(
            [
                words(row.title_with_missing),
                scored(row.mae, digits),
                scored(row.rmse, digits),
                signed(difference, digits),
                printed(found),
                gap(row, found, digits),
                trained.as_cell(share),
            ]
        )
    mark_complete(lines, rows, (1, 2))
    if any(share is not None for share in shares):
        notes.append(trained.MEANING)
    return Table(
        table_name(comparison.key, f"ablation-{method}"),
        f"{title_of(comparison)}: variants of {rows[0].runs[0].method_title}",
        ("method", "MAE", "RMSE", "against the whole method", "published MAE", GAP, trained.SHARE),
        tuple(tuple(line) for line in lines),
        tuple(notes),
        LEFT,
        section_of(comparison.key),
    )


def _whole(method: str, row: Row, rows: list[Row]) -> Row | None:
    """What the variant in `row` is set against; None for a whole method.

    It is the whole method of the same version of its plugin, and of the same precision, pretrained part and settings if there
    is one.
    """
    line, settings = line_of(row.runs[0]), settings_of(row.runs[0])
    same = [
        ((line_of(other.records[0])[2:4] == line[2:4], settings_of(other.records[0]) == settings), other)
        for other in rows
        if other.method == method and other.records and line_of(other.records[0])[-2:] == line[-2:]
    ]
    return max(same, key=lambda one: one[0])[1] if same and row.method != method else None
