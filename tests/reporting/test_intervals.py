"""Intervals of records: images are drawn, the same for every seed; folds and scenes apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from made_records import copies, drawn, make_record, with_groups

from harness import metrics
from harness.host.plugins import load_host
from harness.reporting.comparison import comparison_table
from harness.reporting.published import PublishedValue
from harness.reporting.rows import comparisons, paired
from harness.reporting.strata import strata
from harness.runs.records import Record

SCENES = [{"scene": f"S{n % 3}"} for n in range(40)]


def test_a_paired_difference_is_of_the_same_images_only() -> None:
    first, second = make_record("mcnn"), make_record("csrnet", predicted=(10, 10, 10))
    score = paired(strata([first]), strata([second]))
    errors = np.array([0, 10, 20]) - np.array([2, 1, 0])
    assert score is not None and score.value == pytest.approx(errors.mean())
    assert errors.min() <= score.low <= score.value <= score.high <= errors.max()
    assert paired(strata([first]), strata([make_record("csrnet", true=(1, 2), predicted=(1, 2))])) is None
    assert paired(strata([first]), ()) is None


def test_bootstrap_against_a_plain_loop() -> None:
    generator = np.random.default_rng(5)
    true, predicted = generator.uniform(0, 100, 60), generator.uniform(0, 100, 60)
    draws = []
    for _ in range(4000):
        rows = generator.integers(0, 60, 60)
        draws.append(np.sqrt(np.mean((true[rows] - predicted[rows]) ** 2)))
    found = metrics.bootstrap_interval([(true, predicted)], metrics.RMSE)
    assert found == pytest.approx(np.percentile(draws, [2.5, 97.5]), rel=0.03)


def test_blocks_of_alike_images_against_a_plain_loop() -> None:
    """Errors of a video: what a frame's is, its neighbours' are nearly. Drawn one by one the interval is too narrow."""
    generator = np.random.default_rng(6)
    errors = np.repeat(generator.exponential(10, 12), 10) + generator.uniform(0, 1, 120)
    group = (np.zeros(120), errors)
    draws = []
    for _ in range(4000):
        starts = generator.integers(0, 120, 12)
        draws.append(np.mean([errors[(start + n) % 120] for start in starts for n in range(10)]))
    found = metrics.bootstrap_interval([group], metrics.MAE, alike=10)
    assert found == pytest.approx(np.percentile(draws, [2.5, 97.5]), rel=0.03)
    one_by_one = metrics.bootstrap_interval([group], metrics.MAE)
    assert found[1] - found[0] > 2 * (one_by_one[1] - one_by_one[0])


def test_a_block_is_at_most_a_quarter_of_the_images() -> None:
    group = (np.zeros(10), np.arange(10.0))
    assert metrics.bootstrap_interval([group], metrics.MAE, alike=100) == metrics.bootstrap_interval(
        [group], metrics.MAE, alike=2
    )
    two = [(np.zeros(2), np.arange(2.0))]
    assert (
        metrics.bootstrap_interval(two, metrics.MAE, alike=100)
        == metrics.bootstrap_interval(two, metrics.MAE)
        == (0, 1)
    )


def test_tables_of_a_video_have_wider_intervals_and_say_why() -> None:
    """Rows, floors and differences alike."""
    benchmarks = load_host().benchmarks
    records = [drawn("mcnn", 20, 400, dataset="mall"), drawn("csrnet", 24, 400, dataset="mall")]
    (plain,), (video,) = comparisons(records), comparisons(records, benchmarks=benchmarks)
    assert {stratum.alike for row in video.rows for stratum in row.strata} == {100}
    for one, other in zip((*plain.rows, *plain.floors), (*video.rows, *video.floors), strict=True):
        assert one.mae.value == other.mae.value and one.mae != other.mae and one.rmse != other.rmse  # type: ignore[union-attr]
    assert plain.rows[1].behind != video.rows[1].behind and plain.rows[0].over_floor != video.rows[0].over_floor
    notes = [" ".join(comparison_table(found, []).notes) for found in (plain, video)]
    assert ["frames of video" in text for text in notes] == [False, True]


def test_frames_of_both_videos_are_alike_and_photographs_are_not() -> None:
    """Mall and UCSD are films of one camera each; drawn frame by frame their intervals would be far too narrow."""
    alike = {name: benchmark.alike for name, benchmark in load_host().benchmarks.items()}
    assert {name: number for name, number in alike.items() if number > 1} == {"mall": 100, "ucsd": 100}


@pytest.mark.parametrize("kind", ["one test set", "folds", "scenes"])
def test_copies_of_runs_leave_every_interval_exactly_as_it_is(kind: str) -> None:
    folds = 3 if kind == "folds" else 0

    def runs(seeds: int) -> list[Record]:
        found = []
        for fold in range(max(1, folds)):
            for method, noise in (("mcnn", 20.0), ("csrnet", 24.0)):
                record = drawn(method, noise, fold=fold, folds=folds)
                record = with_groups(record, SCENES, mean_of="scene") if kind == "scenes" else record
                found += copies(record, seeds)
        return found

    (once,), (five,) = comparisons(runs(1)), comparisons(runs(5))
    assert [len(row.records) for row in five.rows] == [5 * max(1, folds)] * 2
    assert five.floors == once.floors
    for one, other in zip(once.rows, five.rows, strict=True):
        assert (other.method, other.mae, other.rmse) == (one.method, one.mae, one.rmse)
        assert (other.over_floor, other.behind) == (one.over_floor, one.behind)
        assert one.mae is not None and one.mae.high > one.mae.low


def test_seeds_are_averaged_before_images_are_drawn() -> None:
    """What a table prints is the mean over seeds of each seed's score; its interval against a plain loop."""
    records_ = [drawn("mcnn", 20, seed=seed) for seed in range(3)]
    (row,) = comparisons(records_)[0].rows
    assert row.mae is not None and row.rmse is not None and row.over_floor is not None
    assert row.mae.value == pytest.approx(np.mean([record.results.mae for record in records_]))  # type: ignore[union-attr]
    assert row.rmse.value == pytest.approx(np.mean([record.results.rmse for record in records_]))  # type: ignore[union-attr]
    both = np.array([[(i.true, i.predicted) for i in record.results.per_image] for record in records_])  # type: ignore[union-attr]
    errors, floor = np.abs(both[..., 1] - both[..., 0]), np.abs(25.0 - both[..., 0])
    generator, mae, rmse, over = np.random.default_rng(1), [], [], []
    for _ in range(4000):
        rows = generator.integers(0, 40, 40)
        mae.append(errors[:, rows].mean())
        rmse.append(np.sqrt((errors[:, rows] ** 2).mean(axis=1)).mean())
        over.append((errors - floor)[:, rows].mean())
    for found, draws in ((row.mae, mae), (row.rmse, rmse), (row.over_floor, over)):
        assert (found.low, found.high) == pytest.approx(np.percentile(draws, [2.5, 97.5]), abs=0.06 * np.std(draws) * 4)


