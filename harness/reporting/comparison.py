"""One benchmark's comparison table: measured beside published, the floor under them, the protocol in the caption."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence

from harness.method import Method
from harness.metrics import Metric
from harness.reporting import extra, trained
from harness.reporting.asked import in_name
from harness.reporting.beside import GAP, gap, published_of, too_good
from harness.reporting.captions import caption
from harness.reporting.published import PublishedValue
from harness.reporting.rows import Comparison, Row, TableKey
from harness.reporting.tables import Cell, Table, mark, number, printed, scored, signed, words
from harness.run import ORACLE

ON_TEST = ", CHECKPOINT CHOSEN ON THE TEST SET"
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
    trained.LOOKS,
    "runs",
    "seeds",
    trained.MINUTES,
    "pretrained",
    "precision",
    "device",
)
FURTHER = HEADERS.index(trained.CHECKPOINT)  # before it stand the metrics of plugins
COMPACT = ("method", "result", "MAE", "RMSE", "published MAE", "runs", trained.MINUTES)
IMPORTANT = (
    *("method", "MAE", trained.SHARE, GAP, "published MAE", "RMSE", "pretrained"),
    *("behind the best", "published RMSE", "runs"),
)
SETTINGS = frozenset({trained.LOOKS, "runs", "seeds", "pretrained", "precision", "device"})
LEFT = frozenset({"method", "pretrained", "precision", "device", "source"})
TOLD = {
    "MAE": "mean absolute error of the count, in heads, and its 95 % interval over test images",
    "RMSE": "root of the mean squared error of the count, in heads; papers print it as MSE",
    "behind the best": "MAE less that of the first row, image by image",
    "published MAE": "what papers print of the method, trained their way",
    "published RMSE": "what papers print of the method as MSE",
    GAP: "of the MAE: below zero where the paper's is better",
    trained.SHARE: "crops trained on ÷ crops that the paper's recipe asks for",
    trained.CHECKPOINT: "the epoch whose weights were tested, of all that were trained",
    trained.LOOKS: "epochs after which the images that choose the checkpoint were counted",
    trained.MINUTES: "the median epoch times their number, without validation and test",
    "pretrained": "the weights that a network begins from",
}
FLOOR = "*always the {of} of the training counts (floor)*"


def table_name(key: TableKey, kind: str) -> str:
    """ "shtech_a-common-quick" with the kind behind it; unique among the tables of one fingerprint of the data."""
    oracle = ORACLE if key.select == ORACLE else ""
    images = f"images-{key.tested + 1}" if key.tested else ""
    return "-".join(filter(None, (key.dataset, in_name(key.recipe), in_name(key.budget), oracle, images, kind)))


def section_of(key: TableKey) -> str:
    """The comparison a table belongs to, as an anchor of the page."""
    return f"{table_name(key, '')}-{key.fingerprint[:6]}"


def title_of(comparison: Comparison) -> str:
    key = comparison.key
    title = f"{comparison.records[0].dataset_title}: budget {key.budget}, recipe {key.recipe}"
    title += ", ON OTHER TEST IMAGES" if key.tested else ""
    return title + (ON_TEST if key.select == ORACLE else "")


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
    digits = comparison.digits
    rows = []
    for row in comparison.rows:
        line = _cells(row, comparison, values, methods or {}, digits)
        rows.append([*line[:FURTHER], *extra.cells(row, further), *line[FURTHER:]])
    mark_complete(rows, comparison.rows, (1, 2))
    for floor in sorted(comparison.floors, key=lambda floor: floor.mae.value):
        under = [words(FLOOR.format(of=floor.of)), scored(floor.mae, digits), scored(floor.rmse, digits)]
        rows.append(under + [Cell()] * (len(headers) - len(under)))
    return Table(
        table_name(comparison.key, ""),
        title_of(comparison),
        headers,
        tuple(tuple(row) for row in rows),
        tuple(caption(comparison, values, methods or {})),
        LEFT,
        section_of(comparison.key),
        IMPORTANT,
        SETTINGS,
        TOLD,
    )


def mark_complete(lines: Sequence[list[Cell]], rows: Sequence[Row], columns: Iterable[int]) -> None:
    """Marks the best of each of `columns` among the lines of those of `rows` that have all their folds and seeds, in place."""
    mark([line for line, row in zip(lines, rows, strict=True) if not row.missing], columns)


def row_title(row: Row) -> str:
    """The row's method with what must be known about it."""
    title = row.title
    if row.over_floor and row.over_floor.high >= 0:
        title += " (not better than the floor)" if row.over_floor.value >= 0 else " (not clearly better than the floor)"
    if row.missing:
        title += f" ({row.missing})"
    return title


def _cells(
    row: Row, comparison: Comparison, values: list[PublishedValue], methods: Mapping[str, Method], digits: int
) -> list[Cell]:
    dataset = comparison.key.dataset
    title = row_title(row)
    if too_good(row, dataset, values):
        title += " (FAR BETTER THAN ITS PAPER: look for a leak)"
    found = [published_of(values, row.method, dataset, metric) for metric in ("mae", "rmse")]
    head = [
        words(title, row.title),
        *(scored(score, digits) for score in (row.mae, row.rmse)),
        signed(row.behind, digits),
        *map(printed, found),
    ]
    head += [gap(row, found[0], digits), trained.as_cell(trained.share(row, methods))]
    return [*head, words(trained.chosen(row)), words(trained.looks(row)), *training_cells(row)]


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
