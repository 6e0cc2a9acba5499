"""Records → the rows of a comparison: one per method and way of training, with intervals, and the floor."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness import metrics
from harness.reporting.tables import Score
from harness.runs.records import Record

Counts = tuple[np.ndarray, np.ndarray]
DIFFERENCE = metrics.ImageMean(lambda first, second: second - first)


@dataclass(frozen=True, order=True)
class TableKey:
    """Records are compared only within one of these: nothing else may differ silently."""

    dataset: str
    recipe: str
    budget: str
    select: str
    fingerprint: str


@dataclass(frozen=True)
class Row:
    """One line of a comparison. `records` are its finished runs, `failures` the others.

    `over_floor` is its MAE less the floor's, image by image: clearly better where the whole interval is below zero.
    `parts` are the true and predicted counts whose scores are averaged. `behind` is its MAE less the best row's, image by
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
    parts: tuple[Counts, ...] = ()
    behind: Score | None = None


@dataclass(frozen=True)
class Comparison:
    """One table: its rows, best first, and the floor under them."""

    key: TableKey
    records: tuple[Record, ...]
    rows: tuple[Row, ...]
    floor: tuple[Score, Score] | None


def comparisons(records: Iterable[Record]) -> list[Comparison]:
    """The tables that `records` make, in a fixed order."""
    groups: dict[TableKey, list[Record]] = defaultdict(list)
    for record in records:
        key = TableKey(record.dataset, record.recipe, record.budget, record.select, str(record.identity.get("data")))
        groups[key].append(record)
    return [_comparison(key, groups[key]) for key in sorted(groups)]


def _comparison(key: TableKey, records: list[Record]) -> Comparison:
    lines: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in sorted(records, key=lambda record: record.name):
        identity = (record.method, record.variant, record.precision, record.pretrained, record.plugin.version)
        lines[identity].append(record)
    rows = sorted((_row(group) for group in lines.values()), key=_order)
    rows = [replace(row, behind=_behind(row, rows[0])) for row in rows]
    finished = [record for record in records if record.status == "ok"]
    return Comparison(key, tuple(records), tuple(rows), _floor(finished))


def _order(row: Row) -> tuple[bool, bool, float, str]:
    return (row.mae is None, bool(row.missing), row.mae.value if row.mae else 0.0, row.title)


def _row(group: list[Record]) -> Row:
    finished = [record for record in group if record.status == "ok"]
    failures = tuple(record for record in group if record.status != "ok")
    first = group[0]
    parts = [part for record in finished for part in _parts(record)]
    title = first.method_title + (f" [{first.variant}]" if first.variant else "")
    return Row(
        method=first.method + (f"[{first.variant}]" if first.variant else ""),
        title=title,
        records=tuple(finished),
        failures=failures,
        mae=score(parts, metrics.MAE) if parts else None,
        rmse=score(parts, metrics.RMSE) if parts else None,
        over_floor=_over_floor(finished, parts),
        missing=_missing(group, finished),
        parts=tuple(parts),
    )


def _missing(group: list[Record], finished: list[Record]) -> str:
    """What of the row's folds is not there, or ""."""
    seeds = sorted({record.seed for record in group})
    folds = max(1, group[0].folds)
    expected = len(seeds) * folds
    if len(finished) == expected:
        return ""
    unit = "folds" if group[0].folds else "seeds"
    return f"{len(finished)} of {expected} {unit}"


def score(groups: list[Counts], metric: metrics.ImageMean) -> Score:
    """`metric` averaged over `groups` (folds, seeds), with its interval."""
    low, high = metrics.bootstrap_interval(groups, metric)
    return Score(metrics.grouped_mean(groups, metric), low, high)


def _parts(record: Record) -> list[Counts]:
    """The counts whose scores are averaged: the images, or the members of the group that the protocol names."""
    group = record.identity.get("protocol", {}).get("mean_of")
    true, predicted = counts(record)
    if not group:
        return [(true, predicted)]
    assert record.results is not None
    members = np.array([image.groups.get(group, "") for image in record.results.per_image])
    return [(true[members == member], predicted[members == member]) for member in sorted(set(members))]


def counts(record: Record) -> Counts:
    """True and predicted counts of a finished record's test images, float [N] each."""
    assert record.results is not None
    both = np.array([(image.true, image.predicted) for image in record.results.per_image])
    return both[:, 0], both[:, 1]


def _over_floor(records: Sequence[Record], parts: Sequence[Counts]) -> Score | None:
    """`parts` are those of `records`, the same number of each."""
    if not records:
        return None
    each = len(parts) // len(records)
    means = [record.data.train_mean for record in records for _ in range(each)]  # type: ignore[union-attr]
    groups = [
        (np.abs(mean - true), np.abs(predicted - true)) for mean, (true, predicted) in zip(means, parts, strict=True)
    ]
    return score(groups, DIFFERENCE)


def paired(first: Sequence[Record], second: Sequence[Record]) -> Score | None:
    """The MAE of `second` less that of `first`, paired image by image; errors are averaged over seeds before.

    None where a fold is missing on one side, or its images differ.
    """
    errors = [_errors_by_fold(records) for records in (first, second)]
    if not errors[0] or errors[0].keys() != errors[1].keys():
        return None
    groups = []
    for fold, before in errors[0].items():
        after = errors[1][fold]
        if [name for name, *_ in before] != [name for name, *_ in after]:
            return None
        for group in sorted({group for _, group, _ in before}):
            pairs = [(a[2], b[2]) for a, b in zip(before, after, strict=True) if a[1] == group]
            groups.append((np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])))
    return score(groups, DIFFERENCE)


def _errors_by_fold(records: Sequence[Record]) -> dict[int, list[tuple[str, str, float]]]:
    """(image, averaging group, mean absolute error over seeds) of each fold's test images."""
    by_fold: dict[int, list[Record]] = defaultdict(list)
    for record in sorted(records, key=lambda record: (record.fold, record.seed)):
        by_fold[record.fold].append(record)
    found = {}
    for fold, members in by_fold.items():
        group = members[0].identity.get("protocol", {}).get("mean_of", "")
        errors: dict[str, list[float]] = defaultdict(list)
        groups: dict[str, str] = {}
        for record in members:
            assert record.results is not None
            for image in record.results.per_image:
                errors[image.image].append(abs(image.predicted - image.true))
                groups[image.image] = image.groups.get(group, "")
        found[fold] = [(name, groups[name], float(np.mean(errors[name]))) for name in sorted(errors)]
    return found


def _behind(row: Row, best: Row) -> Score | None:
    return paired(best.records, row.records) if row is not best and row.records else None


def _floor(finished: Sequence[Record]) -> tuple[Score, Score] | None:
    """What predicting each fold's training mean for every image scores: MAE and RMSE. None without a finished run."""
    by_fold = {record.fold: record for record in finished}
    if not by_fold:
        return None
    groups = []
    for fold in sorted(by_fold):
        record = by_fold[fold]
        assert record.data is not None
        groups += [(true, np.full_like(true, record.data.train_mean)) for true, _ in _parts(record)]
    return score(groups, metrics.MAE), score(groups, metrics.RMSE)
