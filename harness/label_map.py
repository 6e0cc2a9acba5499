"""Rasters that travel with the crops of an image: a depth, a perspective, whatever is known for each of its pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from harness.benchmark import Benchmark, Sample


def _no_files(benchmark: Benchmark, sample: Sample) -> tuple[Path, ...]:
    return ()


@dataclass(frozen=True)
class LabelMap:
    """One value for each pixel of a training image, cut, scaled and mirrored with it.

    Attributes:
        source: where its values come from, in one word; part of a run's identity.
        read: (benchmark, sample, head points float [N, 2], (height, width) of the image) → float32 [height, width].
        lengths: whether the values are lengths in pixels of the image, which grow where a crop is enlarged.
        files: the files it reads for a sample; their bytes are part of a run's identity. Raises `DataError` where one is
            missing.
    """

    source: str
    read: Callable[[Benchmark, Sample, np.ndarray, tuple[int, int]], np.ndarray]
    files: Callable[[Benchmark, Sample], tuple[Path, ...]] = _no_files
    lengths: bool = False
