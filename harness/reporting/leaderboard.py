"""Comparison tables in markdown: measured beside published, the floor under them, the protocol in the caption."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from tabulate import tabulate

from harness import published
from harness.budgets import BUDGETS
from harness.plugins import Host
from harness.published import PublishedValue
from harness.records import Record, Unreadable
from harness.reporting.rows import Comparison, Row, Score, comparisons

HEADERS = (
    "method",
    "MAE",
    "RMSE",
    "published MAE",
    "published RMSE",
    "runs",
    "ms/image",
    "train min",
    "M params",
    "MB",
    "pretrained",
    "precision",
    "device",
)
COMPACT = (0, 1, 2, 3, 5, 6)  # the columns that fit on a terminal
_ALIGN = ("left", *["right"] * 9, "left", "left", "left")
MISSING = "–"


def leaderboard(records: Sequence[Record], unreadable: Sequence[Unreadable], host: Host) -> str:
    """The whole of LEADERBOARD.md. The same records give the same bytes."""
    parts = [
        "# Leaderboard",
        "Made by `harness report` from the records of real runs; not edited by hand. MAE and RMSE (the root of the mean "
        "squared count error, which this field's papers print as “MSE”) are in heads, lower is better, with 95 % bootstrap "
        "intervals over test images in brackets. Rows are comparable within a table and not across tables.",
    ]
    if not records:
        parts.append(
            "There are no records yet. Make some: `harness bench --methods all --datasets synth --budget smoke`."
        )
    else:
        parts.append(comparison(records, host, level=2))
    if unreadable:
        parts.append("## Records that could not be read")
        parts.append("\n".join(f"- `{item.path.parent.name}`: {item.reason}" for item in unreadable))
    return "\n\n".join(parts)


def comparison(records: Iterable[Record], host: Host, level: int = 2, compact: bool = False) -> str:
    """One table for each dataset, recipe, budget and way of selection among `records`, as markdown.

    `compact` leaves out the columns that a terminal has no room for.
    """
    values = published.gather(host)
    return "\n\n".join(_table(table, values, level, compact) for table in comparisons(records))


def _table(table: Comparison, values: list[PublishedValue], level: int, compact: bool) -> str:
    first = table.records[0]
    heading = f"{'#' * level} {first.dataset_title}: budget {table.key.budget}, recipe {table.key.recipe}"
    if table.key.select == "test-oracle":
        heading += ", CHECKPOINT CHOSEN ON THE TEST SET"
    rows = [_cells(row, table, values) for row in table.rows]
    if table.floor:
        floor = ["*mean of the training counts (floor)*", _score(table.floor[0]), _score(table.floor[1])]
        rows.append(floor + [MISSING] * (len(HEADERS) - len(floor)))
    columns = COMPACT if compact else range(len(HEADERS))
    headers, align, *rows = [[line[column] for column in columns] for line in (HEADERS, _ALIGN, *rows)]
    grid = tabulate(rows, headers=headers, tablefmt="pipe", colalign=align, disable_numparse=True)
    return "\n\n".join([heading, grid, "\n".join(f"- {line}" for line in _caption(table, values))])


def _cells(row: Row, table: Comparison, values: list[PublishedValue]) -> list[str]:
    title = row.title
    if row.over_floor and row.over_floor.high >= 0:
        title += " (not better than the floor)" if row.over_floor.value >= 0 else " (not clearly better than the floor)"
    if row.missing:
        title += f" ({row.missing})"
    numbers = [_published(values, row.method, table.key.dataset, metric) for metric in ("mae", "rmse")]
    head = [title, _score(row.mae), _score(row.rmse), *numbers]
    some = (row.records or row.failures)[0]
    tail = [some.pretrained, some.precision]
    if not row.records:
        return [*head, some.status, *[MISSING] * 4, *tail, MISSING]
    seconds = [image.seconds for record in row.records for image in record.results.per_image]  # type: ignore[union-attr]
    minutes = statistics.fmean(record.training.seconds for record in row.records) / 60  # type: ignore[union-attr]
    model = row.records[0].model
    assert model is not None
    devices = sorted({f"{record.environment['device']}, {record.environment['backend']}" for record in row.records})
    return [
        *head,
        str(len(row.records)),
        f"{1000 * statistics.median(seconds):.0f}",
        f"{minutes:.1f}",
        f"{model.inference_parameters / 1e6:.2f}",
        f"{model.inference_megabytes:.1f}",
        *tail,
        "; ".join(devices),
    ]


def _score(score: Score | None) -> str:
    return MISSING if score is None else f"{score.value:.1f} [{score.low:.1f}, {score.high:.1f}]"


def _published(values: list[PublishedValue], method: str, dataset: str, metric: str) -> str:
    wanted = (method, dataset, metric, "")
    found = sorted({v.value for v in values if (v.method, v.dataset, v.metric, v.scene) == wanted})
    return " / ".join(f"{value:g}" for value in found) or MISSING


def _caption(table: Comparison, values: list[PublishedValue]) -> list[str]:
    first, key = table.records[0], table.key
    finished = [record for record in table.records if record.status == "ok"]
    budget = BUDGETS.get(key.budget)
    lines = [
        budget.describe() if budget else f"budget {key.budget}",
        _recipe(finished or list(table.records)),
    ]
    if key.select == "test-oracle":
        lines.append(
            "the checkpoint was chosen by its error on the test set, as many papers did: these numbers are too good, and are "
            "never mixed with others"
        )
    else:
        lines.append("the checkpoint was chosen on images held out of training; the test images were looked at once")
    if first.folds:
        lines.append(
            f"{first.folds}-fold cross-validation; MAE and RMSE are means over folds{' and seeds' if _seeds(table) > 1 else ''}"
        )
    elif _seeds(table) > 1:
        lines.append(f"means over {_seeds(table)} seeds")
    if finished:
        lines += _data(finished)
    sources = sorted({f"{v.paper}, {v.table}" for v in values if v.dataset == key.dataset and _shown(table, v)})
    if sources:
        lines.append(f"published numbers (their own training and budget): {'; '.join(sources)}")
    lines.append(
        "clearly better than the floor: the 95 % interval of the difference of absolute errors, image by image, is below zero"
    )
    lines.append("ms/image: median forward pass over the test images, whole, one at a time; train min: mean of a run")
    for record in table.records:
        if record.status != "ok":
            message = " ⏎ ".join(line.strip().replace("|", "¦") for line in record.message.splitlines())
            lines.append(f"**{record.status}**: {record.name}: {message or 'no message'}")
    return lines


def _recipe(records: list[Record]) -> str:
    """The schedule in words, from the identity of the runs; methods' own recipes differ and are in their records."""
    recipe = records[0].identity["recipe"]
    if recipe["name"] != "common":
        return "recipe paper: each method as its paper trained it, within the budget"
    stage = recipe["stages"][0]
    return (
        f"recipe common: the same for all – {stage['optimizer']}, learning rate {stage['learning_rate']:g} ({stage['decay']}), "
        f"random crops, flips, density maps of fixed sigma {recipe['sigma']['pixels']:g} px"
    )


def _data(finished: list[Record]) -> list[str]:
    data = finished[0].data
    assert data is not None
    lines = [f"data fingerprint {data.fingerprint}"]
    if data.test_images < data.test_images_available:
        lines.append(f"measured on {data.test_images} of {data.test_images_available} test images")
    lines += [f"**not the authors' own files**: {departure}" for departure in data.departures]
    return lines


def _shown(table: Comparison, value: PublishedValue) -> bool:
    return value.metric in ("mae", "rmse") and any(row.method == value.method for row in table.rows)


def _seeds(table: Comparison) -> int:
    return len({record.seed for record in table.records})
