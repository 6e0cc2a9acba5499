"""One benchmark's comparison table: measured beside published, the floor under them, the protocol in the caption."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from harness.method import Method
from harness.metrics import Metric
from harness.reporting import extra, trained
from harness.reporting.asked import budget_told, in_name, recipe_told
from harness.reporting.published import PublishedValue
from harness.reporting.rows import Comparison, Row, TableKey
from harness.reporting.tables import Cell, Table, mark, number, printed, scored, signed, words
from harness.reporting.versions import name_of
from harness.runs.records import Record

GAP = "published − measured"
HEADERS = (
    "method",
    "MAE",
    "RMSE",
    "behind the best",
    "published MAE",
    "published RMSE",
    GAP,
    trained.SHARE,
    trained.CHECKPOINT,
    "runs",
    "seeds",
    "train min",
    "pretrained",
    "precision",
    "device",
)
FURTHER = HEADERS.index(trained.CHECKPOINT)  # before it stand the metrics of plugins
COMPACT = ("method", "result", "MAE", "RMSE", "published MAE", "runs", "train min")
IMPORTANT = (
    *("method", "MAE", trained.SHARE, GAP, "published MAE", "RMSE", "pretrained"),
    *("behind the best", "published RMSE", "runs"),
)
SETTINGS = frozenset({"runs", "seeds", "pretrained", "precision", "device"})
LEFT = frozenset({"method", "pretrained", "precision", "device", "source"})
TOO_GOOD = 0.9  # a whole interval below this share of the published MAE is suspicious
FLOOR = "*always the {of} of the training counts (floor)*"


def table_name(key: TableKey, kind: str) -> str:
    """ "shtech_a-common-quick" with the kind behind it; unique among the tables of one fingerprint of the data."""
    oracle = "test-oracle" if key.select == "test-oracle" else ""
    images = f"images-{key.tested + 1}" if key.tested else ""
    return "-".join(filter(None, (key.dataset, in_name(key.recipe), in_name(key.budget), oracle, images, kind)))


def section_of(key: TableKey) -> str:
    """The comparison a table belongs to, as an anchor of the page."""
    return f"{table_name(key, '')}-{key.fingerprint[:6]}"


def title_of(comparison: Comparison) -> str:
    key = comparison.key
    title = f"{comparison.records[0].dataset_title}: budget {key.budget}, recipe {key.recipe}"
    title += ", ON OTHER TEST IMAGES" if key.tested else ""
    return title + (", CHECKPOINT CHOSEN ON THE TEST SET" if key.select == "test-oracle" else "")


def comparison_table(
    comparison: Comparison,
    values: list[PublishedValue],
    known: Mapping[str, Metric] | None = None,
    methods: Mapping[str, Method] | None = None,
) -> Table:
    """The table of one benchmark, recipe, budget and way of selection; best first.

    Args:
        known: the metrics of plugins by name; what records hold of them are further columns.
        methods: the methods of plugins by name, whose recipes say how much their papers trained.
    """
    further = extra.headers(comparison.records, known or {}, HEADERS)
    headers = (*HEADERS[:FURTHER], *further.values(), *HEADERS[FURTHER:])
    rows = []
    for row in comparison.rows:
        line = _cells(row, comparison, values, methods or {})
        rows.append([*line[:FURTHER], *extra.cells(row, further), *line[FURTHER:]])
    mark_complete(rows, comparison.rows, (1, 2))
    for floor in comparison.floors:
        under = [words(FLOOR.format(of=floor.of)), scored(floor.mae), scored(floor.rmse)]
        rows.append(under + [Cell()] * (len(headers) - len(under)))
    return Table(
        table_name(comparison.key, ""),
        title_of(comparison),
        headers,
        tuple(tuple(row) for row in rows),
        tuple(_caption(comparison, values, methods or {})),
        LEFT,
        section_of(comparison.key),
        IMPORTANT,
        SETTINGS,
    )


def mark_complete(lines: Sequence[list[Cell]], rows: Sequence[Row], columns: Iterable[int]) -> None:
    """Marks the best of each of `columns` among the lines of those of `rows` that have all their folds and seeds, in place."""
    mark([line for line, row in zip(lines, rows, strict=True) if not row.missing], columns)


def published_of(values: Iterable[PublishedValue], method: str, dataset: str, metric: str) -> list[float]:
    """The different values that papers print for one method and benchmark."""
    wanted = (method, dataset, metric, "", "")
    return sorted({v.value for v in values if (v.method, v.dataset, v.metric, v.scene, v.category) == wanted})


def too_good(row: Row, dataset: str, values: list[PublishedValue]) -> bool:
    """Whether a row is far better than its paper: in this field a leak, a scaling bug, or a choice on the test set."""
    found = published_of(values, row.method, dataset, "mae")
    return bool(found and row.mae and row.mae.high < TOO_GOOD * min(found))


def row_title(row: Row) -> str:
    """The row's method with what must be known about it."""
    title = row.title
    if row.over_floor and row.over_floor.high >= 0:
        title += " (not better than the floor)" if row.over_floor.value >= 0 else " (not clearly better than the floor)"
    if row.missing:
        title += f" ({row.missing})"
    return title


