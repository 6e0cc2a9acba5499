"""How much a run was trained: the crops it saw, and the share of what its paper asks for."""

from __future__ import annotations

import csv
import html
import json
from pathlib import Path
from typing import Any

import pytest
from made_records import column, make_record, with_groups, written

from harness.host.plugins import load_host
from harness.method import Method
from harness.recipe import Recipe
from harness.reporting import runtime, trained
from harness.reporting.comparison import comparison_table
from harness.reporting.crops_seen import crops_seen
from harness.reporting.leaderboard import all_tables
from harness.reporting.overall import overall_tables
from harness.reporting.rows import comparisons
from harness.runs.records import Record

SHARE = "of the paper's training"


def method(**fields: Any) -> dict[str, Method]:
    recipe = Recipe("paper", epochs=10, images_per_step=2, crops_per_image=3)
    return {"mcnn": Method("mcnn", "MCNN", "", None, None, recipe, stride=4, **fields)}  # type: ignore[arg-type]


def test_the_share_by_hand() -> None:
    """Five images, two a step: three steps of 2 × 3 crops, ten times, are 180 crops; 3 steps of 3 are 9 of them."""
    found = comparisons([make_record(steps=3, schedule={"images_per_step": 3})])[0]
    cell = column(comparison_table(found, [], methods=method()), SHARE)["MCNN"]
    assert cell.value == pytest.approx(0.05) and cell.text == "5 %"


def test_a_benchmark_with_a_recipe_of_its_own_is_measured_by_that() -> None:
    own = method(recipes={"synth": Recipe("paper", epochs=2, images_per_step=1)})
    found = comparisons([make_record(steps=20)])[0]
    assert column(comparison_table(found, [], methods=own), SHARE)["MCNN"].text == "200 %"


def test_runs_of_a_row_are_averaged() -> None:
    found = comparisons([make_record(steps=9), make_record(seed=1, steps=27)])[0]
    assert column(comparison_table(found, [], methods=method()), SHARE)["MCNN"].value == pytest.approx(0.1)


@pytest.mark.parametrize(("share", "text"), [(0.00042, "0.042 %"), (0.0469, "4.7 %"), (0.1234, "12 %"), (1.0, "100 %")])
def test_shares_have_two_digits(share: float, text: str) -> None:
    assert trained.as_cell(share).text == text


def test_what_is_not_known_is_not_guessed() -> None:
    other = make_record("nobody")
    bare = make_record(schedule={"images_per_step": None})
    for record in (other, bare):
        table = comparison_table(comparisons([record])[0], [], methods=method())
        assert SHARE not in table.headers
    both = comparison_table(comparisons([make_record(), other])[0], [], methods=method())
    assert column(both, SHARE)["NOBODY"].text == "–" and column(both, SHARE)["MCNN"].text == "2.8 %"


def test_crops_seen_at_an_epoch() -> None:
    whole = make_record(history=[{"epoch": n} for n in (1, 2, 3)], steps=15)
    assert [crops_seen(whole, epoch) for epoch in (1, 2, 3)] == [5, 10, 15]
    cut = make_record(history=[{"epoch": n} for n in (1, 2, 3)], steps=12)  # a last epoch of two steps
    assert [crops_seen(cut, epoch) for epoch in (1, 2, 3)] == [5, 10, 12]
    capped = make_record(steps=3)  # one epoch, of fewer steps than images: a budget's
    assert crops_seen(capped, 1) == crops_seen(capped) == 3
    four = make_record(history=[{"epoch": n} for n in (1, 2)], steps=4, schedule={"images_per_step": 4})
    assert [crops_seen(four, epoch) for epoch in (1, 2)] == [8, 16]


def test_crops_of_a_real_plan() -> None:
    """A run of an exact number of steps, as `harness.budgets.plan` cuts it: 17 images, 4 a step, 12 steps in all."""
    from harness.budgets import Budget, plan

    recipe = Recipe("mine", epochs=9, images_per_step=4, crops_per_image=2)
    length = plan(recipe, Budget("mine", steps=12, exact=True), 17)
    history = [{"epoch": number + 1} for number in range(length.epochs)]
    schedule = {"images_per_step": 4, "crops_per_image": 2}
    record = make_record(history=history, steps=length.steps, schedule=schedule)
    record.data.train_images = 17  # type: ignore[union-attr]
    assert [crops_seen(record, n + 1) for n in range(length.epochs)] == [
        8 * length.steps_before(n + 1) for n in range(length.epochs)
    ]


