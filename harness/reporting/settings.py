"""What a run was trained under as its identity has it: its recipe and its budget, whatever they were called.

Names stay while contents change from one version to the next. Rows never average over such a change, and say what it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from harness.budgets import BUDGETS, capped
from harness.errors import HarnessError
from harness.recipe import LEFT_OUT, Recipe, common_recipe
from harness.runs import own
from harness.runs.records import Record

DECIDE = ("recipe", "budget", "crop_sizes", "label_maps", "harness")
MOST_NAMED = 3


def asked_of(record: Record, kind: str) -> Mapping[str, Any]:
    """What its own "recipe" or "budget" is asked to be; empty where that is a built-in one."""
    return record.identity.get("asked", {}).get(kind, {})


def is_common(record: Record) -> bool:
    """Whether its recipe is `common`, or one's own that is made from it."""
    asked = asked_of(record, "recipe")
    return (own.base_of(asked) if asked else record.recipe) == "common"


def settings_of(record: Record) -> str:
    """Recipe and budget as one text: records of one row have the same."""
    return json.dumps({key: record.identity.get(key) for key in DECIDE}, sort_keys=True)


def differing(record: Record, others: Iterable[Record]) -> str:
    """What in its settings differs from those of one of `others` at least, "learning_rate 0.001"; "" where nothing does."""
    mine = _settings(record.identity)
    theirs = [_settings(other.identity) for other in others]
    names = sorted({name for fields in (mine, *theirs) for name in fields})
    differ = [name for name in names if any(_text(mine.get(name)) != _text(fields.get(name)) for fields in theirs)]
    return ", ".join(f"{name} {_text(mine.get(name))}" for name in differ[:MOST_NAMED])


def earlier(record: Record) -> str:
    """How a record's `common` differs from today's: "ema=0,learning_rate=0.0001"; "" where it does not, or is `paper`.

    What a budget makes smaller is compared as that budget makes it. Fields that an old record does not know are not compared.
    """
    if not is_common(record):
        return ""
    return _unlike(
        *({**LEFT_OUT, **_fields(recipe)} for recipe in (record.identity["recipe"], _today(record).as_json()))
    )


def earlier_budget(record: Record) -> str:
    """How a record's built-in budget differs from what its name stands for today: "crop=64,epochs=16"; "" where it does not."""
    if asked_of(record, "budget") or record.budget not in BUDGETS:
        return ""
    return _unlike(record.identity.get("budget", {}), BUDGETS[record.budget].as_json())


def _unlike(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What `then` has otherwise than `now`, of the fields that both know."""
    both = sorted(then.keys() & now.keys())
    return ",".join(f"{name}={_text(then[name])}" for name in both if _text(then[name]) != _text(now[name]))


def _today(record: Record) -> Recipe:
    asked = asked_of(record, "recipe")
    recipe = common_recipe(record.pretrained)
    if asked:
        with suppress(HarnessError):  # what was asked then may not go with today's
            recipe = own.recipe(recipe, record.recipe, asked, "common")
    budget = record.identity["budget"]
    cut = {key: budget.get(key) for key in ("crop", "crops_per_step")}
    return capped(recipe, replace(BUDGETS[own.EVERYTHING], **cut))


def _settings(identity: Mapping[str, Any]) -> dict[str, Any]:
    budget = {f"budget {name}": value for name, value in identity["budget"].items() if name != "name"}
    others = {key: identity.get(key) for key in DECIDE if key not in ("recipe", "budget")}
    return {**_fields(identity["recipe"]), **budget, **others}


def _fields(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's fields without names: sigma's and those of an only stage stand beside the others."""
    stages = [{key: value for key, value in stage.items() if key != "name"} for stage in recipe["stages"]]
    own_fields = {key: value for key, value in recipe.items() if key not in ("name", "stages", "sigma")}
    sigma = {f"sigma {key}": value for key, value in recipe["sigma"].items()}
    return {**own_fields, **sigma, **(stages[0] if len(stages) == 1 else {"stages": stages})}


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else own.text(value)
