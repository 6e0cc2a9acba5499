"""Where the papers' printed numbers contradict one another, or themselves. Nothing is corrected."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from harness.reporting.published import PublishedValue, decimals, half_a_unit

AVERAGE = "average"
ROUNDING = (
    0.051  # scenes and their average are printed with one decimal: half a unit each, and the last digit of floats
)


@dataclass(frozen=True)
class Conflict:
    """Several values for one quantity, an average that is not the mean of its parts, or an RMSE below its MAE.

    Attributes:
        kind: "disagreement", "rounding" (a disagreement that is gone with the fewest printed decimals), "average", or
            "impossible" (no errors have a root mean square below their mean).
        where: method, dataset, scene or category, metric.
        values: (value, who printed it).
    """

    kind: str
    where: str
    values: tuple[tuple[float, str], ...]


def conflicts(values: Iterable[PublishedValue]) -> list[Conflict]:
    """Every conflict among `values`, in a fixed order."""
    values = list(values)
    return _disagreements(values) + _averages(values) + _impossible(values)


def _disagreements(values: list[PublishedValue]) -> list[Conflict]:
    groups: dict[tuple[str, ...], list[tuple[float, str]]] = defaultdict(list)
    for value in values:
        if value.metric != "seconds":  # times are of other machines, and no contradiction
            groups[value.method, value.dataset, value.scene + value.category, value.metric].append(
                (value.value, f"{value.paper}, {value.table}")
            )
    return [
        Conflict(_kind({value for value, _ in found}), " ".join(filter(None, key)), tuple(sorted(set(found))))
        for key, found in sorted(groups.items())
        if len({value for value, _ in found}) > 1
    ]


def _kind(values: set[float]) -> str:
    fewest = min(map(decimals, values))
    return "rounding" if max(values) - min(values) <= half_a_unit(fewest) else "disagreement"


def _averages(values: list[PublishedValue]) -> list[Conflict]:
    groups: dict[tuple[str, str, str, str], dict[str, float]] = defaultdict(dict)
    for value in values:
        if value.scene:
            groups[value.paper, value.table, value.method, value.dataset][value.scene] = value.value
    found = []
    for (paper, table, method, dataset), scenes in sorted(groups.items()):
        parts = [value for scene, value in scenes.items() if scene != AVERAGE]
        if AVERAGE not in scenes or not parts:
            continue
        mean = sum(parts) / len(parts)
        if abs(mean - scenes[AVERAGE]) > 2 * ROUNDING:
            printed = (scenes[AVERAGE], f"printed by {paper}, {table}")
            found.append(
                Conflict("average", f"{method} {dataset}", (printed, (round(mean, 3), "mean of the printed scenes")))
            )
    return found


def _impossible(values: list[PublishedValue]) -> list[Conflict]:
    pairs: dict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
    for value in values:
        key = (value.method, value.dataset, value.scene + value.category, f"{value.paper}, {value.table}")
        if value.metric in ("mae", "rmse"):
            pairs[key][value.metric] = value.value
    return [
        Conflict(
            "impossible",
            " ".join(filter(None, key[:3])),
            ((both["rmse"], f"RMSE below the MAE {both['mae']:g}, {key[3]}"),),
        )
        for key, both in sorted(pairs.items())
        if both.get("rmse", both.get("mae", 0.0)) < both.get("mae", 0.0)
    ]
