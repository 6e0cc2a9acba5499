"""Recipes and budgets of one's own as a person writes them: every field of `Recipe`, of a `Stage` and of `Budget`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, get_type_hints

from pydantic import Field, StrictBool, StrictStr, model_validator

from harness.bounds import AtLeastOne
from harness.budgets import BUDGETS, Budget
from harness.errors import HarnessError
from harness.recipe import COMMON, Recipe, Stage
from harness.runs import own
from harness.runs.checked import documented, model_of, one_of, strict

_Name = Annotated[
    StrictStr | None, Field(description="What captions and folders call it. Default: made from the content.")
]


def _of_stage() -> dict[str, Any]:
    hints, said = get_type_hints(Stage, include_extras=True), documented(Stage)
    return {
        name: (strict(hints[name]), Field(default=None, description=f"Of its one stage: {said.get(name, name)}"))
        for name in own.STAGE_FIELDS
    }


def _length(name: str) -> Any:
    said = f"The length of a run: so many {name} in all, whatever the recipe's epochs. One of {', '.join(own.LENGTHS)}."
    return strict(AtLeastOne | None), Field(default=None, description=said)


_RecipeFields: Any = model_of(
    Recipe,
    "RecipeFields",
    leave_out=("name",),
    name=(_Name, None),
    from_=(one_of("recipe", own.RECIPES), Field(default=None, alias="from", description="What is changed.")),
    **_of_stage(),
)
_BudgetFields: Any = model_of(
    Budget,
    "BudgetFields",
    leave_out=("name", "exact", *own.LENGTHS),
    name=(_Name, None),
    from_=(
        one_of("budget", BUDGETS),
        Field(default=None, alias="from", description="What is changed. Default: no caps."),
    ),
    at_most=(StrictBool, Field(default=None, description="steps and epochs are caps: a shorter recipe stays short.")),
    **{name: _length(name) for name in own.LENGTHS},
)


class OwnRecipe(_RecipeFields):
    """A recipe of one's own: `common`, or each method's `paper` recipe, with the fields that are given."""

    @property
    def asked(self) -> dict[str, Any]:
        """The fields that are given, as `harness.runs.own` takes them."""
        return {"from": "common", **_given(self)}

    @model_validator(mode="after")
    def _makes_one(self) -> OwnRecipe:
        asked, name = self.asked, self.name or "own"
        mixed = [key for key in own.STAGE_FIELDS if key in asked]
        if "stages" in asked and mixed:
            raise ValueError(f"{mixed[0]} beside stages; expected it in each of them")
        if self.name:
            _or_value_error(lambda: own.check_name(name, "recipe"))
        if own.base_of(asked) == "common":
            _or_value_error(lambda: own.recipe(COMMON, name, asked, "common"))
        elif "stages" in asked:
            _or_value_error(lambda: own.recipe(COMMON, name, {"stages": asked["stages"]}, "paper"))
        return self


class OwnBudget(_BudgetFields):
    """A budget of one's own: a length, whatever the recipe's epochs, and caps."""

    @property
    def asked(self) -> dict[str, Any]:
        """The fields that are given, as `harness.runs.own` takes them."""
        return {key: value for key, value in _given(self).items() if (key, value) != ("at_most", False)}

    @model_validator(mode="after")
    def _makes_one(self) -> OwnBudget:
        name = self.name or "own"
        if self.name:
            _or_value_error(lambda: own.check_name(name, "budget"))
        _or_value_error(lambda: own.budget(name, self.asked))
        return self


def _given(model: Any) -> dict[str, Any]:
    return model.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"name"})


def _or_value_error(make: Callable[[], Any]) -> None:
    """What pydantic takes up and gives a place."""
    try:
        make()
    except HarnessError as error:
        raise ValueError(str(error)) from None
