"""What share of its paper's training a row had."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from harness.budgets import BUDGETS, plan
from harness.method import Method
from harness.reporting.crops_seen import crops_seen
from harness.reporting.rows import Row
from harness.reporting.tables import Cell
from harness.run import ORACLE
from harness.runs.records import Record

SHARE = "of the paper's training"
CHECKPOINT = "checkpoint"
LOOKS = "looks"
MINUTES = "minutes of training"
MEANING = (
    f"{SHARE}: crops trained on ÷ crops that the paper's recipe, as the plugin has it, asks for on as many training images; "
    f"crops of every size count alike"
)


def crops_of_paper(record: Record, methods: Mapping[str, Method]) -> int | None:
    """Crops that the recipe `paper` of the record's method asks for on its training images; None without its plugin."""
    method = methods.get(record.method)
    if method is None or record.data is None:
        return None
    recipe = method.recipe_for(record.dataset)
    return (
        plan(recipe, BUDGETS["paper"], record.data.train_images).steps * recipe.images_per_step * recipe.crops_per_image
    )


def share(row: Row, methods: Mapping[str, Method]) -> float | None:
    """The mean over a row's runs of the crops seen ÷ those of the paper; None where one of them is not known."""
    pairs = [(crops_seen(record), crops_of_paper(record, methods)) for record in row.records]
    shares = [seen / asked for seen, asked in pairs if seen is not None and asked]
    return statistics.fmean(shares) if shares and len(shares) == len(pairs) else None


def as_cell(share: float | None) -> Cell:
    """Two digits of a percentage for people, the fraction for programs."""
    if share is None:
        return Cell()
    percent = 100 * share
    return Cell(f"{percent:.0f} %" if percent >= 10 else f"{percent:.2g} %", share)


def chosen(row: Row) -> str:
    """The epoch whose weights were tested and the number of epochs, "14 of 88"; from the first to the last of several runs."""
    best = sorted(record.training.best_epoch for record in row.records if record.training)
    epochs = sorted(record.training.epochs for record in row.records if record.training)
    return f"{_span(best)} of {_span(epochs)}" if best else ""


def looks(row: Row) -> str:
    """How often the images that choose the checkpoint were counted, "13"; from the fewest to the most of several runs."""
    counted = sorted(_looks(record) for record in row.records if record.training)
    return _span(counted) if counted and counted[0] else ""


def _looks(record: Record) -> int:
    """Those in stages of which a checkpoint may be; of the last stage it always may."""
    stages = record.identity.get("recipe", {}).get("stages", [])[:-1]
    others = {stage.get("name") for stage in stages if not stage.get("selects", True)}
    history = record.training.history if record.training else []
    return sum(epoch.val_mae is not None and epoch.stage not in others for epoch in history)


def minutes(record: Record) -> float:
    """Minutes of training: the median epoch times their number, so that one in which the machine slept counts like others."""
    assert record.training is not None
    return statistics.median(epoch.seconds for epoch in record.training.history) * record.training.epochs / 60


def _span(values: Sequence[int]) -> str:
    return f"{values[0]}" if values[0] == values[-1] else f"{values[0]}–{values[-1]}"


def checkpoint_meaning(select: str) -> str:
    """What the columns of chosen epochs and minutes hold; `select` as records have it."""
    images = "test images" if select == ORACLE else "validation images"
    return (
        f"{CHECKPOINT}: the epoch that was tested, of all that were trained: of those after which the {images} were counted, "
        f"in stages that may be chosen from ({LOOKS}), the one of lowest MAE. {MINUTES}: the median epoch times their number, "
        f"without validation and test"
    )
