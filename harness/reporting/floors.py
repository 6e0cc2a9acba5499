"""What predicting one number for every image scores: the least that a row has to beat."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness import metrics
from harness.reporting.strata import Stratum, strata
from harness.reporting.tables import Score
from harness.runs.records import Record

DIFFERENCE = metrics.ImageMean(lambda first, second: second - first)
MEAN, MEDIAN = "mean", "median"


@dataclass(frozen=True)
class Floor:
    """The scores of a constant: the `of` ("mean" or "median") of the training counts, `by_fold` where there are folds.

    No constant has a lower RMSE on the images it is made of than their mean, none a lower MAE than their median; where counts
    are skewed, as in most benchmarks, the mean is an easy thing to beat in MAE.
    """

    of: str
    by_fold: Mapping[int, float]
    mae: Score
    rmse: Score


def floors(records: Iterable[Record], alike: int = 1) -> tuple[Floor, ...]:
    """The mean's and the median's, of the finished ones of `records`; the median's only where each fold has a record of it."""
    finished = sorted((record for record in records if record.status == "ok"), key=lambda record: record.name)
    one_a_fold = {record.fold: record for record in finished}
    drawn = strata(list(one_a_fold.values()), alike)
    found = []
    for of in (MEAN, MEDIAN):
        by_fold = {record.fold: value for record in finished if (value := _constant(record, of)) is not None}
        if drawn and by_fold.keys() == one_a_fold.keys():
            groups = [(stratum.true, np.full_like(stratum.true, by_fold[stratum.fold])) for stratum in drawn]
            found.append(Floor(of, by_fold, score(groups, metrics.MAE, alike), score(groups, metrics.RMSE, alike)))
    return tuple(found)


def over(floors: Sequence[Floor], drawn: Sequence[Stratum]) -> Score | None:
    """The MAE of a row less that of the floor whose MAE is the lowest, image by image; None without a floor or images."""
    if not floors or not drawn:
        return None
    lowest = min(floors, key=lambda floor: floor.mae.value)
    errors = [(np.abs(lowest.by_fold[one.fold] - one.true), np.abs(one.predicted - one.true)) for one in drawn]
    return score(errors, DIFFERENCE, drawn[0].alike)


def score(groups: Sequence[metrics.Group], metric: metrics.ImageMean, alike: int = 1) -> Score:
    """`metric` averaged over runs (folds, seeds), with its interval: images drawn within each of `groups`, `alike` at once."""
    low, high = metrics.bootstrap_interval(groups, metric, alike=alike)
    return Score(metrics.grouped_mean(groups, metric), low, high)


def _constant(record: Record, of: str) -> float | None:
    assert record.data is not None
    return record.data.train_mean if of == MEAN else record.data.train_median