def gap(row: Row, published: list[float]) -> Cell:
    """What papers print (the lowest, where they disagree) less the row's MAE: below zero where the row is worse."""
    return number(published[0] - row.mae.value, sign=True) if row.mae and published else Cell()


def _cells(row: Row, comparison: Comparison, values: list[PublishedValue], methods: Mapping[str, Method]) -> list[Cell]:
    dataset = comparison.key.dataset
    title = row_title(row)
    if too_good(row, dataset, values):
        title += " (FAR BETTER THAN ITS PAPER: look for a leak)"
    found = [published_of(values, row.method, dataset, metric) for metric in ("mae", "rmse")]
    head = [words(title, row.title), scored(row.mae), scored(row.rmse), signed(row.behind), *map(printed, found)]
    head += [gap(row, found[0]), trained.as_cell(trained.share(row, methods))]
    return [*head, words(trained.chosen(row)), *training_cells(row)]


def training_cells(row: Row) -> list[Cell]:
    """Runs (or how the row failed), seeds, minutes, pretrained part, precision and devices."""
    some = row.runs[0]
    how = [Cell(file_alone(some.pretrained), some.pretrained), words(some.precision)]
    if not row.records:
        return [words(some.status), Cell(), Cell(), *how, Cell()]
    minutes = statistics.fmean(map(trained.minutes, row.records))
    devices = sorted({f"{record.environment['device']}, {record.environment['backend']}" for record in row.records})
    return [
        Cell(str(len(row.records)), len(row.records)),
        Cell(str(count := len({record.seed for record in row.records})), count),
        number(minutes, 1 if minutes >= 1 else 2),
        *how,
        words("; ".join(devices)),
    ]


def file_alone(pretrained: str) -> str:
    """ "file vgg16.h5 58e75f58" without the digest of its content, which is in records."""
    kind, _, rest = pretrained.partition(" ")
    return rest.rpartition(" ")[0] if kind == "file" and " " in rest else pretrained


def _caption(comparison: Comparison, values: list[PublishedValue], methods: Mapping[str, Method]) -> list[str]:
    first, key = comparison.records[0], comparison.key
    finished = [record for record in comparison.records if record.status == "ok"]
    lines = [budget_told(first), recipe_told(finished or list(comparison.records)), _seeds_told(comparison)]
    if key.select == "test-oracle":
        lines.append(
            "the checkpoint was chosen by its error on the test set, as many papers did: these numbers are too good, and are "
            "never mixed with others"
        )
    else:
        lines.append(
            "the checkpoint was chosen on images held out of training; of each run the test images were counted once"
        )
    protocol = first.identity.get("protocol", {})
    if tested_on := protocol.get("tested_on"):
        lines.append(f"tested on {tested_on}")
    if mean_of := protocol.get("mean_of"):
        lines.append(f"MAE and RMSE are means over the {mean_of}s of the test set, as in the papers")
    lines += data_lines(finished)
    plugins = sorted({f"{record.plugin.distribution} {record.plugin.version}" for record in finished})
    lines += [f"trained by {', '.join(plugins)}{libraries(finished)}"] if plugins else []
    sources = sorted({f"{v.paper}, {v.table}" for v in values if v.dataset == key.dataset and _shown(comparison, v)})
    if sources:
        lines.append(f"published numbers (their own training and budget): {'; '.join(sources)}")
        lines.append(f"{GAP}: of the MAE; below zero where the paper's is better (its lowest, where papers disagree)")
    if any(trained.share(row, methods) is not None for row in comparison.rows):
        lines.append(trained.MEANING)
    if finished:
        lines.append(trained.checkpoint_meaning(key.select))
    lines.append(
        "behind the best: the MAE less that of the first row, image by image; clearly behind where the whole interval is above "
        "zero. A row that is not clearly better than the lower floor, in the same way, says so"
    )
    for row in comparison.rows:
        if too_good(row, key.dataset, values):
            lines.append(
                f"**{row.title} is far better than its paper.** In this field that has meant a checkpoint chosen on the test "
                f"set, a scaling bug or a leak: check before believing it"
            )
    return lines + left_out_lines(comparison)


