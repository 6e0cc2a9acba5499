"""Crops by share have few sizes, however many their images have: a step is compiled for each."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from harness.data.crops import CropSize

MOST = 8


def few(wanted: Iterable[CropSize], most: int = MOST) -> dict[CropSize, CropSize]:
    """What each size is given: itself where there are at most `most` of them, else one of so many, no side of it longer.

    Sizes are split into groups, one split after another, each where it saves most of the pixels; a group is given its least
    height and its least width. `wanted` may hold a size several times: it then weighs as much.
    """
    sizes, counts = np.unique([(size.height, size.width) for size in wanted], axis=0, return_counts=True)
    groups = [np.arange(len(sizes))]
    worth = counts / sizes.prod(axis=1)  # a large picture counts no more than a small one
    while len(groups) < most:
        splits = [(*_best_split(sizes[group], worth[group]), number) for number, group in enumerate(groups)]
        gain, order, at, number = max(splits, key=lambda split: split[0])
        if gain <= 0:
            break
        group = groups.pop(number)[order]
        groups += [group[:at], group[at:]]
    return {
        CropSize(*map(int, sizes[one])): CropSize(*map(int, sizes[group].min(axis=0)))
        for group in groups
        for one in group
    }


def _best_split(sizes: np.ndarray, worth: np.ndarray) -> tuple[float, np.ndarray, int]:
    """The share of pixels that a split in two saves, summed over pictures; the order by a side, and the place in it."""
    best: tuple[float, np.ndarray, int] = (0.0, np.arange(len(sizes)), 0)
    whole = sizes.min(axis=0).prod() * worth.sum()
    for side in (0, 1):
        order = np.argsort(sizes[:, side], kind="stable")
        there, weight = sizes[order], worth[order]
        before = np.minimum.accumulate(there).prod(axis=1) * np.cumsum(weight)
        after = (np.minimum.accumulate(there[::-1]).prod(axis=1) * np.cumsum(weight[::-1]))[::-1]
        saved = before[:-1] + after[1:] - whole
        if len(saved) and saved.max() > best[0]:
            best = float(saved.max()), order, int(saved.argmax()) + 1
    return best
