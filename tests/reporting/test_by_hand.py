"""Cells of tables that were reckoned by hand: two papers that disagree, folds of unequal size, methods that tie."""

from __future__ import annotations

import pytest
from made_records import column, make_record

from harness.reporting.comparison import comparison_table
from harness.reporting.groups import group_tables
from harness.reporting.overall import BENCHMARKS, overall_tables
from harness.reporting.published import PublishedValue
from harness.reporting.rows import comparisons


def test_of_two_papers_that_disagree_the_first_is_the_gap_and_the_lower_the_suspicion() -> None:
    values = [PublishedValue(paper, "T", "mcnn", "synth", "mae", value) for paper, value in (("a", 2.0), ("b", 40.0))]
    record = make_record(true=(100, 200, 300), predicted=(105, 205, 305))  # MAE 5, whichever images are drawn
    table = comparison_table(comparisons([record])[0], values)
    assert column(table, "published − measured")["MCNN"].value == pytest.approx(-3.0)
    assert "FAR BETTER" not in table.markdown()


def test_game_of_folds_of_different_sizes_is_the_mean_over_images() -> None:
    one = make_record(true=(10, 20), predicted=(12, 22), fold=0, folds=2)
    two = make_record(true=(10, 20, 30, 40, 50, 60), predicted=(20, 30, 40, 50, 60, 70), fold=1, folds=2)
    table = group_tables(comparisons([one, two])[0], [])[0]
    assert column(table, "GAME(0)")["MCNN"].value == pytest.approx((2 * 2 + 6 * 10) / 8)


def test_methods_that_tie_share_their_ranks() -> None:
    found = [make_record(method, dataset=dataset) for method in ("mcnn", "csrnet") for dataset in BENCHMARKS]
    table = overall_tables(comparisons(found))[0]
    assert {cell.value for cell in column(table, "mean rank").values()} == {1.5}
