"""Which test images are drawn together when an interval is made, and which runs were tested on the same ones."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.metrics import Group, mean_of_runs
from harness.runs.records import Record


@dataclass(frozen=True, eq=False)
class Stratum:
    """The test images of one fold, or those of them that are of one scene where the protocol scores scenes.

    Attributes:
        fold: its number; 0 where there are no folds.
        member: the scene (or what else the protocol's `mean_of` names), else "".
        images: their names, N.
        true, predicted: float [runs, N] counts, one line for each run (seed) of the fold.
        alike: how many images in a row are alike (`harness.benchmark.Benchmark.alike`).
    """

    fold: int
    member: str
    images: tuple[str, ...]
    true: np.ndarray
    predicted: np.ndarray
    alike: int = 1

    @property
    def counts(self) -> Group:
        return self.true, self.predicted

    @property
    def errors(self) -> dict[str, float]:
        """The absolute error on each image, averaged over runs, by name in alphabetical order."""
        means = mean_of_runs(np.abs(self.predicted - self.true))
        return dict(sorted(zip(self.images, means.tolist(), strict=True)))


def strata(records: Sequence[Record], alike: int = 1) -> tuple[Stratum, ...]:
    """The strata of a row's finished `records`, ordered by fold and member; images by name, whatever the order in records.

    Args:
        alike: that of the records' benchmark.

    Raises:
        ValueError: runs of one fold were tested on different images. Nothing could be averaged over them.
    """
    by_fold: dict[int, list[Record]] = defaultdict(list)
    for record in records:
        by_fold[record.fold].append(record)
    found = []
    for fold in sorted(by_fold):
        runs = by_fold[fold]
        images = sorted(_tested_on(runs[0]))
        both = np.array([_counts(run, images) for run in runs])
        members = _members(runs[0], images)
        for member in sorted(set(members)):
            here = np.flatnonzero(np.array(members) == member)
            names = tuple(images[place] for place in here)
            found.append(Stratum(fold, member, names, both[:, here, 0], both[:, here, 1], alike))
    return tuple(found)


def _tested_on(record: Record) -> list[str]:
    return [image.image for image in record.results.per_image]  # type: ignore[union-attr]


def _counts(record: Record, images: list[str]) -> list[tuple[float, float]]:
    """(true, predicted) of each of `images`."""
    assert record.results is not None
    own = {image.image: (image.true, image.predicted) for image in record.results.per_image}
    if own.keys() != set(images):
        raise ValueError(f"{record.name} was tested on other images than the runs beside it")
    return [own[name] for name in images]


def _members(record: Record, images: list[str]) -> list[str]:
    group = record.identity.get("protocol", {}).get("mean_of")
    own = {image.image: image.groups.get(group, "") if group else "" for image in record.results.per_image}  # type: ignore[union-attr]
    return [own[name] for name in images]


def by_test_images(records: Sequence[Record]) -> list[list[Record]]:
    """`records` in parts, each of which was tested on one set of images a fold; the part of the most images first.

    They are one part unless the test set was cut differently: the files are the same ones. The folds of a run stay
    together; a run that has not finished any fold goes with the first part.
    """
    first: dict[int, list[str]] = {}
    finished = [record for record in records if record.results]
    if all(
        sorted(_tested_on(record)) == first.setdefault(record.fold, sorted(_tested_on(record))) for record in finished
    ):
        return [list(records)]
    runs: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        run = {key: value for key, value in record.identity.items() if key != "fold"}
        runs[json.dumps(run, sort_keys=True)].append(record)
    images = {
        key: {record.fold: frozenset(_tested_on(record)) for record in folds if record.results}
        for key, folds in runs.items()
    }
    parts: list[tuple[dict[int, frozenset[str]], list[Record]]] = []
    for key in sorted(runs, key=lambda key: (-sum(map(len, images[key].values())), runs[key][0].name)):
        part = next((part for part in parts if _agree(part[0], images[key])), None)
        if part is None:
            part = ({}, [])
            parts.append(part)
        part[0].update(images[key])
        part[1].extend(runs[key])
    return [members for _, members in parts]


def _agree(one: dict[int, frozenset[str]], other: dict[int, frozenset[str]]) -> bool:
    return all(one[fold] == other[fold] for fold in one.keys() & other.keys())
