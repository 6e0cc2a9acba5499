"""The recipe and the budget that records were made under: what titles call them, and what captions say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from harness.budgets import Budget
from harness.reporting.settings import asked_of, earlier, earlier_budget, is_common
from harness.runs import own
from harness.runs.records import Record

PROOF = "smoke"  # the built-in budget after which errors say nothing of a method yet


def recipe_label(record: Record) -> str:
    """Its recipe's name, with the content where it is one's own, or another than the name has today.

    Records of one label had one recipe asked of them.
    """
    label, other = asked_label(record), earlier(record)
    return f"{label} (earlier: {other})" if other else label


def asked_label(record: Record) -> str:
    """The same whatever the name stood for then."""
    return own.label(record.recipe, asked_of(record, "recipe"))


def budget_label(record: Record) -> str:
    """The same of its budget."""
    label, other = asked_budget_label(record), earlier_budget(record)
    return f"{label} (earlier: {other})" if other else label


def asked_budget_label(record: Record) -> str:
    """The same whatever the name stood for then."""
    return own.label(record.budget, asked_of(record, "budget"))


def proves_only(label: str) -> bool:
    """Whether a budget of this label shows that everything runs and no more: `smoke`, today's or an earlier one.

    One of one's own that is made from it has another label, and its errors are shown.
    """
    return label == PROOF or label.startswith(f"{PROOF} (earlier: ")


def in_name(label: str) -> str:
    """What a recipe or budget is called in the names of tables and files: "mine (common+epochs=9)" → "mine-common+epochs=9"."""
    return label.replace(" (", "-").replace(": ", "-").replace(")", "")


def budget_told(record: Record) -> str:
    """The budget in words."""
    asked, then = asked_of(record, "budget"), _budget(record)
    before = "; an earlier version of the harness had it so, today's is another" if earlier_budget(record) else ""
    return f"{then.describe() if then else f'budget {record.budget}'}{f' ({own.told(asked)})' if asked else before}"


def _budget(record: Record) -> Budget | None:
    """The budget that the run had, by its identity; None where that has fields that are none of a budget today."""
    content = record.identity.get("budget", {})
    return Budget(**content) if content.keys() <= {field.name for field in fields(Budget)} else None


def recipe_told(records: Sequence[Record]) -> str:
    """The schedule in words, from the identity of the runs; methods' own recipes differ and are in their records."""
    recipe, asked = records[0].identity["recipe"], asked_of(records[0], "recipe")
    before = "; an earlier version of the harness had it so, today's is another" if earlier(records[0]) else ""
    own_one = f"recipe {records[0].recipe}: {own.told(asked)}{_capped(recipe, asked)} – " if asked else ""
    if not is_common(records[0]):
        return f"{own_one or 'recipe paper: '}each method as its paper trained it, within the budget"
    same = "the same for all" + (", but for the rate" if _two_rates(records) else "")
    how = f"{_stages(records)}{_averaged(recipe)}, random crops, flips, density maps of {_kernels(records)}"
    return f"{own_one or 'recipe common: '}{same} – {how}{before}"


def _stages(records: Sequence[Record]) -> str:
    """Optimisers and rates; where networks that begin from published weights have rates of their own, both."""
    stages, tuned = _both(records)
    return "; then ".join(
        f"{stage['optimizer']}, learning rate {_rates(stage['learning_rate'], other['learning_rate'])} ({stage['decay']})"
        for stage, other in zip(stages, tuned, strict=True)
    )


def _both(records: Sequence[Record]) -> tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]:
    """The stages of networks that begin from new weights, and of those that begin from published ones."""
    by_start = {record.pretrained != "none": record.identity["recipe"]["stages"] for record in records}
    stages = by_start.get(False) or by_start[True]
    return stages, by_start.get(True, stages)


def _two_rates(records: Sequence[Record]) -> bool:
    pairs = zip(*_both(records), strict=True)
    return any(stage["learning_rate"] != other["learning_rate"] for stage, other in pairs)


def _rates(rate: float, tuned: float) -> str:
    return f"{rate:g}" + (f" from new weights, {tuned:g} from published ones" if tuned != rate else "")


def _averaged(recipe: Mapping[str, Any]) -> str:
    return f", weights averaged (momentum {recipe['ema']:g})" if recipe.get("ema") else ""


def _kernels(records: Sequence[Record]) -> str:
    if metres := next(
        (record.data.kernel_metres for record in records if record.data and record.data.kernel_metres), 0
    ):
        return f"sigma {metres:g} m at every head, by the perspective maps"
    sigma = records[0].identity["recipe"]["sigma"]
    if sigma.get("neighbours"):
        return f"sigma {sigma['beta']:g} × the distance to {sigma['neighbours']} neighbours"
    return f"fixed sigma {sigma['pixels']:g} px"


def _capped(recipe: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """What of the fields asked for the budget made smaller; the recipe of an identity is that after its budget."""
    cut = [key for key in ("crop", "images_per_step", "crops_per_image") if key in asked and recipe[key] != asked[key]]
    if "crop_share" in asked and recipe["crop"] is not None:
        cut.insert(0, "crop")
    return f" (by the budget: {', '.join(f'{key} {recipe[key]}'.replace('_', ' ') for key in cut)})" if cut else ""
