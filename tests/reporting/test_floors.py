"""The constants under a table: the mean and the median of the training counts, by fold."""

from __future__ import annotations

import numpy as np
import pytest
from made_records import drawn, make_record

from harness.reporting.comparison import comparison_table, row_title
from harness.reporting.floors import floors
from harness.reporting.rows import comparisons


def test_both_constants_against_numpy() -> None:
    true = np.array([10.0, 20, 30, 400])
    record = make_record(true=tuple(true), predicted=tuple(true), train_median=20.0)
    mean, median = floors([record])
    assert (mean.of, median.of) == ("mean", "median")
    for floor, value in ((mean, 25.0), (median, 20.0)):
        assert floor.mae.value == pytest.approx(np.abs(value - true).mean())
        assert floor.rmse.value == pytest.approx(np.sqrt(np.mean((value - true) ** 2)))


def test_a_row_must_beat_the_lower_of_them() -> None:
    """Errors of 14, 4 and 4 are clearly better than the 15, 5 and 5 of the mean (25), not than the median's 10, 0 and 10."""
    ((row,),) = (table.rows for table in comparisons([make_record(predicted=(24, 24, 34))]))
    assert row_title(row) == "MCNN"
    ((row,),) = (table.rows for table in comparisons([make_record(predicted=(24, 24, 34), train_median=20.0)]))
    assert row_title(row) == "MCNN (not better than the floor)"
    assert row.over_floor is not None and row.over_floor.value == pytest.approx((4 + 4 - 6) / 3)


def test_constants_are_those_of_the_folds() -> None:
    records = [drawn("mcnn", 20, fold=fold, folds=2, train_median=10.0 * (fold + 1)) for fold in (0, 1)]
    _, median = floors(records)
    errors = [
        np.mean([abs(10 * (record.fold + 1) - image.true) for image in record.results.per_image])  # type: ignore[union-attr]
        for record in records
    ]
    assert median.mae.value == pytest.approx(np.mean(errors))


def test_of_records_without_a_median_the_mean_stands_alone() -> None:
    """Older records have none. One that has lends it to the rest, which trained on the same images, within its fold."""
    old, new = make_record(), make_record("csrnet", train_median=20.0)
    assert [floor.of for floor in floors([old])] == ["mean"]
    assert [floor.of for floor in floors([old, new])] == ["mean", "median"]
    folds = [drawn("mcnn", 20, fold=0, folds=2, train_median=10.0), drawn("mcnn", 20, fold=1, folds=2)]
    assert [floor.of for floor in floors(folds)] == ["mean"]
    assert floors([make_record(status="failed")]) == ()
    text = comparison_table(comparisons([old, new])[0], []).markdown()
    mean, median = (text.index(f"always the {of} of the training counts") for of in ("mean", "median"))
    assert median < mean, "the median of 20 has a MAE of 6.7 on 10, 20 and 30, the mean of 25 one of 8.3"
