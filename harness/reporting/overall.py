"""The leaderboard across the six benchmarks."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from harness.reporting.asked import in_name
from harness.reporting.comparison import LEFT, ON_TEST, row_title
from harness.reporting.crops_seen import longest
from harness.reporting.rows import Comparison, Row
from harness.reporting.tables import Cell, Table, digits_of, number, ranked, scored, words
from harness.reporting.versions import Line, line_of, told_apart
from harness.run import ORACLE

BENCHMARKS = {
    "shtech_a": "ShanghaiTech A",
    "shtech_b": "ShanghaiTech B",
    "ucf_cc_50": "UCF_CC_50",
    "ucf_qnrf": "UCF-QNRF",
    "worldexpo10": "WorldExpo'10",
    "jhu_crowd": "JHU-CROWD",
}
Column = dict[str, Row]


def overall_tables(comparisons: Sequence[Comparison]) -> list[Table]:
    """One leaderboard for each recipe, budget and way of selection with at least two of the benchmarks; the longest first."""
    groups: dict[tuple[str, str, str], dict[str, list[Comparison]]] = defaultdict(lambda: defaultdict(list))
    for comparison in comparisons:
        key = comparison.key
        if key.dataset in BENCHMARKS:
            groups[key.recipe, key.budget, key.select][key.dataset].append(comparison)
    lengths = {
        key: longest(record for tables in found.values() for table in tables for record in table.records)
        for key, found in groups.items()
    }
    ordered = sorted(groups.items(), key=lambda group: (-lengths[group[0]], group[0]))
    return [_table(*key, found) for key, found in ordered if len(found) > 1]


def _table(recipe: str, budget: str, select: str, found: dict[str, list[Comparison]]) -> Table:
    chosen = {
        name: max(tables, key=lambda table: (len(table.rows), -table.key.tested, table.key))
        for name, tables in found.items()
    }
    lines_of = {name: _by_line(table) for name, table in chosen.items()}
    columns = {
        name: {line: rows[0] for line, rows in found.items() if len(rows) == 1} for name, found in lines_of.items()
    }
    identities = sorted({identity for column in columns.values() for identity in column})
    complete = [one for one in identities if all(one in columns.get(name, {}) for name in BENCHMARKS)]
    ranks = {one: _mean_rank(one, complete, columns) for one in complete}
    first = [next(column[one] for column in columns.values() if one in column).records[0] for one in identities]
    titles = dict(zip(identities, told_apart(first), strict=True))
    placed = {one: [columns.get(name, {}).get(one) for name in BENCHMARKS] for one in identities}
    ordered = sorted(
        identities, key=lambda one: (one not in ranks, ranks.get(one, 0.0), _errors(placed[one]), titles[one])
    )
    cells = [_column(rows) for rows in zip(*(placed[one] for one in ordered), strict=True)]
    lines = [
        (
            words(titles[one]),
            number(ranks[one]) if one in ranks else words(f"{sum(map(bool, placed[one]))} of {len(BENCHMARKS)}"),
            *(column[place] for column in cells),
        )
        for place, one in enumerate(ordered)
    ]
    notes = [
        "MAE on each benchmark under this one protocol. "
        + (
            "Mean rank: over the methods that have all six, and for them alone; the others show how many they have, and no "
            "mean is taken over what happens to be there"
            if ranks
            else "Methods that have all six are ranked by their mean place; as yet none has"
        ),
        f"the six are {', '.join(BENCHMARKS.values())}; others have tables of their own",
        "a cell is there when every fold of every seed begun has finished",
    ]
    for name, tables in sorted(found.items()):
        if len(tables) > 1:
            notes.append(
                f"{BENCHMARKS[name]}: records of {len(tables)} different sets of images; those of the most methods are shown"
            )
    notes += [
        f"{row.title} on {BENCHMARKS[name]}: one of {len(rows)} rows of other settings, of which none is taken"
        for name, by_line in lines_of.items()
        for rows in by_line.values()
        if len(rows) > 1
        for row in rows
    ]
    weak = [
        f"{row_title(row)} on {BENCHMARKS[name]}"
        for name, column in columns.items()
        for row in column.values()
        if row.over_floor and row.over_floor.high >= 0
    ]
    if weak:
        notes.append("; ".join(weak))
    title = f"All benchmarks: budget {budget}, recipe {recipe}"
    if select == ORACLE:
        title += ON_TEST
    return Table(
        "-".join(["all", in_name(recipe), in_name(budget), *([ORACLE] if select == ORACLE else [])]),
        title,
        ("method", "mean rank" if ranks else "benchmarks", *BENCHMARKS.values()),
        tuple(lines),
        tuple(notes),
        LEFT,
    )


def _column(rows: Sequence[Row | None]) -> list[Cell]:
    """The MAE on one benchmark of each row, where there is one, the best marked."""
    digits = digits_of(row.mae for row in rows if row)
    return ranked([scored(row.mae, digits) if row else Cell() for row in rows])


def _errors(rows: Sequence[Row | None]) -> list[float]:
    """MAE by benchmark, by which methods that lack some are ordered: last where the first is missing."""
    return [row.mae.value if row and row.mae else math.inf for row in rows]


def _by_line(comparison: Comparison) -> dict[Line, list[Row]]:
    """The complete rows of a comparison; methods of other precision, pretrained part or version are other methods here.

    Where there are several of one, trained under other settings, none of them is the method's.
    """
    rows: dict[Line, list[Row]] = defaultdict(list)
    for row in comparison.rows:
        if row.mae and not row.missing:
            rows[line_of(row.records[0])].append(row)
    return rows


def _mean_rank(one: Line, complete: list[Line], columns: dict[str, dict[Line, Row]]) -> float:
    places = []
    for name in BENCHMARKS:
        scores = [columns[name][other].mae.value for other in complete]  # type: ignore[union-attr]
        mine = columns[name][one].mae.value  # type: ignore[union-attr]
        places.append(1 + sum(score < mine for score in scores) + (scores.count(mine) - 1) / 2)
    return sum(places) / len(places)