def _seeds_told(comparison: Comparison) -> str:
    """What the numbers are means over, and what their intervals hold."""
    folds = comparison.records[0].folds
    by_row = sorted({len({record.seed for record in row.records}) for row in comparison.rows if row.records}) or [1]
    several = by_row[-1] > 1
    told = []
    if folds:
        both = " and seeds" if several else ""
        told.append(f"{folds}-fold cross-validation; MAE and RMSE are means over folds{both}")
    if not several:
        told.append("one seed: intervals are over test images, and hold nothing of other seeds")
        return "; ".join(told)
    if not folds or len(by_row) > 1:
        told.append(f"means over {' to '.join(map(str, dict.fromkeys((by_row[0], by_row[-1]))))} seeds")
    told.append(
        "intervals are over test images, the same ones drawn for every seed: the mean over these seeds, on other images"
    )
    if by_row[0] == 1:
        told.append("those of one seed hold nothing of others")
    return "; ".join(told)


def libraries(finished: Sequence[Record]) -> str:
    """ " with keras 3.15.1, tensorflow 2.20.0 and 2.21.0; commit 0123456789ab": what trained the runs, as far as they say."""
    found: dict[str, set[str]] = {}
    commits = [str(commit) for record in finished if (commit := record.environment.get("commit"))]
    for record in finished:
        versions = record.environment.get("versions", {})
        for name in ("keras", str(record.environment.get("backend"))):
            if name in versions:
                found.setdefault(name, set()).add(str(versions[name]))
    told = ", ".join(f"{name} {' and '.join(sorted(versions))}" for name, versions in found.items())
    some = f" ({len(commits)} of {len(finished)} runs; the others do not say)" if len(commits) < len(finished) else ""
    each = sorted({one for commit in commits for one in commit.split(", ")})
    return (f" with {told}" if told else "") + (f"; commit {', '.join(each)}{some}" if commits else "")


def left_out_lines(comparison: Comparison) -> list[str]:
    """What is not among the rows, in words: superseded versions, runs that failed, and what is missing of others."""
    lines = [
        f"**ended early**: {record.name}: a callback of a plugin ended it after {record.training.epochs} epochs"
        for record in comparison.records
        if record.training and record.training.stopped
    ]
    if comparison.hidden:
        runs = Counter((name_of(record), record.plugin.version) for record in comparison.hidden)
        what = ", ".join(
            f"{name} {version} ({n} run{'s' if n > 1 else ''})" for (name, version), n in sorted(runs.items())
        )
        lines.append(f"left out, of superseded versions: {what}; `harness report --all-versions` shows them")
    for record in comparison.records:
        if record.status != "ok":
            message = " ⏎ ".join(line.strip().replace("|", "¦") for line in record.message.splitlines())
            lines.append(f"**{record.status}**: {record.name}: {message or 'no message'}")
    return lines


def data_lines(finished: list[Record]) -> list[str]:
    """The files that were measured on, in words; nothing where no run has finished."""
    if not finished:
        return []
    data = finished[0].data
    assert data is not None
    lines = [f"data fingerprint {data.fingerprint}"]
    if data.test_images < data.test_images_available:
        lines.append(f"measured on {data.test_images} of {data.test_images_available} test images")
    lines += [f"**not the authors' own files**: {departure}" for departure in data.departures]
    return lines


def _shown(comparison: Comparison, value: PublishedValue) -> bool:
    return value.metric in ("mae", "rmse") and any(row.method == value.method for row in comparison.rows)


def published_table(
    dataset: str, title: str, values: list[PublishedValue], methods: Mapping[str, Method] | None = None
) -> Table | None:
    """Every method that the papers' tables have on one benchmark, ablations left out; None where there is nothing.

    Papers that print the same of a method share a row. `methods` are those of plugins by name, whose titles are shown.
    """
    lines: dict[tuple[str, str], dict[str, float]] = {}
    for value in values:
        whole = not value.scene and not value.category and "[" not in value.method
        if value.dataset == dataset and value.metric in ("mae", "rmse") and whole:
            lines.setdefault((value.method, f"{value.paper}, {value.table}"), {})[value.metric] = value.value
    if not lines:
        return None
    sources: dict[tuple[str, float | None, float | None], list[str]] = {}
    for (name, source), found in lines.items():
        known = (methods or {}).get(name)
        sources.setdefault((known.title if known else name, found.get("mae"), found.get("rmse")), []).append(source)
    rows = sorted(
        ((*key, "; ".join(sorted(found))) for key, found in sources.items()),
        key=lambda row: (row[1] is None, row[1] or 0.0, row[0], row[3]),
    )
    return Table(
        f"{dataset}-published",
        f"{title}: published",
        ("method", "MAE", "RMSE", "source"),
        tuple((words(method), _printed(mae), _printed(rmse), words(source)) for method, mae, rmse, source in rows),
        ("as printed, each under its own training, data and tricks; the same method may differ from paper to paper",),
        LEFT,
    )


def _printed(value: float | None) -> Cell:
    return Cell() if value is None else Cell(f"{value:g}", value)
