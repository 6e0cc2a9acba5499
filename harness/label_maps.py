"""Rasters that travel with the crops of an image: a depth, a perspective, whatever is known for each of its pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.benchmark import Benchmark, Sample
from harness.digests import file_digest
from harness.errors import DataError


def _no_files(benchmark: Benchmark, sample: Sample) -> tuple[Path, ...]:
    return ()


@dataclass(frozen=True)
class LabelMap:
    """One value for each pixel of a training image, cut, scaled and mirrored with it.

    Attributes:
        source: where its values come from, in one word; part of a run's identity.
        read: (benchmark, sample, head points float [N, 2], (height, width) of the image) → float32 [height, width].
        files: the files it reads for a sample; their bytes are part of a run's identity. Raises `DataError` where one is
            missing.
    """

    source: str
    read: Callable[[Benchmark, Sample, np.ndarray, tuple[int, int]], np.ndarray]
    files: Callable[[Benchmark, Sample], tuple[Path, ...]] = _no_files

    def fingerprint(self, benchmark: Benchmark, samples: tuple[Sample, ...]) -> str:
        """The source and a hash of the files it reads for the training images; raises `DataError`, naming the file."""
        digest = hashlib.blake2b(digest_size=12)
        found = False
        for sample in samples:
            for path in self.files(benchmark, sample):
                found = True
                digest.update(file_digest(path))
        return f"{self.source} {digest.hexdigest()}" if found else self.source


def as_large_as(values: np.ndarray, shape: tuple[int, int], what: str) -> np.ndarray:
    """`values` [h, w] enlarged or reduced bilinearly to `shape` (height, width); float32.

    Raises:
        DataError: no two-dimensional array of finite numbers, or another aspect ratio than the image's (by over 1 %).
    """
    import cv2

    if values.ndim != 2 or not np.isfinite(values).all():
        raise DataError(f"{what}: expected finite numbers [height, width], found shape {values.shape}")
    if values.shape == shape:
        return values.astype(np.float32)
    ratio = (values.shape[0] / values.shape[1]) / (shape[0] / shape[1])
    if abs(ratio - 1) > 0.01:
        raise DataError(
            f"{what}: {values.shape[0]} rows × {values.shape[1]} columns; expected the aspect ratio of its image, "
            f"{shape[0]} × {shape[1]}"
        )
    return cv2.resize(values.astype(np.float32), (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
