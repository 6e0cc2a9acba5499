"""Recipes and budgets of one's own: a built-in one, and what is changed of it.

What is asked is a mapping of JSON values such as {"from": "common", "epochs": 100, "learning_rate": 0.0003}. It travels in a
`Request`, stands in the identity of the run under "asked", and is all that a caption needs.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

from harness.budgets import BUDGETS, Budget, budget_named
from harness.errors import HarnessError
from harness.recipe import Recipe, Stage

RECIPES = ("common", "paper")
EVERYTHING = "paper"  # the budget that caps nothing, which every budget of one's own begins with unless it says `from`
STAGE_FIELDS = tuple(field.name for field in fields(Stage) if field.name not in ("name", "share"))
LENGTHS = ("crops", "steps", "epochs")
GIVEN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")  # no + or =: never taken for one made from content
LONGEST = 72
_PLAIN = re.compile(r"[A-Za-z0-9._+-]+")
_UNSAFE = re.compile(r"[^A-Za-z0-9._+=,-]")

Asked = Mapping[str, Any]


def base_of(asked: Asked) -> str:
    """The built-in recipe that an own one is made from."""
    return str(asked.get("from", "common"))


def changes_of(asked: Asked) -> dict[str, Any]:
    """What is changed, by the names of fields; in one order, however it was written down."""
    return {key: asked[key] for key in sorted(asked) if key != "from"}


def name_of(asked: Asked) -> str:
    """A name that says the content and is safe for a folder: "common+epochs=100,learning_rate=0.0003", "steps=20000".

    What is long, or more than numbers and plain words, is cut and has its digest behind it, so each content has a name of
    its own.
    """
    parts = list(_flat(changes_of(asked)))
    said = "+".join(
        filter(None, (asked.get("from", ""), ",".join(f"{'.'.join(keys)}={text(value)}" for keys, value in parts)))
    )
    if all(_is_plain(keys, value) for keys, value in parts) and len(said) <= LONGEST:
        return said
    canonical = json.dumps(asked, sort_keys=True)
    return f"{_UNSAFE.sub('_', said)[: LONGEST - 8]}-{hashlib.sha256(canonical.encode()).hexdigest()[:7]}"


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Leaves of mappings with the keys that lead to them, sorted where order says nothing; a list of numbers as its text."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            ordered = value if key == "rates" else dict(sorted(value.items()))  # of rates the first that fits counts
            yield from (((key, *inner), leaf) for inner, leaf in _flat(ordered))
        elif isinstance(value, list | tuple) and value and all(isinstance(one, int | float) for one in value):
            yield (key,), "_".join(map(text, value))
        else:
            yield (key,), value


def _is_plain(keys: tuple[str, ...], value: Any) -> bool:
    plain = not isinstance(value, Mapping | list | tuple) and _PLAIN.fullmatch(text(value))
    return bool(plain) and all(re.fullmatch(r"[A-Za-z0-9_]+", key) for key in keys)


def text(value: Any) -> str:
    """A value as names and captions have it: "none", "true", words without quotes, else JSON."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    return value if isinstance(value, str) else json.dumps(value)


def label(name: str, asked: Asked | None) -> str:
    """What titles call it: its name, and the content behind a name that was given. Two contents never have one label."""
    if not asked or name == (content := name_of(asked)):
        return name
    return f"{name} ({content})"


def told(asked: Asked) -> str:
    """The content in words, for a caption: "common with epochs 100, learning rate 0.0003"."""
    changes = [f"{key.replace('_', ' ')} {text(value)}" for key, value in changes_of(asked).items()]
    base = str(asked.get("from", ""))
    return f"{base} with {', '.join(changes)}" if base and changes else base or ", ".join(changes)


def recipe(base: Recipe, name: str, asked: Asked, what: str) -> Recipe:
    """`base` with the fields of `asked`; those of a stage are set on its only one, and `sigma` is changed field by field.

    Args:
        what: what `base` is, for messages: "common", "paper of mcnn".

    Raises:
        HarnessError: a field of a stage where there are several, or fields that contradict each other.
    """
    changes: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in changes_of(asked).items()
    }
    if "crop_share" in changes:
        changes.setdefault("crop", None)  # as it must be for the share to count
    elif changes.get("crop") is not None:
        changes["crop_share"] = 1.0
    of_stage = {key: changes.pop(key) for key in STAGE_FIELDS if key in changes}
    if of_stage and "stages" not in changes and len(base.stages) > 1:
        names = ", ".join(stage.name for stage in base.stages)
        raise HarnessError(
            f"recipe {name}: {next(iter(of_stage))} is a field of a stage, and recipe {what} has {len(base.stages)}: {names}. "
            f"Give the stages whole ('stages: [...]'), or leave it out"
        )
    try:
        if "stages" in changes:
            changes["stages"] = tuple(_stage(stage) for stage in changes["stages"])
        elif of_stage:
            changes["stages"] = (replace(base.stages[0], **of_stage),)
        if "sigma" in changes:
            changes["sigma"] = replace(base.sigma, **changes["sigma"])
        made = replace(base, name=name, **changes)
        made.check_asked()
    except (TypeError, ValueError) as error:
        raise HarnessError(f"{error} (recipe {what}, changed)") from None
    return made


def _stage(values: Mapping[str, Any]) -> Stage:
    given: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    return Stage(**given)


def budget(name: str, asked: Asked) -> Budget:
    """The budget that is asked for.

    One of `crops`, `steps` and `epochs` sets the length, whatever the recipe's epochs and the length of what it is made from.
    With `at_most`, `steps` and `epochs` are caps. Without any of them the length is that of what it is made from.

    Raises:
        HarnessError: an unknown name in "from", or lengths that contradict each other.
    """
    base = budget_named(asked.get("from", EVERYTHING))
    changes = changes_of(asked)
    at_most = changes.pop("at_most", False)
    given = [key for key in LENGTHS if changes.get(key) is not None]
    if at_most and "crops" in given:
        raise HarnessError(f"budget {name}: crops set the length of a run; at_most is for steps and epochs")
    if at_most and not given:
        raise HarnessError(f"budget {name}: at_most needs steps or epochs to be a cap")
    if not at_most and len(given) > 1:
        raise HarnessError(
            f"budget {name}: one of {', '.join(LENGTHS)} sets the length, found {' and '.join(given)}; with 'at_most: true' "
            f"steps and epochs are caps"
        )
    if given:
        exact = not at_most and given != ["crops"]
        changes = {**dict.fromkeys(LENGTHS), "exact": exact, **changes}
    try:
        return replace(base, name=name, **changes)
    except (TypeError, ValueError) as error:
        raise HarnessError(str(error)) from None


def check_name(name: str, kind: str) -> None:
    """Refuses a name of one's own that is a built-in one, or no plain word; `kind` is "recipe" or "budget"."""
    if name in (RECIPES if kind == "recipe" else BUDGETS):
        raise HarnessError(f"{kind} {name!r} is built in; an own one needs another name, or none")
    if not GIVEN_NAME.fullmatch(name):
        raise HarnessError(f"{kind} {name!r}: expected a name of at most 40 letters, digits, '.', '_' and '-'")
