"""Two sets of records side by side."""

from __future__ import annotations

from collections.abc import Sequence

from harness.reporting.comparison import LEFT, title_of
from harness.reporting.rows import Comparison, Row, comparisons, paired
from harness.reporting.tables import Cell, Table, scored, signed, words
from harness.runs.records import Record

Place = tuple[str, str, str, str, str, str, str]


def difference(before: Sequence[Record], after: Sequence[Record]) -> str:
    """Markdown: each method on each benchmark before and after, the paired difference, and what came or went."""
    first, second = _rows(before), _rows(after)
    lines: dict[str, list[tuple[Cell, ...]]] = {}
    alike = 0
    for place in sorted(first.keys() | second.keys()):
        old, new = first.get(place), second.get(place)
        title, row = new or old  # type: ignore[misc]
        if old and new and {r.id: r.status for r in _all(old[1])} == {r.id: r.status for r in _all(new[1])}:
            alike += 1
            continue
        lines.setdefault(title, []).append((words(row.title), *_cells(old and old[1], new and new[1])))
    parts = [
        Table(
            "diff", title, ("method", "MAE before", "MAE after", "change", "what"), tuple(rows), (), LEFT | {"what"}
        ).markdown(3)
        for title, rows in lines.items()
    ]
    end = f"{alike} row{'s' if alike != 1 else ''} unchanged."
    note = "Change: difference of MAE, paired image by image, with its 95 % bootstrap interval."
    return "\n\n".join([*parts, note, end] if parts else ["No differences.", end])


def _rows(records: Sequence[Record]) -> dict[Place, tuple[str, Row]]:
    found = {}
    for comparison in comparisons(records):
        for row in comparison.rows:
            found[_place(comparison, row)] = (title_of(comparison), row)
    return found


def _place(comparison: Comparison, row: Row) -> Place:
    """What makes two rows the same: everything but the plugin's version and the files, whose changes are the point."""
    key, some = comparison.key, _all(row)[0]
    return (key.dataset, key.recipe, key.budget, key.select, row.method, some.precision, some.pretrained)


def _all(row: Row) -> tuple[Record, ...]:
    return row.records + row.failures


def _cells(old: Row | None, new: Row | None) -> tuple[Cell, ...]:
    if old is None:
        return Cell(), scored(new.mae if new else None), Cell(), words("new")
    if new is None:
        return scored(old.mae), Cell(), Cell(), words("gone")
    change = paired(old.records, new.records) if old.records and new.records else None
    if not new.records or not old.records:
        what = f"now {_all(new)[0].status}, was {_all(old)[0].status}"
    elif change is None:
        what = "not the same images: not comparable"
    elif change.high < 0:
        what = "better"
    else:
        what = "worse" if change.low > 0 else "no clear change"
    versions = [sorted({record.plugin.version for record in _all(row)}) for row in (old, new)]
    if versions[0] != versions[1]:
        what += f"; plugin {', '.join(versions[0])} → {', '.join(versions[1])}"
    return scored(old.mae), scored(new.mae), signed(change), words(what)
