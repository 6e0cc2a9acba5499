"""What a name stood for when a run was made: never averaged with, or ranked beside, what it stands for now."""

from __future__ import annotations

from typing import Any

import pytest
from made_records import changed, make_record

from harness.errors import HarnessError
from harness.recipe import COMMON
from harness.reporting.ablation import ablation_tables
from harness.reporting.asked import in_name, recipe_told
from harness.reporting.comparison import comparison_table
from harness.reporting.difference import difference
from harness.reporting.overall import overall_tables
from harness.reporting.rows import comparisons
from harness.reporting.settings import earlier
from harness.runs import own
from harness.runs.records import Record


def under(
    record: Record, budget: dict[str, Any] | None = None, stage: dict[str, Any] | None = None, **recipe: Any
) -> Record:
    """`record` as if its recipe, that recipe's stage or its budget had had other fields when it ran."""
    identity = record.model_dump()["identity"]
    identity["recipe"] |= recipe
    identity["recipe"]["stages"][0] |= stage or {}
    identity["budget"] |= budget or {}
    return changed(record, identity=identity)


def begun(record: Record) -> Record:
    """`record` as of a network that began from published weights."""
    content = "file vgg16.h5 0123456789ab"
    return changed(record, pretrained=content, identity=record.model_dump()["identity"] | {"pretrained": content})


FASTER = {"learning_rate": 0.5}


def test_a_row_averages_no_two_recipes_of_one_name() -> None:
    """Two runs of one seed, of one version of a plugin whose recipe was changed, were "2 of 1 seeds" and averaged."""
    old = make_record(recipe="paper", predicted=(20, 30, 40))
    new = under(make_record(recipe="paper"), stage=FASTER)
    (found,) = comparisons([old, new])
    assert {row.title: row.mae.value for row in found.rows if row.mae} == {
        "MCNN, learning_rate 0.0003": 10.0,
        "MCNN, learning_rate 0.5": 1.0,
    }
    assert not any(row.missing for row in found.rows)
    shares = under(make_record(recipe="paper"), crop=None)
    sizes = changed(shares, identity={**shares.identity, "crop_sizes": 8})
    assert {row.title for row in comparisons([shares, sizes])[0].rows} == {
        "MCNN, crop_sizes none",
        "MCNN, crop_sizes 8",
    }
    depths = [changed(new, identity={**new.identity, "label_maps": {"depth": digest}}) for digest in ("1f", "2e")]
    assert {row.title for row in comparisons(depths)[0].rows} == {
        'MCNN, label_maps {"depth": "1f"}',
        'MCNN, label_maps {"depth": "2e"}',
    }
    asked = {"asked": {"budget": {"from": "quick"}}}
    one, other = (
        changed(record, identity={**record.identity, **asked}) for record in (new, under(new, budget={"epochs": 9}))
    )
    assert {row.title for row in comparisons([one, other])[0].rows} == {
        "MCNN, budget epochs 12",
        "MCNN, budget epochs 9",
    }


def test_an_earlier_budget_has_tables_of_its_own_and_captions_that_say_it() -> None:
    """Names stay while contents change; what is printed is what the runs had."""
    records = [make_record(), under(make_record("csrnet"), budget={"epochs": 3, "steps": 100})]
    found = {one.key.budget: comparison_table(one, []).notes for one in comparisons(records)}
    assert found.keys() == {"quick", "quick (earlier: epochs=3,steps=100)"}
    assert found["quick"][0] == "budget quick: at most 12 epochs and 2000 steps of one crop of 256×256 px"
    assert found["quick (earlier: epochs=3,steps=100)"][0] == (
        "budget quick: at most 3 epochs and 100 steps of one crop of 256×256 px; an earlier version of the harness had it so, "
        "today's is another"
    )


def test_a_diff_sets_an_earlier_budget_against_todays() -> None:
    before = [under(make_record(), budget={"epochs": 3})]
    text = difference(before, [make_record(predicted=(10, 20, 31))])
    (row,) = [line for line in text.splitlines() if line.startswith("| MCNN")]
    assert "epochs 12" in row and "new" not in row and "gone" not in text


def test_an_earlier_smoke_proves_no_more_than_todays() -> None:
    now = make_record(budget="smoke")
    mine = changed(now, identity={**now.identity, "asked": {"budget": {"from": "smoke", "epochs": 9}}})
    assert [one.proves_only for one in comparisons([now])] == [True]
    assert [one.proves_only for one in comparisons([under(now, budget={"crop": 64})])] == [True]
    assert [one.proves_only for one in comparisons([mine])] == [False]


def test_seeds_and_folds_of_one_recipe_stay_one_row() -> None:
    records = [make_record(seed=seed, fold=fold, folds=2) for seed in (0, 1) for fold in (0, 1)]
    (found,) = comparisons(records)
    assert [len(row.records) for row in found.rows] == [4] and not found.rows[0].missing


