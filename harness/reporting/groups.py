"""Where the errors are: by scene, by category, by number of heads, by place in the image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from harness import metrics
from harness.reporting.comparison import LEFT, mark_complete, section_of, table_name, title_of
from harness.reporting.published import PublishedValue
from harness.reporting.rows import Comparison, Row
from harness.reporting.tables import Cell, Table, number, words
from harness.runs.records import ImageCount, Record

LEVELS = tuple(
    (f"{name} (≤ {last:.0f})" if last < float("inf") else f"{name} (> {below:.0f})", below, last)
    for name, below, last in metrics.COUNT_LEVELS
)
EQUAL_GROUPS = 4
JHU = ("Distractors", "Low", "Medium", "High", "Weather", "Overall")  # the order of the papers' tables
JHU_DATASETS = ("jhu_crowd", "jhu_crowd_pp")


def group_tables(comparison: Comparison, values: list[PublishedValue]) -> list[Table]:
    """The further tables of one comparison; none where no run has finished."""
    rows = [row for row in comparison.rows if row.records]
    if not rows:
        return []
    tables = []
    if _mean_of(comparison):
        tables.append(_scenes(comparison, rows, values))
    if comparison.key.dataset in JHU_DATASETS:
        tables.append(_categories(comparison, rows, values))
    return [*tables, _counts(comparison, rows)]


def jhu_category(name: str) -> Callable[[ImageCount], bool]:
    """Whether an image belongs to a row of JHU-CROWD's tables.

    Sindagi et al., ICCV 2019: Low up to 50 heads, Medium up to 500, High above; Weather is any degradation; Distractors are
    images of none.
    """
    groups = {"Distractors": "distractor", "Weather": "weather", "Low": "level", "Medium": "level", "High": "level"}
    return lambda image: name == "Overall" or image.groups.get(groups[name]) == name


def _mean_of(comparison: Comparison) -> str:
    return str(comparison.records[0].identity.get("protocol", {}).get("mean_of") or "")


def images_of(records: Iterable[Record]) -> list[ImageCount]:
    """The test images of every one of finished `records`."""
    return [image for record in records for image in record.results.per_image]  # type: ignore[union-attr]


def _error(images: list[ImageCount], metric: Callable[[np.ndarray, np.ndarray], float]) -> float | None:
    if not images:
        return None
    return metric(np.array([image.true for image in images]), np.array([image.predicted for image in images]))


def _scenes(comparison: Comparison, rows: list[Row], values: list[PublishedValue]) -> Table:
    """MAE by scene and the mean of scenes, the papers' rows below."""
    group = _mean_of(comparison)
    scenes = sorted({image.groups.get(group, "") for row in rows for image in images_of(row.records)})
    headers = ("method", *scenes, "average")
    lines = []
    for row in rows:
        found = [
            _error([image for image in images_of(row.records) if image.groups.get(group, "") == scene], metrics.mae)
            for scene in scenes
        ]
        known = [value for value in found if value is not None]
        lines.append([words(row.title), *map(number, found), number(float(np.mean(known)) if known else None)])
    mark_complete(lines, rows, range(1, len(headers)))
    printed: dict[tuple[str, str], dict[str, float]] = {}
    for value in values:
        if value.dataset == comparison.key.dataset and value.metric == "mae" and value.scene:
            printed.setdefault((value.method, value.paper), {})[value.scene] = value.value
    for (method, paper), by_scene in sorted(printed.items()):
        cells = [number(by_scene.get(name)) for name in (*scenes, "average")]
        lines.append([words(f"*{method}, published ({paper})*"), *cells])
    notes = (f"MAE of each {group}'s test images; average is the mean of {group}s", "published averages are as printed")
    return _table(comparison, "scenes", f"by {group}", headers, lines, notes)


def _categories(comparison: Comparison, rows: list[Row], values: list[PublishedValue]) -> Table:
    headers = ("method", *(f"{name} {metric}" for name in JHU for metric in ("MAE", "RMSE")))
    lines = []
    for row in rows:
        line = [words(row.title)]
        for name in JHU:
            images = list(filter(jhu_category(name), images_of(row.records)))
            line += [number(_error(images, metrics.mae)), number(_error(images, metrics.mse_root))]
        lines.append(line)
    mark_complete(lines, rows, range(1, len(headers)))
    printed: dict[tuple[str, str], dict[tuple[str, str], float]] = {}
    for value in values:
        if value.dataset == comparison.key.dataset and value.metric in ("mae", "rmse") and "[" not in value.method:
            printed.setdefault((value.method, value.paper), {})[value.category or "Overall", value.metric] = value.value
    for (method, paper), found in sorted(printed.items()):
        cells = [number(found.get((name, metric))) for name in JHU for metric in ("mae", "rmse")]
        lines.append([words(f"*{method}, published ({paper})*"), *cells])
    some = images_of(rows[0].records[:1])
    sizes = ", ".join(f"{name} {sum(map(jhu_category(name), some))}" for name in JHU)
    return _table(comparison, "categories", "by category", headers, lines, (f"test images: {sizes}",))


