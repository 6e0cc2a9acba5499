"""The table of what papers print of one benchmark."""

from __future__ import annotations

from collections.abc import Mapping

from harness.method import Method
from harness.reporting.comparison import LEFT
from harness.reporting.published import PublishedValue
from harness.reporting.tables import Cell, Table, words

SHOWN = ("mae", "rmse", "mse")
SQUARED = "MSE, squared"
AS_PRINTED = "as printed, each under its own training, data and tricks; the same method may differ from paper to paper"
NOT_ROOTED = (
    f"{SQUARED}: printed as MSE beside RMSEs, and by its size no root was taken of it: it is more than twice the MAE, which no "
    f"RMSE of usual errors is, and its root is not"
)


def published_table(
    dataset: str, title: str, values: list[PublishedValue], methods: Mapping[str, Method] | None = None
) -> Table | None:
    """Every method that the papers' tables have on one benchmark, ablations left out; None where there is nothing.

    Papers that print the same of a method share a row. `methods` are those of plugins by name, whose titles are shown.
    """
    lines: dict[tuple[str, str], dict[str, float]] = {}
    for value in values:
        whole = not value.scene and not value.category and "[" not in value.method
        if value.dataset == dataset and value.metric in SHOWN and whole:
            lines.setdefault((value.method, f"{value.paper}, {value.table}"), {})[value.metric] = value.value
    if not lines:
        return None
    sources: dict[tuple[str, float | None, float | None, float | None], list[str]] = {}
    for (name, source), found in lines.items():
        known = (methods or {}).get(name)
        printed = (found.get(metric) for metric in SHOWN)
        sources.setdefault((known.title if known else name, *printed), []).append(source)  # type: ignore[arg-type]
    rows = sorted(
        ((*key, "; ".join(sorted(found))) for key, found in sources.items()),
        key=lambda row: (row[1] is None, row[1] or 0.0, row[0], row[-1]),
    )
    return Table(
        f"{dataset}-published",
        f"{title}: published",
        ("method", "MAE", "RMSE", SQUARED, "source"),
        tuple((words(method), *map(_printed, found), words(source)) for method, *found, source in rows),
        (AS_PRINTED, *((NOT_ROOTED,) if any(row[3] is not None for row in rows) else ())),
        LEFT,
    )


def _printed(value: float | None) -> Cell:
    return Cell() if value is None else Cell(f"{value:g}", value)
