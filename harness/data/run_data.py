"""Everything that one run reads, from its samples to its crops."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from harness.benchmark import Benchmark, Sample
from harness.data.image_store import ImageStore
from harness.data.pipeline import Pipeline
from harness.data.scenes import Scene, scenes
from harness.data.splits import Split, split
from harness.run import Run


@dataclass(frozen=True)
class RunData:
    """The data of one run.

    Attributes:
        split: its samples, as the benchmark splits them.
        points: float64 [N, 2] of every sample of the benchmark, by name.
        crops: the batches it trains on.
        memory: bytes of decoded images that may be held.
        chooses, tests: the images that choose its checkpoint, and those it is tested on once.
    """

    benchmark: Benchmark
    split: Split
    points: Mapping[str, np.ndarray]
    store: ImageStore
    crops: Pipeline
    memory: int
    chooses: tuple[Sample, ...]
    tests: tuple[Sample, ...]

    @property
    def largest_count(self) -> float:
        """Heads in the fullest image of training and validation; what is tested on stays unknown."""
        return float(max(len(self.points[sample.name]) for sample in (*self.split.train, *self.split.val)))

    def scenes(self, samples: tuple[Sample, ...], boxes: bool = False) -> Iterator[Scene]:
        """`samples` as they are measured; `boxes` as of `scenes`."""
        return scenes(self.benchmark, samples, self.store, boxes)


def run_data(run: Run, samples: tuple[Sample, ...], memory: int) -> RunData:
    """The data of `run` on `samples`, every one of its benchmark; `memory` as in `ImageStore`.

    Raises:
        DataError: an annotation is damaged.
    """
    points = {sample.name: run.benchmark.read_points(sample) for sample in samples}
    # Crops and scenes ask for them again and again: they are read once.
    benchmark, budget = replace(run.benchmark, read_points=lambda sample: points[sample.name]), run.budget
    parts = split(benchmark, samples, run.request.fold)
    tests = parts.test[: budget.test_images]
    store = ImageStore(benchmark, run.method.channels, memory)
    maps = run.method.maps(run.options)
    crops = Pipeline(benchmark, parts.train, store, run.recipe, run.method.side_multiple, run.request.seed, maps)
    return RunData(
        benchmark=benchmark,
        split=parts,
        points=points,
        store=store,
        crops=crops,
        memory=memory,
        chooses=parts.val[: budget.validation_images] if run.request.select == "validation" else tests,
        tests=tests,
    )
