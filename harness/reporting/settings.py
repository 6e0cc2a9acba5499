"""What a run was trained under as its identity has it: its recipe and its budget, whatever they were called.

Names stay while contents change from one version to the next. Rows never average over such a change, and say what it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from harness.budgets import BUDGETS, capped
from harness.errors import HarnessError
from harness.method import COMMON, Recipe
from harness.runs import own
from harness.runs.records import Record

DECIDE = ("recipe", "budget", "crop_sizes", "harness")
UNUSED: Mapping[str, Any] = {"ema": 0.0, "clip": 0.0, "rates": {}}  # identities leave these out where they are so
MOST_NAMED = 3


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
    asked = record.identity.get("asked", {}).get("recipe", {})
    if (own.base_of(asked) if asked else record.recipe) != "common":
        return ""
    then, now = _fields(record.identity["recipe"]), _fields(_today(record, asked).as_json())
    both = sorted((then.keys() & now.keys()) | UNUSED.keys())
    found = {name: then.get(name, UNUSED.get(name)) for name in both}
    return ",".join(
        f"{name}={_text(value)}"
        for name, value in found.items()
        if _text(value) != _text(now.get(name, UNUSED.get(name)))
    )


def _today(record: Record, asked: Mapping[str, Any]) -> Recipe:
    try:
        recipe = own.recipe(COMMON, record.recipe, asked, "common") if asked else COMMON
    except HarnessError:  # what was asked then does not go with today's
        recipe = COMMON
    budget = record.identity["budget"]
    cut = {key: budget.get(key) for key in ("crop", "crops_per_step")}
    return capped(recipe, replace(BUDGETS[own.EVERYTHING], **cut))


def _settings(identity: Mapping[str, Any]) -> dict[str, Any]:
    budget = {f"budget {name}": value for name, value in identity["budget"].items() if name != "name"}
    return {**_fields(identity["recipe"]), **budget, **{key: identity.get(key) for key in ("crop_sizes", "harness")}}


def _fields(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's fields without names: sigma's and those of an only stage stand beside the others."""
    stages = [{key: value for key, value in stage.items() if key != "name"} for stage in recipe["stages"]]
    own_fields = {key: value for key, value in recipe.items() if key not in ("name", "stages", "sigma")}
    sigma = {f"sigma {key}": value for key, value in recipe["sigma"].items()}
    return {**own_fields, **sigma, **(stages[0] if len(stages) == 1 else {"stages": stages})}


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return (
        f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else json.dumps(value).strip('"')
    )