def test_every_form_says_it(tmp_path: Path, harness: Any) -> None:
    record = make_record(dataset="shtech_a", true=(100, 100), predicted=(200, 210))
    written(tmp_path / "runs", record)
    assert harness("report").returncode == 0
    reports = tmp_path / "reports"
    assert f"| published − measured | {SHARE} |" in " ".join((reports / "LEADERBOARD.md").read_text().split())
    (line, *_) = csv.DictReader((reports / "tables" / "shtech_a-common-quick.csv").read_text().splitlines())
    (row, *_) = json.loads((reports / "tables.json").read_text())[0]["rows"]
    for found in (line, row):
        assert float(found["published − measured"]) == pytest.approx(110.2 - 105) and 0 < float(found[SHARE]) < 1
    assert f"<button>{html.escape(SHARE)}</button>".replace("&#x27;", "&#39;") in (reports / "report.html").read_text()


def test_ablations_say_it_too() -> None:
    whole = make_record("ssr_hef")
    variant = whole.model_copy(update={"variant": "no_hef"})
    found = comparisons([whole, variant])
    (table,) = [table for table in all_tables(found, [], [], load_host()) if "ablation" in table.name]
    shares = [cell.value for cell in column(table, SHARE).values()]
    assert len(shares) == 2 and shares[0] == shares[1] and isinstance(shares[0], float)


def test_tables_of_the_longest_training_come_first() -> None:
    """By the crops that were seen; the names of budgets say nothing of it ("quick" < "standard")."""
    lengths = {"quick": 5, "standard": 60, "paper": 7}
    records = [
        make_record(dataset=dataset, budget=budget, steps=steps)
        for budget, steps in lengths.items()
        for dataset in ("shtech_b", "shtech_a")
    ]
    found = comparisons(records)
    assert [(one.key.dataset, one.key.budget) for one in found] == [
        (dataset, budget) for dataset in ("shtech_a", "shtech_b") for budget in ("standard", "paper", "quick")
    ]
    assert [table.title.split()[3] for table in overall_tables(found)] == ["standard,", "paper,", "quick,"]


def test_tables_of_one_method_stand_behind_those_that_compare() -> None:
    long, *short = make_record(budget="paper", steps=90), make_record(), make_record("csrnet")
    assert [one.key.budget for one in comparisons([long, *short])] == ["quick", "paper"]
    found = comparisons([long, *short, make_record("csrnet", budget="paper", steps=90)])
    assert [one.key.budget for one in found] == ["paper", "quick"]


def test_minutes_are_of_the_middle_epoch_however_long_the_machine_slept() -> None:
    """Epochs of 60, 60 and 6,000 seconds are 3 minutes, in the comparison and beside the run time."""
    record = make_record(history=[{"epoch": n, "seconds": seconds} for n, seconds in ((1, 60), (2, 60), (3, 6000))])
    assert trained.minutes(record) == pytest.approx(3.0)
    assert column(comparison_table(comparisons([record])[0], []), trained.MINUTES)["MCNN"].text == "3.0"


def test_how_often_validation_images_were_counted_is_a_column() -> None:
    looks = [{"epoch": 1, "val_mae": 3.0}, {"epoch": 2}, {"epoch": 3, "val_mae": 2.0}]
    one, more = make_record(history=looks), make_record(seed=1, history=[*looks, {"epoch": 4, "val_mae": 2.0}])
    assert column(comparison_table(comparisons([one])[0], []), trained.LOOKS)["MCNN"].text == "2"
    assert column(comparison_table(comparisons([one, more])[0], []), trained.LOOKS)["MCNN"].text == "2–3"
    assert trained.LOOKS not in comparison_table(comparisons([make_record()])[0], []).headers


def test_each_seed_of_a_row_is_named() -> None:
    three = [make_record(seed=seed, predicted=(10 + seed, 20, 30)) for seed in range(3)]
    told = [note for note in comparison_table(comparisons(three)[0], []).notes if note.startswith("MAE by seed")]
    assert told == ["MAE by seed: MCNN 0.00, 0.33, 0.67"]
    assert not any(note.startswith("MAE by seed") for note in comparison_table(comparisons(three[:1])[0], []).notes)
    scenes = [{"scene": name} for name in ("S1", "S1", "S2")]  # of which the table scores the mean: errors 0 and 0, 6
    both = [make_record(seed=seed, predicted=(10, 20, 36 + 20 * seed)) for seed in range(2)]
    notes = comparison_table(comparisons([with_groups(one, scenes, mean_of="scene") for one in both])[0], []).notes
    assert "MAE by seed: MCNN 3.00, 13.00" in notes


def test_a_look_in_a_stage_that_may_not_be_chosen_from_is_none() -> None:
    history = [
        {"epoch": 1, "stage": "warm-up", "val_mae": 1.0},
        {"epoch": 2, "stage": "main", "val_mae": 3.0},
        {"epoch": 3, "stage": "main", "val_mae": 2.0},
    ]
    record = make_record(history=history)
    record.identity["recipe"]["stages"] = [{"name": "warm-up", "selects": False}, {"name": "main", "selects": False}]
    assert trained.looks(comparisons([record])[0].rows[0]) == "2", "of the last stage it always may be"


