"""Tables while a bench is under way: folds and seeds that are not there yet mislead nobody."""

from __future__ import annotations

from made_records import column, drawn, make_record

from harness.host.plugins import load_host
from harness.reporting import graphs
from harness.reporting.comparison import comparison_table
from harness.reporting.groups import group_tables
from harness.reporting.html import page
from harness.reporting.leaderboard import all_tables
from harness.reporting.rows import comparisons
from harness.runs.records import Record


def folded(method: str, fold: int, error: float, **changes: object) -> Record:
    true = (10.0, 20, 30, 40) if fold == 0 else (100.0, 200, 300, 400)
    return make_record(method, true, tuple(t + error for t in true), fold=fold, folds=2, **changes)


def test_a_row_without_all_its_folds_is_best_in_nothing() -> None:
    """It finished the easy fold alone."""
    (found,) = comparisons([folded("mcnn", 0, 3), folded("mcnn", 1, 5), folded("csrnet", 0, 1)])
    tables = [comparison_table(found, []), *group_tables(found, [])]
    for table in tables:
        for row in table.rows:
            if "CSRNET" in row[0].text:
                assert not any(cell.rank for cell in row), table.title


def test_groups_are_of_every_image_that_some_row_has() -> None:
    """Two rows of one fold each, and not the same: the second's images were in no group."""
    (found,) = comparisons([folded("mcnn", 0, 3), folded("csrnet", 1, 5)])
    (table,) = group_tables(found, [])
    groups = [header for header in table.headers if header.endswith(" heads")]
    assert groups[0].startswith("10–") and groups[-1] == "300–400 heads"
    assert table.notes[0].startswith("MAE by true count: 7 images low (≤ 300), 1 images middle (≤ 700)")
    assert column(table, groups[-1])["CSRNET"].value == 5


def test_the_images_of_several_seeds_are_counted_once() -> None:
    (found,) = comparisons([make_record(seed=seed) for seed in range(3)])
    (table,) = group_tables(found, [])
    assert table.notes[0] == "MAE of all runs together by true count: 3 groups of about equal size of 3 images"
    assert not any("low" in header for header in table.headers), "all images are of one level"


def test_groups_of_fractions_have_names_of_their_own() -> None:
    (found,) = comparisons([make_record(true=(0.2, 0.4, 0.7, 1.3), predicted=(0, 0, 0, 0))])
    (table,) = group_tables(found, [])
    names = [header for header in table.headers if header.endswith(" heads")]
    assert names == ["0.2–0.2 heads", "0.4–0.4 heads", "0.7–0.7 heads", "1.3–1.3 heads"]


def test_seeds_are_those_of_finished_rows() -> None:
    def told(*records: Record) -> str:
        return comparison_table(comparisons(records)[0], []).notes[2]

    failed = make_record("csrnet", seed=1, status="failed")
    for records in ([make_record(), make_record("csrnet"), failed], [make_record(), make_record("csrnet", seed=1)]):
        assert told(*records).startswith("one seed: ")
    three = [make_record(seed=seed) for seed in range(3)]
    assert told(*three).startswith("means over 3 seeds; intervals") and "those of one seed" not in told(*three)
    mixed = told(*three, make_record("csrnet"))
    assert mixed.startswith("means over 1 to 3 seeds; ") and mixed.endswith("those of one seed hold nothing of others")


def test_of_each_fold_the_first_seed_that_has_it_is_drawn_and_bars_are_of_all() -> None:
    """Seed 0 finished one fold of two, seed 1 both."""
    records = [folded("mcnn", 0, 3), folded("mcnn", 0, 1, seed=1), folded("mcnn", 1, 2, seed=1)]
    (found,) = comparisons(records)
    images = graphs._images(graphs.parts_of(found, "a")[0].row)
    assert [(image.true, image.predicted) for image in images][::4] == [(10, 13), (100, 102)]
    assert graphs.clouds_told(graphs.parts_of(found, "a")) == "of several seeds the first"
    low = [
        abs(image.predicted - image.true)
        for record in records
        for image in record.results.per_image
        if image.true <= 300
    ]  # type: ignore[union-attr]
    bars = graphs.levels(graphs.parts_of(found, "a")).svg
    assert f"MCNN, low (≤ 300): {sum(low) / len(low):.1f}<" in bars and len(low) == 11


def test_a_checkpoint_chosen_on_the_test_set_is_nowhere_said_to_be_of_validation_images() -> None:
    record = drawn(
        "mcnn", 20, select="test-oracle", history=[{"epoch": 1, "val_mae": 9.0}, {"epoch": 2, "val_mae": 8.0}]
    )
    (found,) = comparisons([record])
    figure = graphs.learning(graphs.parts_of(found, "a"))
    said = [*comparison_table(found, []).notes, figure.caption, figure.svg]
    assert not any("validation images" in text or "validation MAE" in text for text in said)
    assert "Error on the test images" in figure.caption and "test MAE" in figure.svg


def test_the_page_shows_no_error_of_a_budget_that_proves_only() -> None:
    host, found = load_host(), comparisons([make_record(budget="smoke")])
    tables = all_tables(found, [make_record(budget="smoke")], [], host)
    made = page(tables, found, 1, [], host, {})
    assert (
        "trained and tested" in made
        and "Error by number of heads" not in made
        and "Predicted against true" not in made
        and "<circle" not in made
    )
