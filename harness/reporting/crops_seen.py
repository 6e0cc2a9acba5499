"""How much a run was trained: the crops it saw."""

from __future__ import annotations

from collections.abc import Iterable

from harness.runs.records import Record


def crops_seen(record: Record, epoch: int | None = None) -> int | None:
    """Crops trained on up to the end of `epoch` (from 1), or in all; None where the record does not say.

    Every epoch has as many steps but the last, which an exact number of steps may cut short.
    """
    recipe, training = record.identity.get("recipe", {}), record.training
    images, crops = recipe.get("images_per_step"), recipe.get("crops_per_image")
    if not (images and crops and training and record.data):
        return None
    if epoch is None:
        return int(training.steps * images * crops)
    return int(min(epoch * -(-record.data.train_images // images), training.steps) * images * crops)


def longest(records: Iterable[Record]) -> int:
    """The most crops that one of `records` was trained on; 0 where none says."""
    return max((crops_seen(record) or 0 for record in records), default=0)