def _counts(comparison: Comparison, rows: list[Row]) -> Table:
    """MAE by level and by equal-sized groups of true count, NAE and GAME."""
    true = np.sort(list(_each_once(rows).values()))
    edges = [float(part[-1]) for part in np.array_split(true, EQUAL_GROUPS) if len(part)]
    edges = sorted(set(edges))
    quarters = list(zip([-1.0, *edges[:-1]], edges, strict=True))
    names = [_span(true[(below < true) & (true <= last)]) for below, last in quarters]
    levels = levels_of(true)
    headers = ("method", *(name for name, _, _ in levels), *names, "NAE", *(f"GAME({level})" for level in range(4)))
    lines = []
    for row in rows:
        counted, predicted = _pooled(row)
        line = [words(row.title)]
        for below, last in [*((below, last) for _, below, last in levels), *quarters]:
            inside = (below < counted) & (counted <= last)
            line.append(number(metrics.mae(counted[inside], predicted[inside]) if inside.any() else None))
        nae = metrics.nae(counted, predicted)
        line.append(number(nae if nae == nae else None, 3))
        weights = [len(record.results.per_image) for record in row.records]  # type: ignore[union-attr]
        games = np.average([record.results.game for record in row.records], axis=0, weights=weights)  # type: ignore[union-attr]
        line += [number(float(value)) for value in games]
        lines.append([*line, number(float(np.mean(predicted - counted)), sign=True)])
    mark_complete(lines, rows, range(1, len(headers)))
    sizes = [sum(below < value <= last for value in true) for _, below, last in levels]
    runs = " of all runs together" if any(len(row.records) > 1 for row in rows) else ""
    told = [f"{n} images {name}" for n, (name, _, _) in zip(sizes, levels, strict=True)]
    notes = (
        f"MAE{runs} by true count: {', '.join([*told, f'{len(names)} groups of about equal size of {len(true)} images'])}",
        "NAE: the mean of the error divided by the true count, over images that have heads",
        "GAME(L): the error summed over 4^L equal regions of an image; means over images (Guerrero-Gómez-Olmedo et al., 2015)",
        "bias: the mean of predicted less true counts; above zero where heads are counted that are not there",
    )
    important = ("method", *names, "bias", "NAE", *headers[-3:])
    return _table(comparison, "counts", "by number of heads and place", (*headers, "bias"), lines, notes, important)


def _span(counts: np.ndarray) -> str:
    """ "0–211 heads": from the fewest to the most, with as many decimals as they have, three at most."""
    low, high = (f"{count:.3f}".rstrip("0").rstrip(".") for count in (counts.min(), counts.max()))
    return f"{low}–{high} heads"


def levels_of(true: np.ndarray) -> list[tuple[str, float, float]]:
    """Those of `LEVELS` that some image has; none where all images are of one, which would say what the whole table does."""
    some = [(name, below, last) for name, below, last in LEVELS if ((below < true) & (true <= last)).any()]
    return some if len(some) > 1 else []


def _each_once(rows: Sequence[Row]) -> dict[tuple[int, str], float]:
    """The true count of every test image that one of `rows` has, by fold and name."""
    return {
        (record.fold, image.image): image.true
        for row in rows
        for record in row.records
        for image in record.results.per_image  # type: ignore[union-attr]
    }


def _pooled(row: Row) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted counts of the test images of all runs of a row."""
    true = np.concatenate([stratum.true.ravel() for stratum in row.strata])
    predicted = np.concatenate([stratum.predicted.ravel() for stratum in row.strata])
    return true, predicted


def _table(
    comparison: Comparison,
    kind: str,
    what: str,
    headers: tuple[str, ...],
    lines: list[list[Cell]],
    notes: tuple[str, ...],
    important: tuple[str, ...] = (),
) -> Table:
    rows, section = tuple(tuple(line) for line in lines), section_of(comparison.key)
    return Table(
        table_name(comparison.key, kind),
        f"{title_of(comparison)}: {what}",
        headers,
        rows,
        notes,
        LEFT,
        section,
        important,
    )
