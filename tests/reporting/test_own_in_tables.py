"""Recipes and budgets of one's own in tables: never beside built-in ones or other contents, and captions say what they are."""

from __future__ import annotations

from typing import Any

from made_records import make_record

from harness.host.plugins import load_host
from harness.recipe import COMMON
from harness.reporting.comparison import comparison_table
from harness.reporting.leaderboard import all_tables
from harness.reporting.overall import BENCHMARKS, overall_tables
from harness.reporting.rows import comparisons
from harness.run import identity_hash
from harness.runs import own
from harness.runs.records import Record


def owned(recipe: tuple[str, dict[str, Any]] | None, budget: Any = None, crop: int = 256, **changes: Any) -> Record:
    """A record as a run of an own recipe or budget, given as (name, what is asked), writes it."""
    content = make_record(**changes).model_dump()
    for kind, given in (("recipe", recipe), ("budget", budget)):
        if given:
            content[kind] = given[0]
            content["identity"].setdefault("asked", {})[kind] = given[1]
    asked = recipe[1] if recipe and own.base_of(recipe[1]) == "common" else {}
    made = own.recipe(COMMON, content["recipe"], asked, "common").as_json()
    content["identity"]["recipe"] = made | {"crop": crop, "images_per_step": 1}
    if budget:
        content["identity"]["budget"] = own.budget(*budget).as_json()
    content["identity"]["budget"] |= {"crop": crop, "crops_per_step": 1}
    content["id"] = identity_hash(content["identity"])
    content["name"] = f"{content['dataset']}-{content['method']}-{content['id'][:8]}"
    return Record.model_validate(content)


LONG, SHORT = {"from": "common", "epochs": 100}, {"from": "common", "epochs": 7}


def test_contents_are_never_mixed_whatever_they_are_called() -> None:
    records = [
        make_record(),
        make_record("csrnet"),
        owned(("mine", LONG)),
        owned(("mine", LONG), method="csrnet"),
        owned(("mine", SHORT)),
        owned((own.name_of(SHORT), SHORT)),
        owned(None, ("mine", {"steps": 9})),
        owned(None, ("mine", {"steps": 10})),
    ]
    found = comparisons(records)
    assert sorted(len(one.records) for one in found) == [1, 1, 1, 1, 2, 2]
    assert {one.key.recipe for one in found} == {
        "common",
        "mine (common+epochs=100)",
        "mine (common+epochs=7)",
        "common+epochs=7",
    }
    assert {one.key.budget for one in found} == {"quick", "mine (steps=9)", "mine (steps=10)"}
    names = [table.name for table in all_tables(found, records, [], load_host())]
    assert len(names) == len(set(names)) and "synth-mine-common+epochs=100-quick" in names
    assert not any(set(" ()/") & set(name) for name in names), "names of files, and of blocks in a README"


def caption(record: Record) -> str:
    return "\n".join(comparison_table(comparisons([record])[0], []).notes)


def test_captions_say_the_content() -> None:
    said = caption(owned(("mine", LONG | {"crop": 384}), ("short", {"from": "standard", "crops": 6000})))
    assert (
        "budget short: 6,000 crops of at most 256×256 px, whatever the recipe's epochs (standard with crops 6000)"
        in said
    )
    assert "recipe mine: common with crop 384, epochs 100 (by the budget: crop 256) – the same for all – adam" in said
    shared = caption(owned(("mine", {"from": "common", "crop_share": 0.5, "images_per_step": 1}), crop=128))
    assert "common with crop share 0.5, images per step 1 (by the budget: crop 128) –" in shared
    paper = caption(owned(("mine", {"from": "paper", "epochs": 9})))
    assert "recipe mine: paper with epochs 9 – each method as its paper trained it, within the budget" in paper
    assert "recipe common: the same for all – adam, learning rate 0.0003 (cosine), random crops" in caption(
        make_record()
    )


def test_leaderboards_across_benchmarks_keep_them_apart_too() -> None:
    datasets = list(BENCHMARKS)[:2]
    records = [owned(("mine", asked), dataset=name) for asked in (LONG, SHORT) for name in datasets]
    tables = overall_tables(comparisons([*records, *(make_record(dataset=name) for name in datasets)]))
    assert [table.name for table in tables] == [
        "all-common-quick",
        "all-mine-common+epochs=100-quick",
        "all-mine-common+epochs=7-quick",
    ]
