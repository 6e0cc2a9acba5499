"""Records → the rows of a comparison: one per method and way of training, with intervals, and the floor."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness import metrics
from harness.benchmark import Benchmark
from harness.reporting.asked import budget_label, proves_only, recipe_label
from harness.reporting.crops_seen import longest
from harness.reporting.floors import DIFFERENCE, Floor, floors, over, score
from harness.reporting.settings import settings_of
from harness.reporting.strata import Stratum, by_test_images, strata
from harness.reporting.tables import Score, digits_of
from harness.reporting.versions import Line, line_of, superseded, told_apart
from harness.run import in_brackets
from harness.runs.records import Record


@dataclass(frozen=True, order=True)
class TableKey:
    """Records are compared only within one of these: nothing else may differ silently.

    `recipe` and `budget` are their names, with the content where they are of one's own (`harness.runs.own.label`).
    `tested` is 0, and above where records of the same files were tested on other images of them (a test set cut elsewhere).
    """

    dataset: str
    recipe: str
    budget: str
    select: str
    fingerprint: str
    tested: int = 0


@dataclass(frozen=True)
class Row:
    """One line of a comparison. `records` are its finished runs, `failures` the others.

    `over_floor` is its MAE less that of the lower floor, image by image: clearly better where the whole interval is below zero.
    `strata` are the true and predicted counts whose scores are averaged. `behind` is its MAE less the best row's, image by
    image, or None where the two were not tested on the same images.
    """

    method: str
    title: str
    records: tuple[Record, ...]
    failures: tuple[Record, ...]
    mae: Score | None
    rmse: Score | None
    over_floor: Score | None
    missing: str
    strata: tuple[Stratum, ...] = ()
    behind: Score | None = None

    @property
    def runs(self) -> tuple[Record, ...]:
        return self.records + self.failures

    @property
    def title_with_missing(self) -> str:
        """Its title, and behind it what of its folds or seeds is not there."""
        return self.title + (f" ({self.missing})" if self.missing else "")


@dataclass(frozen=True)
class Comparison:
    """One table: its rows, best first, and the floors under them.

    `records` are those of the rows; `hidden` are of superseded versions of their plugins and in no row.
    """

    key: TableKey
    records: tuple[Record, ...]
    rows: tuple[Row, ...]
    floors: tuple[Floor, ...]
    hidden: tuple[Record, ...] = ()

    @property
    def digits(self) -> int:
        """How many decimals its errors are shown with."""
        return digits_of([*(row.mae for row in self.rows), *(floor.mae for floor in self.floors)])

    @property
    def proves_only(self) -> bool:
        """Whether it shows that everything runs, and no more: errors after so little training say nothing of a method."""
        return proves_only(self.key.budget)


def comparisons(
    records: Iterable[Record], all_versions: bool = False, benchmarks: Mapping[str, Benchmark] | None = None
) -> list[Comparison]:
    """The tables that `records` make: by benchmark, those known first and in their order; of each those of the longest training
    first, and of a single method last.

    Args:
        all_versions: keep the rows of superseded versions of plugins (`harness.reporting.versions`).
        benchmarks: those that are known by name; they say of which the images are frames of one video, for intervals.
    """
    known = benchmarks or {}
    groups: dict[TableKey, list[Record]] = defaultdict(list)
    for record in records:
        data = str(record.identity.get("data"))
        key = TableKey(record.dataset, recipe_label(record), budget_label(record), record.select, data)
        groups[key].append(record)
    return [
        _comparison(
            replace(key, tested=number), part, all_versions, known[key.dataset].alike if key.dataset in known else 1
        )
        for key in sorted(
            groups, key=lambda key: (_place(key.dataset, known), _alone(groups[key]), -longest(groups[key]), key)
        )
        for number, part in enumerate(by_test_images(groups[key]))
    ]


def _alone(records: Sequence[Record]) -> bool:
    """Whether they compare nothing: one method, or variant of one."""
    return len({(record.method, record.variant) for record in records}) == 1


def _place(dataset: str, known: Mapping[str, Benchmark]) -> tuple[int, str]:
    return list(known).index(dataset) if dataset in known else len(known), dataset


def _comparison(key: TableKey, records: list[Record], all_versions: bool, alike: int) -> Comparison:
    lines: dict[Line, list[Record]] = defaultdict(list)
    groups: dict[tuple[Line, str], list[Record]] = defaultdict(list)
    for record in sorted(records, key=lambda record: record.name):
        lines[line_of(record)].append(record)
        groups[line_of(record), settings_of(record)].append(record)
    hidden = set() if all_versions else superseded(lines)
    shown = [group for (line, _), group in groups.items() if line not in hidden]
    titles = told_apart([group[0] for group in shown])
    kept = tuple(record for record in records if line_of(record) not in hidden)
    under = floors(kept, alike)
    rows = sorted((_row(group, title, under, alike) for group, title in zip(shown, titles, strict=True)), key=_order)
    rows = [replace(row, behind=_behind(row, rows[0])) for row in rows]
    return Comparison(
        key,
        kept,
        tuple(rows),
        under,
        tuple(record for line in sorted(hidden) for record in lines[line]),
    )


def _order(row: Row) -> tuple[bool, bool, float, str]:
    return (row.mae is None, bool(row.missing), row.mae.value if row.mae else 0.0, row.title)


def _row(group: list[Record], title: str, under: Sequence[Floor], alike: int) -> Row:
    finished = [record for record in group if record.status == "ok"]
    first, drawn = group[0], strata(finished, alike)
    counts = [stratum.counts for stratum in drawn]
    return Row(
        method=in_brackets(first.method, first.variant),
        title=title,
        records=tuple(finished),
        failures=tuple(record for record in group if record.status != "ok"),
        mae=score(counts, metrics.MAE, alike) if drawn else None,
        rmse=score(counts, metrics.RMSE, alike) if drawn else None,
        over_floor=over(under, drawn),
        missing=_missing(group, finished),
        strata=drawn,
    )


def _missing(group: list[Record], finished: list[Record]) -> str:
    """What of the row's folds is not there, or ""."""
    seeds = sorted({record.seed for record in group})
    folds = max(1, group[0].folds)
    expected = len(seeds) * folds
    there = len({(record.seed, record.fold) for record in finished})
    if there == expected:
        return ""
    unit = "folds" if group[0].folds else "seeds"
    return f"{there} of {expected} {unit}"


def paired(first: Sequence[Stratum], second: Sequence[Stratum]) -> Score | None:
    """The MAE of `second` less that of `first`, paired image by image; errors are averaged over seeds before.

    None where a fold is missing on one side, or its images differ.
    """
    sides = [{(stratum.fold, stratum.member): stratum.errors for stratum in side} for side in (first, second)]
    before, after = sides
    if not before or before.keys() != after.keys() or any(before[key].keys() != after[key].keys() for key in before):
        return None
    groups = [tuple(np.array(list(side[key].values())) for side in sides) for key in before]
    return score(groups, DIFFERENCE, first[0].alike)  # type: ignore[arg-type]


def _behind(row: Row, best: Row) -> Score | None:
    return paired(best.strata, row.strata) if row is not best and row.records else None
