"""Training pictures that lie on the device whole: crops, their mirroring and the heads in them are cut within the step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from harness.data.crops import JUST_BELOW, CropSize
from harness.data.cuts import Cuts, Cutting, obstacle
from harness.data.pipeline import Pipeline, Waiting
from harness.training import backend


@dataclass(frozen=True)
class Resident:
    """A pipeline whose pictures are on the device.

    Attributes:
        pictures: uint8 [N, H, W, C], on the device.
        heads: float32 [T + 1, 3], on the device.
    """

    cutting: Cutting
    pictures: Any
    heads: Any

    def epoch(
        self, number: int, steps: int, waiting: Waiting, sent: Callable[[Any], Any], together: int = 1
    ) -> Iterator[Mapping[str, Any]]:
        """What each step is given: `crops` makes of it what the pipeline's own batches hold. `together`: see `Cutting`."""
        here = {"pictures": self.pictures, "heads": self.heads}

        def brought(cuts: Cuts) -> dict[str, Any]:
            there = sent(cuts)._asdict()
            return there if backend.compiles_steps() else {**there, "known": cuts.places.tolist()}

        for given in self.cutting.epoch(number, steps, waiting, brought, together):
            yield {**given, **here}


def resident(pipeline: Pipeline, memory: int) -> Resident | str:
    """`pipeline` with its pictures on the device, or why they stay on the host; `memory`: bytes that they may have there."""
    if keras.distribution.distribution() is not None:
        return "the run is shared among devices"
    cutting = Cutting(pipeline)
    why_not = obstacle(cutting, memory)
    if why_not:
        return why_not
    return Resident(cutting, ops.convert_to_tensor(cutting.pictures()), ops.convert_to_tensor(cutting.heads()))


def crops(given: Mapping[str, Any], size: CropSize) -> dict[str, Any]:
    """Crops of `size` and the heads in them, to the bit those that `harness.data.crops.make_crop` makes.

    Returns:
        "image" uint8 [B, h, w, C], "points" float32 [B, P, 4], and "frame" float32 [B, 1, 1, 4] as in a `Batch`.
    """
    places, rows = given["places"], given["rows"]
    found = ops.take(given["heads"], rows, axis=0)
    valid = ops.not_equal(rows, given["heads"].shape[0] - 1)
    top, left, mirrored = (ops.expand_dims(places[:, column], 1) for column in (1, 2, 3))
    x, y = found[..., 0] - ops.cast(left, "float32"), found[..., 1] - ops.cast(top, "float32")
    x = ops.where(ops.equal(mirrored, 1), (np.float32(size.width) - x) * JUST_BELOW, x)  # as `flip`
    points = [ops.where(valid, x, 0.0), ops.where(valid, y, 0.0), found[..., 2], ops.cast(valid, "float32")]
    return {
        "image": ops.concatenate(list(_images(given, size))),
        "points": ops.stack(points, axis=-1),
        "frame": _frames(places, size)[:, None, None],
    }


def _frames(places: Any, size: CropSize) -> Any:
    """float32 [B, 4]."""
    mirrored, height, width = (places[:, column] for column in (3, 4, 5))
    left = ops.where(ops.equal(mirrored, 1), size.width - width, 0)
    return ops.cast(ops.stack([left, ops.zeros_like(left), left + width, height], axis=-1), "float32")


def _images(given: Mapping[str, Any], size: CropSize) -> Iterator[Any]:
    """uint8 [1, h, w, C] of each crop."""
    pictures = given["pictures"]
    if "known" in given:  # to the host: where nothing is compiled, it would wait for the device to say it
        for row, top, left, mirrored, *_ in given["known"]:
            crop = pictures[row : row + 1, top : top + size.height, left : left + size.width]
            yield ops.flip(crop, axis=2) if mirrored else crop
        return
    for place in ops.unstack(given["places"]):
        start = ops.stack([place[0], place[1], place[2], ops.zeros_like(place[0])])
        crop = ops.slice(pictures, start, (1, size.height, size.width, pictures.shape[3]))
        yield ops.where(ops.equal(place[3], 1), ops.flip(crop, axis=2), crop)
