"""Two sets of records side by side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from packaging.version import Version

from harness.benchmark import Benchmark
from harness.reporting.asked import asked_budget_label, asked_label
from harness.reporting.comparison import LEFT, title_of
from harness.reporting.rows import Row, TableKey, comparisons, paired
from harness.reporting.settings import differing, settings_of
from harness.reporting.tables import Cell, Table, digits_of, scored, signed, words
from harness.reporting.versions import fingerprint_of, line_of, order_of, told_apart
from harness.runs.merging import differs
from harness.runs.records import Record

Place = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Side:
    """One row of one of the two sets: its section, its title there, and its table."""

    section: str
    title: str
    key: TableKey
    row: Row

    @property
    def place(self) -> Place:
        """Rows of one place are set against each other; versions, files and what the names of a recipe and a budget stood for
        are no part of it: their changes are the point."""
        key, first = self.key, self.row.runs[0]
        return (key.dataset, asked_label(first), asked_budget_label(first), key.select, *line_of(first)[:4])

    @property
    def data(self) -> tuple[str, int]:
        return self.key.fingerprint, self.key.tested

    @property
    def plugin(self) -> tuple[str, str]:
        return line_of(self.row.runs[0])[4:]

    @property
    def settings(self) -> str:
        return settings_of(self.row.runs[0])

    @property
    def runs(self) -> dict[str, Record]:
        return {record.id: record for record in self.row.runs}


def difference(
    before: Sequence[Record], after: Sequence[Record], benchmarks: Mapping[str, Benchmark] | None = None
) -> str:
    """Markdown: each method on each benchmark before and after, the paired difference, and what came or went.

    Rows of all versions of a plugin and of all sets of files stand apart. One that is on both sides is set against itself,
    one of a new version or of new files against what it came in the place of. `benchmarks` are those that are known by name.
    """
    first, second = (_sides(records, benchmarks) for records in (before, after))
    lines: dict[str, list[tuple[Cell, ...]]] = {}
    alike = 0
    for place in sorted(first.keys() | second.keys()):
        for old, new in _matched(first.get(place, []), second.get(place, [])):
            if old and new and _unchanged(old, new):
                alike += 1
                continue
            section, title = ((new or old).section, (new or old).title)  # type: ignore[union-attr]
            cells = _cells(old.row if old else None, new.row if new else None)
            lines.setdefault(section, []).append((words(title), *cells))
    parts = [
        Table(
            "diff", title, ("method", "MAE before", "MAE after", "change", "what"), tuple(rows), (), LEFT | {"what"}
        ).markdown(3)
        for title, rows in lines.items()
    ]
    end = f"{alike} row{'s' if alike != 1 else ''} unchanged."
    note = "Change: difference of MAE, paired image by image, with its 95 % bootstrap interval."
    return "\n\n".join([*parts, note, end] if parts else ["No differences.", end])


def _sides(records: Sequence[Record], benchmarks: Mapping[str, Benchmark] | None) -> dict[Place, list[Side]]:
    """Every row that `records` make, by its place, older versions first."""
    sections: dict[str, list[tuple[TableKey, Row]]] = defaultdict(list)
    for comparison in comparisons(records, all_versions=True, benchmarks=benchmarks):
        sections[title_of(comparison)] += [(comparison.key, row) for row in comparison.rows]
    found: dict[Place, list[Side]] = defaultdict(list)
    for section, rows in sections.items():
        titles = told_apart([row.runs[0] for _, row in rows], files=True)
        for title, (key, row) in zip(titles, rows, strict=True):
            side = Side(section, title, key, row)
            found[side.place].append(side)
    for sides in found.values():
        sides.sort(key=lambda side: (_ordered(side.plugin[1]), side.plugin, side.data))
    return found


def _ordered(version: str) -> tuple[Version, ...]:
    """A key that puts what has no order first."""
    order = order_of(version)
    return () if order is None else (order,)


def _matched(old: list[Side], new: list[Side]) -> Iterator[tuple[Side | None, Side | None]]:
    """Pairs of the rows of one place: the same settings, version and files first, then a change of one of these, then of more.

    A further version of what is still there is set against the newest before it.
    """
    before, after = list(old), list(new)
    for same in (
        lambda a, b: (a.data, a.plugin, a.settings) == (b.data, b.plugin, b.settings),
        lambda a, b: (a.data, a.plugin) == (b.data, b.plugin),
        lambda a, b: a.data == b.data,
    ):
        for one in list(reversed(after)):
            other = next((side for side in reversed(before) if same(side, one)), None)
            if other:
                before.remove(other)
                after.remove(one)
                yield other, one
    while before and after:
        yield before.pop(), after.pop()
    yield from ((side, None) for side in before)
    for one in after:
        yield next((side for side in reversed(old) if side.data == one.data and _older(side, one)), None), one


def _unchanged(old: Side, new: Side) -> bool:
    """Whether both have the same runs and these the same counts: one id may have been trained by other code, or elsewhere."""
    if old.runs.keys() != new.runs.keys():
        return False
    pairs = [(record, new.runs[key]) for key, record in old.runs.items()]
    return all(a.status == b.status and not differs(a, b) for a, b in pairs)


def _older(one: Side, other: Side) -> bool:
    orders = order_of(one.plugin[1]), order_of(other.plugin[1])
    return one.plugin[0] == other.plugin[0] and None not in orders and orders[0] < orders[1]  # type: ignore[operator]


def _cells(old: Row | None, new: Row | None) -> tuple[Cell, ...]:
    digits = digits_of(row.mae for row in (old, new) if row)
    if old is None:
        return Cell(), scored(new.mae if new else None, digits), Cell(), words("new")
    if new is None:
        return scored(old.mae, digits), Cell(), Cell(), words("gone")
    change = paired(old.strata, new.strata)
    if not new.records or not old.records:
        what = f"now {new.runs[0].status}, was {old.runs[0].status}"
    elif change is None:
        what = "not the same images: not comparable"
    elif change.high < 0:
        what = "better"
    else:
        what = "worse" if change.low > 0 else "no clear change"
    if {record.id for record in old.runs} == {record.id for record in new.runs}:
        what += "; the same runs, with other results"
    was, now = old.runs[0], new.runs[0]
    if was.plugin != now.plugin:
        both = was.plugin.distribution != now.plugin.distribution
        names = [f"{p.distribution} {p.version}" if both else p.version for p in (was.plugin, now.plugin)]
        what += f"; plugin {' → '.join(names)}"
    if settings := differing(now, [was]):
        what += f"; trained with {settings}"
    if fingerprint_of(was) != fingerprint_of(now):
        what += f"; data {fingerprint_of(was)[:8]} → {fingerprint_of(now)[:8]}"
    return scored(old.mae, digits), scored(new.mae, digits), signed(change, digits), words(what)
