"""Crops as places in pictures that lie whole on the device: what the host still draws where it cuts nothing itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from harness.data.crops import CropSize, drawn_flip, drawn_window, fixed_size, pad_to
from harness.data.image_store import GIBIBYTE
from harness.data.pipeline import WORKERS, Pipeline, Waiting, padded_length


class Cuts(NamedTuple):
    """One step's crops.

    Attributes:
        places: int32 [B, 6]: the row of the picture, top, left, 1 where the crop is mirrored, and the height and width of what
            of it shows the picture.
        rows: int32 [B, P]: which of all heads lie in the crop, in the order of `Crops.points`; the last of all is no head.
    """

    places: np.ndarray
    rows: np.ndarray


def obstacle(cutting: Cutting, memory: int) -> str:
    """Why its crops cannot be cut on the device, out of at most `memory` bytes of pictures, or ""."""
    pipeline, recipe = cutting.pipeline, cutting.pipeline.recipe
    why = {
        "crops are shares of their images": recipe.crop is None,
        "images are resized": recipe.scales != (1.0, 1.0),
        "noise is added": bool(recipe.noise),
        "colour is removed from some crops": bool(recipe.grey),
        "labels are maps of pixels": bool(pipeline.label_maps),
        "there are regions of interest": pipeline.benchmark.read_roi is not None,
    }
    for said, so in why.items():
        if so:
            return said
    height, width, _ = cutting.frame
    needed = len(pipeline.samples) * int(np.prod(cutting.frame))
    if needed <= memory:
        return ""
    return (
        f"{len(pipeline.samples)} images in frames of {height}×{width} need {needed / GIBIBYTE:.2g} GiB, above the "
        f"{memory / GIBIBYTE:.2g} of --memory"
    )


@dataclass(frozen=True)
class Cutting:
    """The batches of a pipeline as `Cuts`, from the same draws as its `Crops`."""

    pipeline: Pipeline

    @cached_property
    def shapes(self) -> list[tuple[int, ...]]:
        """Height, width and channels of every picture."""
        with ThreadPoolExecutor(WORKERS) as pool:
            return self.pipeline.shapes(pool)

    @cached_property
    def size(self) -> CropSize:
        """That of every crop."""
        assert self.pipeline.recipe.crop is not None  # crops by share are not cut on the device
        return fixed_size(self.pipeline.recipe.crop, self.pipeline.multiple)

    @property
    def frame(self) -> tuple[int, int, int]:
        """Height, width and channels into which every picture and crop fits."""
        height, width = (max(shape[side] for shape in self.shapes) for side in (0, 1))
        return max(height, self.size.height), max(width, self.size.width), self.shapes[0][2]

    @cached_property
    def _first(self) -> np.ndarray:
        """The row of each picture's first head among all heads, and at the end the number of heads."""
        counts = [len(self.pipeline.heads(sample)) for sample in self.pipeline.samples]
        return np.cumsum([0, *counts])

    def pictures(self) -> np.ndarray:
        """uint8 [N, H, W, C]: every picture, continued to the right and below by its last column and row."""
        height, width, channels = self.frame
        pictures = np.empty((len(self.shapes), height, width, channels), np.uint8)
        for picture, sample in zip(pictures, self.pipeline.samples, strict=True):
            picture[:] = pad_to(self.pipeline.store.get(sample), height, width)
        return pictures

    def heads(self) -> np.ndarray:
        """float32 [T + 1, 3]: x, y, sigma of all heads, each in its picture's frame, and a last row that stands for none."""
        return np.concatenate([*map(self.pipeline.heads, self.pipeline.samples), np.array([[0, 0, 1]], np.float32)])

    def epoch(
        self,
        number: int,
        steps: int,
        waiting: Waiting | None = None,
        sent: Any = lambda cuts: cuts,
        together: int = 1,
    ) -> Iterator[Any]:
        """As `Pipeline.epoch`, of `Cuts`: of `together` steps, on a first axis, as long as so many are left; then of one."""
        if together == 1:
            yield from self.pipeline.epoch(number, steps, waiting, sent, self._batch)
            return
        cuts = self.pipeline.epoch(number, steps, waiting, made=self._batch)
        for _ in range(steps // together):
            yield sent(self._stacked(tuple(islice(cuts, together))))
        yield from map(sent, cuts)

    def _stacked(self, cuts: Sequence[Cuts]) -> Cuts:
        """places int32 [S, B, 6] and rows int32 [S, B, P], padded alike."""
        most = max(one.rows.shape[1] for one in cuts)
        none = self._first[-1]
        rows = [np.pad(one.rows, ((0, 0), (0, most - one.rows.shape[1])), constant_values=none) for one in cuts]
        return Cuts(np.stack([one.places for one in cuts]), np.stack(rows))

    def _batch(self, epoch: int, step: int, rows: list[int]) -> Cuts:
        places, held = [], []
        for row, size, generator in self.pipeline.draws(epoch, step, rows, self.shapes.__getitem__):
            window = drawn_window(self.shapes[row], size, 1.0, generator)
            mirrored = drawn_flip(self.pipeline.recipe, generator)
            places.append((row, window.top, window.left, mirrored, window.height, window.width))
            inside = window.holds(window.seen_from(self.pipeline.heads(self.pipeline.samples[row])))
            held.append(self._first[row] + np.flatnonzero(inside))
        length = padded_length(max(map(len, held)))
        none = self._first[-1]
        return Cuts(
            np.array(places, np.int32),
            np.array([np.pad(one, (0, length - len(one)), constant_values=none) for one in held], np.int32),
        )