def test_the_order_of_images_in_a_record_changes_nothing() -> None:
    first, second = drawn("mcnn", 20), drawn("mcnn", 20, seed=1)
    (expected,) = comparisons([first, second])[0].rows
    for some in ([turned(first), second], [first, turned(second)], [turned(first), turned(second)]):
        (row,) = comparisons(some)[0].rows
        assert (row.mae, row.rmse, row.over_floor) == (expected.mae, expected.rmse, expected.over_floor)
        assert paired(strata(some[:1]), strata(some[1:])) == paired(strata([first]), strata([second]))


def turned(record: Record) -> Record:
    """The record with its images from the last to the first."""
    content = record.model_dump()
    content["results"]["per_image"].reverse()
    return Record.model_validate(content)


def test_runs_on_other_test_images_are_in_another_table() -> None:
    """The same files, the test set cut otherwise: the folds of a run stay together, and nothing is averaged over both."""

    def both_folds(images: int, **changes: Any) -> list[Record]:
        return [drawn("mcnn", 20, images, fold=fold, folds=2, **changes) for fold in (0, 1)]

    whole, cut = both_folds(40, available=40), both_folds(12, seed=1, available=40)
    failed = make_record("csrnet", status="failed", fold=0, folds=2)
    found = comparisons([*cut, failed, *whole])
    assert [[record.name for record in table.rows[0].records] for table in found] == [
        sorted(record.name for record in part) for part in (whole, cut)
    ]
    assert [len(table.rows) for table in found] == [2, 1]
    tables = [comparison_table(table, []) for table in found]
    assert [table.title.endswith(", ON OTHER TEST IMAGES") for table in tables] == [False, True]
    assert "measured on 12 of 40 test images" in tables[1].notes and len({table.name for table in tables}) == 2
    assert len({table.section for table in tables}) == 2
    with pytest.raises(ValueError, match="was tested on other images"):
        strata([*whole, *cut])


def test_far_better_than_the_paper_is_flagged_however_often_it_is_copied() -> None:
    """The interval ends above the suspicious share of the published MAE: five copies are no more evidence than one."""
    record = drawn("mcnn", 110, dataset="shtech_a")
    (row,) = comparisons([record])[0].rows
    assert row.mae is not None and row.mae.value < row.mae.high
    value = PublishedValue("A paper", "T", "mcnn", "shtech_a", "mae", row.mae.high / 0.9 - 0.01)
    for runs in ([record], copies(record, 5)):
        assert "FAR BETTER" not in comparison_table(comparisons(runs)[0], [value]).markdown()
