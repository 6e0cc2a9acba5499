"""The optimiser of a stage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError, one_line
from harness.method import Recipe, Stage

if TYPE_CHECKING:
    import keras


def optimizer_of(stage: Stage, ema: float = 0.0, clip: float = 0.0) -> keras.optimizers.Optimizer:
    """The optimiser that `stage` names; `ema` and `clip` as in `Recipe`. What Keras raises of it is raised."""
    import keras

    return keras.optimizers.get({"class_name": stage.optimizer, "config": _config(stage, ema, clip)})


def check(recipe: Recipe) -> None:
    """Raises `HarnessError` where Keras has no optimiser that a stage names, or it takes no such options."""
    for stage in recipe.stages:
        try:
            optimizer_of(stage, recipe.ema, recipe.clip)
        except Exception as error:  # of many kinds
            config = _config(stage, recipe.ema, recipe.clip)
            raise HarnessError(
                f"stage {stage.name}: optimizer {stage.optimizer!r} with {config}: {one_line(error)}; expected a name and "
                f"options of keras.optimizers"
            ) from None


def _config(stage: Stage, ema: float, clip: float) -> dict[str, Any]:
    averaging = {"use_ema": True, "ema_momentum": ema} if ema else {}
    clipping = {"global_clipnorm": clip} if clip else {}
    return {"learning_rate": stage.learning_rate, **stage.options, **averaging, **clipping}
