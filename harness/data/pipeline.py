"""Samples → batches of uint8 crops and padded head points, made in the background, in an order fixed by the seed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from harness.benchmark import Benchmark, Sample
from harness.data.crops import CropSize, drawn_share, fixed_size, make_crop, shared_size, shares
from harness.data.few_sizes import few
from harness.data.image_store import ImageStore
from harness.label_map import LabelMap
from harness.nn.batch import FRAME, REGION
from harness.recipe import Recipe

SMALLEST_PADDING = 64  # rows; padding to powers of two from here keeps the number of compiled shapes small
AHEAD = 8  # batches prepared while a step runs
WORKERS = 2


def kernel_metres(recipe: Recipe, benchmark: Benchmark) -> float:
    """The sigma of the kernels where the benchmark's own, in metres, takes the place of the recipe's rule; else 0."""
    return benchmark.sigma_metres if recipe.benchmark_kernels and benchmark.read_perspective else 0.0


@dataclass
class Waiting:
    """How long training waited for its next batch, in seconds."""

    seconds: float = 0.0


class Crops(NamedTuple):
    """One step's input: images uint8 [B, h, w, C], points float32 [B, P, 4] (x, y, sigma, valid), maps as in a `Batch`."""

    images: np.ndarray
    points: np.ndarray
    maps: Mapping[str, np.ndarray]


