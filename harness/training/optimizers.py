"""Whether Keras knows the optimiser that a stage names."""

from __future__ import annotations

from harness.errors import HarnessError, one_line
from harness.method import Stage


def check(stage: Stage) -> None:
    """Raises `HarnessError` where Keras has no such optimiser, or it takes no such options."""
    import keras

    config = {"learning_rate": stage.learning_rate, **stage.options}
    try:
        keras.optimizers.get({"class_name": stage.optimizer, "config": config})
    except Exception as error:  # of many kinds
        raise HarnessError(
            f"stage {stage.name}: optimizer {stage.optimizer!r} with {config}: {one_line(error)}; expected a name and options "
            f"of keras.optimizers"
        ) from None
