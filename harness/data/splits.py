"""Which images train, which choose the checkpoint, which test."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.benchmark import Benchmark, Sample
from harness.errors import DataError

VALIDATION_SHARE = 0.1
SMALLEST_VALIDATION = 4
LARGEST_SHARE = 0.2  # goes before the smallest number: of a handful of images most must train
FEW = 10


@dataclass(frozen=True)
class Split:
    """Three disjoint sets of samples. `test` is touched once, after training."""

    train: tuple[Sample, ...]
    val: tuple[Sample, ...]
    test: tuple[Sample, ...]

    @property
    def sizes(self) -> dict[str, int]:
        """Images in each set, by its name."""
        return {"train": len(self.train), "val": len(self.val), "test": len(self.test)}

    def warning(self) -> str:
        """One sentence where there are too few images to learn from, else ""."""
        if len(self.train) >= FEW:
            return ""
        return (
            f"{len(self.train)} images to train on are few (below {FEW}): the numbers will show that everything runs, not "
            f"how good a method is"
        )


def said(sizes: Mapping[str, int], folds: int = 0) -> str:
    """`Split.sizes` in words, "54 to train, 6 to validate, 24 to test"; of the first of `folds`, where there are any."""
    where = f" in the first of {folds} folds" if folds else ""
    return f"{sizes['train']:,} to train, {sizes['val']:,} to validate, {sizes['test']:,} to test{where}"


def split(benchmark: Benchmark, samples: tuple[Sample, ...], fold: int = 0) -> Split:
    """The split of one cell: the benchmark's own, with a validation set held out of training where it has none.

    Held out is a tenth of the training images, at least four of them, but never more than a fifth (nor all; of one image
    none). The held-out images are those whose name hashes lowest, so they do not depend on the seed of a run: every method and
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
    chosen = {sample.name for sample in sorted(rest, key=_draw)[: _held_out(len(rest))]}
    return Split(
        tuple(sample for sample in rest if sample.name not in chosen),
        tuple(sample for sample in rest if sample.name in chosen),
        test,
    )


def require_images(parts: Split, folder: Path) -> None:
    """Refuses a split that leaves nothing to train on, to choose by or to test.

    Raises:
        DataError: names `folder` and says what is missing.
    """
    if not all(parts.sizes.values()):
        raise DataError(
            f"{folder}: {said(parts.sizes)}; expected at least one of each: add pictures with their points (three are the "
            f"least, {FEW} to train the least that says anything), or put them into folders train, val and test"
        )


def select(benchmark: Benchmark, samples: tuple[Sample, ...], name: str, fold: int = 0) -> tuple[Sample, ...]:
    """The samples of split `name`: "train", "val", "test", or "all" (every image, whatever the folds)."""
    if name == "all":
        return samples
    return getattr(split(benchmark, samples, fold), name)


def _held_out(images: int) -> int:
    wanted = max(SMALLEST_VALIDATION, round(VALIDATION_SHARE * images))
    return max(0, min(wanted, max(1, round(LARGEST_SHARE * images)), images - 1))


def _draw(sample: Sample) -> bytes:
    return hashlib.sha256(f"validation/{sample.name}".encode()).digest()
