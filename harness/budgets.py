"""Named amounts of work. A budget caps what a recipe asks for, or sets how many crops a run sees whatever the recipe's epochs.

It is part of a run's identity and of every caption.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from harness.bounds import AtLeastOne, out_of_bounds
from harness.errors import unknown_name
from harness.recipe import Recipe


@dataclass(frozen=True)
class Budget:
    """Caps on a run; None caps nothing.

    Attributes:
        crops: so many crops in all (to the nearest whole epoch), whatever the recipe's epochs; not a cap.
        epochs, steps: at most so many passes and so many steps.
        exact: the one of these that is given is no cap: so many in all, whatever the recipe's epochs.
        crop: crops of at most so many pixels a side.
        crops_per_step: at most so many crops a step.
        validations: how often in the run the validation set is looked at; up to twice as often where the recipe's epochs, which
            it caps, are few.
        validation_images, test_images: at most so many images of those sets.
    """

    name: str
    crops: AtLeastOne | None = None
    epochs: AtLeastOne | None = None
    steps: AtLeastOne | None = None
    crop: AtLeastOne | None = None
    crops_per_step: AtLeastOne | None = None
    validations: AtLeastOne = 50
    validation_images: AtLeastOne | None = None
    test_images: AtLeastOne | None = None
    exact: bool = False

    def __post_init__(self) -> None:
        for wrong in out_of_bounds(self):
            raise ValueError(f"budget {self.name!r}: {wrong}")

    def as_json(self) -> dict[str, Any]:
        """The budget as JSON values, for run identities: what budgets could not always be is there where it is used."""
        return {key: value for key, value in asdict(self).items() if key != "exact" or value}

    def describe(self) -> str:
        """One sentence for a caption."""
        if self.name == "paper":
            return "budget paper: everything the recipe asks for"
        set_by_it = self.crops or self.exact
        most = "at most " if set_by_it else ""
        size = f" of {most}{self.crop}×{self.crop} px" if self.crop else ""
        if self.crops:
            length = f"{self.crops:,} crops{size}"
        else:
            each = "one crop" if self.crops_per_step == 1 else f"{self.crops_per_step} crops"
            size = f" of {most}{each}{size}" if self.crops_per_step else f"{', crops' if size else ''}{size}"
            length = f"{self._passes()}{size}"
        whatever = ", whatever the recipe's epochs" if set_by_it else ""
        test = f", at most {self.test_images} test images" if self.test_images else ""
        return f"budget {self.name}: {length}{whatever}{test}"

    def _passes(self) -> str:
        epochs = f"{self.epochs:,} epoch{'s' if self.epochs > 1 else ''}" if self.epochs else ""
        if self.exact:
            return epochs or f"{self.steps:,} steps"
        caps = " and ".join(filter(None, (epochs, f"{self.steps} steps" if self.steps else "")))
        return f"at most {caps}" if caps else "the recipe's epochs"


BUDGETS = {
    "smoke": Budget(
        "smoke", epochs=6, steps=60, crop=48, crops_per_step=4, validations=2, validation_images=4, test_images=12
    ),
    "quick": Budget("quick", epochs=12, steps=2000, crop=256, crops_per_step=1, validations=4, validation_images=32),
    "standard": Budget("standard", crops=24_000, crop=256, crops_per_step=4, validations=12),
    "paper": Budget("paper"),
}


def budget_named(name: str) -> Budget:
    """The budget called `name`; raises `HarnessError` naming the nearest known one."""
    if name not in BUDGETS:
        raise unknown_name("budget", name, BUDGETS)
    return BUDGETS[name]


def capped(recipe: Recipe, budget: Budget) -> Recipe:
    """`recipe` with its crops cut down to `budget`."""
    if budget.crop:
        recipe = replace(recipe, crop=_smaller(recipe.crop, budget.crop))
    if budget.crops_per_step:
        per_image = min(recipe.crops_per_image, budget.crops_per_step)
        images = max(1, min(recipe.images_per_step, budget.crops_per_step // per_image))
        recipe = replace(recipe, crops_per_image=per_image, images_per_step=images)
    return recipe


def _smaller(crop: int | tuple[int, int] | None, most: int) -> int | tuple[int, int]:
    if crop is None:
        return most
    if isinstance(crop, tuple):
        return min(crop[0], most), min(crop[1], most)
    return min(crop, most)


@dataclass(frozen=True)
class Plan:
    """How long a run is: epochs × steps, and after which epochs it validates.

    `last_steps`: steps of the last epoch where they are fewer than those of the others; else 0.
    """

    epochs: int
    steps_per_epoch: int
    validate_every: int
    last_steps: int = 0

    @property
    def steps(self) -> int:
        """Steps in all."""
        return self.steps_before(self.epochs)

    def steps_of(self, epoch: int) -> int:
        """Steps of the epoch of this number, counted from 0."""
        return self.steps_before(epoch + 1) - self.steps_before(epoch)

    def steps_before(self, epoch: int) -> int:
        """Steps of all epochs before that of this number."""
        missing = self.steps_per_epoch - self.last_steps if self.last_steps and epoch == self.epochs else 0
        return epoch * self.steps_per_epoch - missing


def plan(recipe: Recipe, budget: Budget, training_images: int) -> Plan:
    """The length of a run of `recipe` (already capped) under `budget` on so many images."""
    steps = max(1, -(-training_images // recipe.images_per_step))
    if budget.crops:
        per_epoch = steps * recipe.images_per_step * recipe.crops_per_image
        epochs = max(1, round(budget.crops / per_epoch))
        return Plan(epochs, steps, max(1, round(epochs / budget.validations)))
    if budget.exact:
        epochs = budget.epochs or -(-budget.steps // steps)  # type: ignore[operator]
        last = (budget.steps or 0) % steps
        return Plan(epochs, steps, max(1, round(epochs / budget.validations)), last)
    epochs = min(recipe.epochs, budget.epochs or recipe.epochs)
    if budget.steps:
        epochs = min(epochs, max(1, budget.steps // steps))
        steps = min(steps, budget.steps)
    return Plan(epochs, steps, max(1, epochs // budget.validations))
