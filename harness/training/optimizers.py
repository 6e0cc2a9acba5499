"""The optimiser of a stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError, one_line
from harness.recipe import Recipe, Stage

if TYPE_CHECKING:
    import keras


ELSEWHERE = {
    "learning_rate": "learning_rate of the stage, which is set before every step",
    **dict.fromkeys(("use_ema", "ema_momentum", "ema_overwrite_frequency"), "ema of the recipe"),
}
CLIPS = ("clipnorm", "clipvalue", "global_clipnorm")


def optimizer_of(stage: Stage, ema: float = 0.0, clip: float = 0.0) -> keras.optimizers.Optimizer:
    """The optimiser that `stage` names; `ema` and `clip` as in `Recipe`. What Keras raises of it is raised."""
    import keras

    for option in sorted(stage.options.keys() & ELSEWHERE.keys()):
        raise HarnessError(
            f"optimizer {stage.optimizer}: {option} has no effect in options; expected {ELSEWHERE[option]}"
        )
    if clip and (twice := [option for option in CLIPS if option in stage.options]):
        raise HarnessError(
            f"optimizer {stage.optimizer}: both the recipe's clip and {twice[0]} in options; expected one"
        )
    return keras.optimizers.get({"class_name": stage.optimizer, "config": _config(stage, ema, clip)})


def with_rates(optimizer: keras.optimizers.Optimizer, factors: Mapping[int, float]) -> keras.optimizers.Optimizer:
    """`optimizer`, its learning rate multiplied for single variables: `factors` by `id` of the variable, 1 where not there.

    Raises:
        HarnessError: an optimiser whose steps are not in proportion to that rate alone.
    """
    if factors:
        _check_rates(optimizer, optimizer.name)
    update = optimizer._backend_update_step  # the one place where all backends hand rate and variables over together

    def update_by_rate(gradients: list[Any], variables: list[Any], rate: Any) -> None:
        pairs = list(zip(gradients, variables, strict=True))
        of_pairs = [factors.get(id(variable), 1.0) for variable in variables]
        for factor in sorted(set(of_pairs)):
            chosen = [pair for pair, its in zip(pairs, of_pairs, strict=True) if its == factor]
            update([gradient for gradient, _ in chosen], [variable for _, variable in chosen], rate * factor)

    if factors:
        optimizer._backend_update_step = update_by_rate
    return optimizer


def _check_rates(optimizer: keras.optimizers.Optimizer, name: str) -> None:
    import keras

    if isinstance(optimizer, keras.optimizers.Nadam):  # a product of it advances with every group of variables
        raise HarnessError(f"optimizer {name}: cannot have rates for single layers; expected adam, sgd or another")
    if optimizer.weight_decay:
        raise HarnessError(
            f"optimizer {name}: its weight_decay of {optimizer.weight_decay:g} would not follow the rates of single layers; "
            f"expected l2 of the stage in its place"
        )


def check(recipe: Recipe) -> None:
    """Raises `HarnessError` where Keras has no optimiser that a stage names, or it takes no such options."""
    for stage in recipe.stages:
        try:
            optimizer = optimizer_of(stage, recipe.ema, recipe.clip)
            if stage.rates:
                _check_rates(optimizer, stage.optimizer)
        except HarnessError as error:
            raise HarnessError(f"stage {stage.name}: {error}") from None
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