def test_the_chosen_epoch_stands_beside_their_number() -> None:
    def run(seed: int, best: int) -> Record:
        content = make_record(seed=seed, history=[{"epoch": n} for n in range(1, 9)]).model_dump()
        content["training"]["best_epoch"] = best
        return Record.model_validate(content)

    for best, text in (((5,), "5 of 8"), ((7, 3), "3–7 of 8"), ((4, 4), "4 of 8")):
        records = [run(seed, number) for seed, number in enumerate(best)]
        assert column(comparison_table(comparisons(records)[0], []), "checkpoint")["MCNN"].text == text


def test_times_beside_the_run_time_are_of_one_benchmark_and_precision() -> None:
    """Two methods on A and one on B: A's; those of another precision, device or shorter budget are left out."""
    history = [{"epoch": 1, "seconds": 120}]
    long = {"budget": "standard", "history": history}
    found = [
        make_record("mcnn", dataset="shtech_a", **long),
        make_record("csrnet", dataset="shtech_a", **long),
        make_record("mcnn", dataset="shtech_b", budget="standard", history=[{"epoch": 1, "seconds": 600}]),
        make_record("mcnn", dataset="shtech_a", budget="quick", history=[{"epoch": 1, "seconds": 6}]),
    ]
    found += [
        make_record("mcnn", dataset="shtech_a", recipe="paper", **long | {"history": [{"epoch": 1, "seconds": 9}]})
    ]
    cells, of = runtime._training_minutes(found, "CPU", "tensorflow", found[0].precision)
    assert {key: cell.text for key, cell in cells.items()} == {("mcnn", ""): "2.0", ("csrnet", ""): "2.0"}
    assert of == "shtech_a, budget standard, recipe common"
    longer = make_record("mcnn", dataset="shtech_a", budget="paper", steps=90, history=history)
    assert (
        runtime._training_minutes([*found, longer], "CPU", "tensorflow", "float32")[1] == of
    )  # one method compares nothing
    own = [
        make_record(name, dataset="shtech_a", budget="mine", steps=950, history=history) for name in ("mcnn", "csrnet")
    ]
    own += [make_record(name, budget="smoke", steps=9999) for name in ("mcnn", "csrnet")]
    told = runtime._training_minutes([*found, *own], "CPU", "tensorflow", "float32")[1]
    assert told == "shtech_a, budget mine, recipe common"
    short = [
        make_record(name, dataset="shtech_b", budget="other", steps=1, history=history) for name in ("mcnn", "csrnet")
    ]
    short += [make_record(dataset="shtech_a", budget="other", steps=9999, history=history)]  # alone: compares nothing
    short += [make_record(variant=name, dataset="shtech_a", budget="paper", steps=9999) for name in ("", "small")]
    assert runtime._training_minutes([*found, *short], "CPU", "tensorflow", "float32")[1] == of
    for where in (("CPU", "tensorflow", "another"), ("CPU", "jax", "float32"), ("a GPU", "tensorflow", "float32")):
        assert runtime._training_minutes(found, *where) == ({}, "")


def test_what_trained_them_is_named_under_the_table() -> None:
    records = [make_record(), make_record("csrnet")]
    for record, version in zip(records, ("2.20.0", "2.21.0"), strict=True):
        record.environment["versions"] = {"keras": "3.15.1", "tensorflow": version, "numpy": "2"}
    notes = comparison_table(comparisons(records)[0], []).notes
    assert "trained by d 1 with keras 3.15.1, tensorflow 2.20.0 and 2.21.0" in notes
    records[0].environment["commit"] = "0123456789ab+"
    notes = comparison_table(comparisons(records)[0], []).notes
    some = "; commit 0123456789ab+ (MCNN); CSRNET: not said"
    assert "trained by d 1 with keras 3.15.1, tensorflow 2.20.0 and 2.21.0" + some in notes
    records[1].environment["commit"] = "ba9876543210, 0123456789ab+"  # continued by changed code
    notes = comparison_table(comparisons(records)[0], []).notes
    both = "; commit 0123456789ab+ (CSRNET, MCNN), ba9876543210 (CSRNET)"
    assert "trained by d 1 with keras 3.15.1, tensorflow 2.20.0 and 2.21.0" + both in notes
    records[1].environment["commit"] = "0123456789ab+"
    notes = comparison_table(comparisons(records)[0], []).notes
    assert "trained by d 1 with keras 3.15.1, tensorflow 2.20.0 and 2.21.0; commit 0123456789ab+" in notes
