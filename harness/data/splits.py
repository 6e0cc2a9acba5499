"""Which images train, which choose the checkpoint, which test."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from harness.benchmark import Benchmark, Sample

VALIDATION_SHARE = 0.1
SMALLEST_VALIDATION = 4


@dataclass(frozen=True)
class Split:
    """Three disjoint sets of samples. `test` is touched once, after training."""

    train: tuple[Sample, ...]
    val: tuple[Sample, ...]
    test: tuple[Sample, ...]


def split(benchmark: Benchmark, samples: tuple[Sample, ...], fold: int = 0) -> Split:
    """The split of one cell: the benchmark's own, with a validation set held out of training where it has none.

    The held-out images are those whose name hashes lowest, so they do not depend on the seed of a run: every method and
    every seed validates on the same images.
    """
    if benchmark.folds:
        test = tuple(sample for sample in samples if sample.groups["fold"] == str(fold))
        rest = tuple(sample for sample in samples if sample.groups["fold"] != str(fold))
        own: tuple[Sample, ...] = ()
    else:
        test = tuple(sample for sample in samples if sample.split == "test")
        rest = tuple(sample for sample in samples if sample.split == "train")
        own = tuple(sample for sample in samples if sample.split == "val")
    if own:
        return Split(rest, own, test)
    held = max(SMALLEST_VALIDATION, round(VALIDATION_SHARE * len(rest)))
    chosen = {sample.name for sample in sorted(rest, key=_draw)[: min(held, len(rest) - 1)]}
    return Split(
        tuple(sample for sample in rest if sample.name not in chosen),
        tuple(sample for sample in rest if sample.name in chosen),
        test,
    )


def select(benchmark: Benchmark, samples: tuple[Sample, ...], name: str, fold: int = 0) -> tuple[Sample, ...]:
    """The samples of split `name`: "train", "val", "test", or "all" (every image, whatever the folds)."""
    if name == "all":
        return samples
    return getattr(split(benchmark, samples, fold), name)


def _draw(sample: Sample) -> bytes:
    return hashlib.sha256(f"validation/{sample.name}".encode()).digest()