def test_an_earlier_common_has_tables_of_its_own() -> None:
    now = [make_record(), make_record("csrnet")]
    before = [under(record, stage=FASTER, ema=0.25) for record in now]
    found = {one.key.recipe: one for one in comparisons([*now, *before])}
    label = "common (earlier: ema=0.25,learning_rate=0.5)"
    assert found.keys() == {"common", label} and all(len(one.rows) == 2 for one in found.values())
    assert not any("," in row.title for one in found.values() for row in one.rows)
    assert in_name(label) == "common-earlier-ema=0.25,learning_rate=0.5"
    assert label in comparison_table(found[label], []).title
    assert "learning rate 0.5 (cosine), weights averaged (momentum 0.25)" in recipe_told(before)
    assert "an earlier version of the harness had it so" in recipe_told(before) and "earlier" not in recipe_told(now)


def test_kernels_in_metres_are_said_to_be() -> None:
    assert "density maps of fixed sigma 4 px" in recipe_told([make_record()])
    assert "density maps of sigma 0.2 m at every head" in recipe_told([make_record(kernel_metres=0.2)])


def test_networks_that_begin_from_published_weights_have_common_s_rate_for_them() -> None:
    new = make_record()
    tuned = under(begun(make_record("csrnet")), stage={"learning_rate": 1e-5})
    (found,) = comparisons([new, tuned])
    assert found.key.recipe == "common" and len(found.rows) == 2
    assert not any(", learning_rate" in row.title for row in found.rows)
    both = "learning rate 0.0003 from new weights, 1e-05 from published ones (cosine)"
    assert both in recipe_told([new, tuned]) and both in recipe_told([tuned, new])
    assert "learning rate 0.0003 (cosine)" in recipe_told([new]) and "learning rate 1e-05 (cosine)" in recipe_told(
        [tuned]
    )
    assert earlier(begun(make_record("csrnet"))) == "learning_rate=0.0003"
    assert earlier(under(new, stage={"learning_rate": 1e-5})) == "learning_rate=1e-05"


def test_what_a_budget_cuts_and_what_an_old_record_does_not_know_are_no_other_recipe() -> None:
    one = make_record()  # of one crop a step, as its budget has it
    assert earlier(one) == ""
    assert earlier(under(one, budget={"crop": 64}, crop=64)) == ""
    assert earlier(under(one, budget={"crop": 64}, crop=128)) == "crop=128"
    identity = one.model_dump()["identity"]
    del identity["recipe"]["benchmark_kernels"], identity["recipe"]["stages"][0]["l2"]
    assert earlier(changed(one, identity=identity)) == ""
    assert earlier(under(make_record(recipe="paper"), stage=FASTER)) == ""


def test_variants_are_set_against_their_method_under_the_same_settings() -> None:
    whole = [make_record(recipe="paper"), under(make_record(recipe="paper", predicted=(20, 30, 40)), stage=FASTER)]
    variant = under(make_record(recipe="paper", variant="small", predicted=(21, 31, 41)), stage=FASTER)
    (table,) = ablation_tables(comparisons([*whole, variant]), [])
    (line,) = [row for row in table.rows if row[0].text.startswith("MCNN [small]")]
    assert line[table.headers.index("against the whole method")].text.startswith("+1.0")


def test_no_row_across_benchmarks_is_taken_from_several() -> None:
    a, b = make_record(dataset="shtech_a", recipe="paper"), make_record(dataset="shtech_b", recipe="paper")
    (table,) = overall_tables(comparisons([a, b, under(b, stage=FASTER)]))
    (row,) = table.rows
    assert row[1].text == "1 of 6" and [cell.text[:3] for cell in row[2:]] == ["1.0"]
    assert any("one of 2 rows of other settings" in note for note in table.notes)


def test_a_diff_says_what_the_recipe_was() -> None:
    old, new = make_record(predicted=(20, 30, 40)), make_record()
    said = difference([under(old, stage=FASTER)], [new])
    assert "better; trained with learning_rate 0.0003" in said and "-9.0" in said
    both = difference([under(old, stage=FASTER), new], [new, under(old, stage=FASTER)])
    assert both == "No differences.\n\n2 rows unchanged."


@pytest.mark.parametrize(
    "asked", [{"sigma": {"pixels": 0.0}}, {"stages": [{"share": 2.0}]}, {"learning_rate": 0.0}, {"sigma": {"width": 3}}]
)
def test_a_record_of_what_is_refused_today_is_still_read(asked: dict[str, Any]) -> None:
    record = make_record(recipe="mine")
    whole = {**record.identity, "asked": {"recipe": {"from": "common", **asked}}}
    (comparison,) = comparisons([changed(record, identity=whole)])
    assert comparison_table(comparison, []).rows
    with pytest.raises(HarnessError):
        own.recipe(COMMON, "mine", {"from": "common", **asked}, "common")
