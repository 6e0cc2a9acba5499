"""What papers print beside a row: their numbers of its method, how far they are from it, and when that is suspicious."""

from __future__ import annotations

from collections.abc import Iterable

from harness.reporting.published import PublishedValue, decimals, half_a_unit
from harness.reporting.rows import Comparison, Row
from harness.reporting.tables import Cell, number

GAP = "published − measured"
TOO_GOOD = 0.9  # a whole interval below this share of the published MAE is suspicious


def published_of(values: Iterable[PublishedValue], method: str, dataset: str, metric: str) -> list[float]:
    """The different values that papers print for one method and benchmark, without those that are others rounded."""
    wanted = (method, dataset, metric, "", "")
    found = {v.value for v in values if (v.method, v.dataset, v.metric, v.scene, v.category) == wanted}
    return sorted(value for value in found if not any(_rounded(value, other) for other in found))


def _rounded(value: float, other: float) -> bool:
    return decimals(value) < decimals(other) and abs(value - other) <= half_a_unit(decimals(value))


def too_good(row: Row, dataset: str, values: list[PublishedValue]) -> bool:
    """Whether a row is far better than its paper: in this field a leak, a scaling bug, or a choice on the test set."""
    found = published_of(values, row.method, dataset, "mae")
    return bool(found and row.mae and row.mae.high < TOO_GOOD * min(found))


def gap(row: Row, published: list[float], digits: int = 1) -> Cell:
    """What papers print (the lowest, where they disagree) less the row's MAE: below zero where the row is worse."""
    return number(published[0] - row.mae.value, digits, sign=True) if row.mae and published else Cell()


def shown(comparison: Comparison, value: PublishedValue) -> bool:
    return value.metric in ("mae", "rmse") and any(row.method == value.method for row in comparison.rows)