@dataclass
class Pipeline:
    """The training batches of one run.

    Every crop is drawn from a generator seeded by (seed, epoch, position), so batches do not depend on threads, and an
    epoch can be made again after a restart.
    """

    benchmark: Benchmark
    samples: tuple[Sample, ...]
    store: ImageStore
    recipe: Recipe
    multiple: int
    seed: int
    label_maps: Mapping[str, LabelMap] = field(default_factory=dict)
    _heads: dict[str, np.ndarray] = field(default_factory=dict)
    _regions: dict[str, tuple[tuple[int, ...], np.ndarray]] = field(default_factory=dict)
    _few: dict[float, dict[CropSize, CropSize]] = field(default_factory=dict)
    _rows: dict[CropSize, int] = field(default_factory=dict)

    def epoch(
        self,
        number: int,
        steps: int,
        waiting: Waiting | None = None,
        sent: Callable[[Any], Any] = lambda batch: batch,
        made: Callable[[int, int, list[int]], Any] | None = None,
    ) -> Iterator[Any]:
        """`steps` batches.

        Args:
            sent: what a thread in the background does with each batch, such as to bring it to the device.
            made: builds a step's batch from (epoch, step, rows of `samples`); default: `Crops`.
        """
        made = made or self._batch
        order = np.random.default_rng([self.seed, number]).permutation(len(self.samples))
        per_step = self.recipe.images_per_step
        waiting = waiting or Waiting()
        pending: deque = deque()
        submitted = 0
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="crops") as pool:
            if self.recipe.crop is None and not self._few:
                self._choose_sizes(self.shapes(pool))
            try:
                for step in range(steps):
                    while submitted < min(steps, step + AHEAD):
                        first = submitted * per_step
                        rows = [int(order[place % len(order)]) for place in range(first, first + per_step)]
                        pending.append(pool.submit(lambda *which: sent(made(*which)), number, submitted, rows))
                        submitted += 1
                    started = time.perf_counter()
                    batch = pending.popleft().result()
                    waiting.seconds += time.perf_counter() - started
                    yield batch
            finally:
                for future in pending:
                    future.cancel()

    def shapes(self, pool: ThreadPoolExecutor) -> list[tuple[int, ...]]:
        """Height, width and channels of every image, which `pool` decodes."""
        return list(pool.map(lambda sample: self.store.get(sample).shape, self.samples))

    def draws(
        self, epoch: int, step: int, rows: list[int], shape_of: Callable[[int], tuple[int, ...]]
    ) -> Iterator[tuple[int, CropSize, np.random.Generator]]:
        """For each crop of a step: the row of its image, its size, and the generator that draws the rest of it."""
        for position, row in enumerate(rows):
            size = self._size(shape_of(row), np.random.default_rng([self.seed, epoch, step, position]))
            for number in range(self.recipe.crops_per_image):
                generator = np.random.default_rng([self.seed, epoch, step, position, number])
                yield row, size, generator

    def heads(self, sample: Sample) -> np.ndarray:
        """float32 [N, 3]: x, y, sigma of every annotated head of `sample`."""
        if sample.name not in self._heads:
            points = self.benchmark.read_points(sample)
            sigma = self._sigma(sample, points)
            self._heads[sample.name] = np.column_stack([points, sigma]).astype(np.float32)
        return self._heads[sample.name]

    def _choose_sizes(self, shapes: list[tuple[int, ...]]) -> None:
        """The few sizes that crops of each share have, and for each the rows of points that hold any of its crops.

        Each share has its own: among the sizes of all shares, the many small ones would leave none for whole images.
        """
        for share in set(shares(self.recipe)):
            wanted = [shared_size(share, shape, self.multiple) for shape in shapes]
            self._few[share] = few(wanted)
            for sample, size in zip(self.samples, wanted, strict=True):
                given = self._few[share][size]
                self._rows[given] = max(self._rows.get(given, 0), padded_length(len(self.heads(sample))))

    def _size(self, shape: tuple[int, ...], generator: np.random.Generator) -> CropSize:
        """The size of a step's crops from an image of `shape`."""
        if self.recipe.crop is not None:
            return fixed_size(self.recipe.crop, self.multiple)
        share = drawn_share(self.recipe, generator)
        size = shared_size(share, shape, self.multiple)
        return self._few[share][size] if self._few else size

    def _sigma(self, sample: Sample, points: np.ndarray) -> np.ndarray:
        """float32 [N] in pixels: the recipe's rule, or the benchmark's own in metres."""
        metres = kernel_metres(self.recipe, self.benchmark)
        if not metres or self.benchmark.read_perspective is None:
            return self.recipe.sigma.of(points)
        perspective = self.benchmark.read_perspective(sample)
        rows = np.clip(points[:, 1].astype(int), 0, perspective.shape[0] - 1)
        columns = np.clip(points[:, 0].astype(int), 0, perspective.shape[1] - 1)
        return (metres * perspective[rows, columns]).astype(np.float32)

    def _batch(self, epoch: int, step: int, rows: list[int]) -> Crops:
        parts = {row: self._parts(self.samples[row]) for row in rows}
        lengths = [name for name, label in self.label_maps.items() if label.lengths]
        crops = []
        for row, size, generator in self.draws(epoch, step, rows, lambda row: parts[row][0].shape):
            image, heads, maps = parts[row]
            crops.append(make_crop(image, heads, size, self.recipe, generator, maps, lengths))
        height, width = crops[0].image.shape[:2]
        least = self._rows.get(CropSize(height, width), 0)
        return Crops(
            np.stack([crop.image for crop in crops]),
            padded([crop.heads for crop in crops], least),
            {
                **{name: np.stack([crop.maps[name] for crop in crops])[..., None] for name in crops[0].maps},
                FRAME: np.stack([crop.frame for crop in crops])[:, None, None],
            },
        )

    def _parts(self, sample: Sample) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """The image of `sample`, its heads, and its label maps with the benchmark's region among them."""
        image, heads = self.store.get(sample), self.heads(sample)
        maps = {
            name: label.read(self.benchmark, sample, heads[:, :2], image.shape[:2])
            for name, label in self.label_maps.items()
        }
        if self.benchmark.read_roi is not None:
            maps[REGION] = self._region(sample, self.benchmark.read_roi)
        return image, heads, maps

    def _region(self, sample: Sample, read: Callable[[Sample], np.ndarray]) -> np.ndarray:
        """float32 [H, W]: 1 in the region of interest. Kept packed, for it is read again with every crop."""
        if sample.name not in self._regions:
            region = read(sample)
            self._regions[sample.name] = region.shape, np.packbits(region)
        (height, width), bits = self._regions[sample.name]
        return np.unpackbits(bits, count=height * width).reshape(height, width).astype(np.float32)


def padded_length(heads: int) -> int:
    """Rows for so many heads: a power of two."""
    return max(SMALLEST_PADDING, 1 << max(0, heads - 1).bit_length())


def padded(heads: list[np.ndarray], least: int = 0) -> np.ndarray:
    """Heads [N_b, 3] of each crop → float32 [B, P, 4], P a power of two, at least `least`; the last column is 1 for a head."""
    length = max(least, padded_length(max(len(rows) for rows in heads)))
    points = np.zeros((len(heads), length, 4), np.float32)
    points[:, :, 2] = 1.0  # a padding row is a valid Gaussian of weight 0
    for row, inside in enumerate(heads):
        points[row, : len(inside), :3] = inside
        points[row, : len(inside), 3] = 1.0
    return points
