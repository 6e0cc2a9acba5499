"""Decoded images, once each: in memory up to a budget, then as memory-mapped files."""

from __future__ import annotations

import hashlib
import os
import threading
import warnings
from pathlib import Path

import numpy as np

from harness.benchmark import Benchmark, Sample
from harness.files.atomic import replacing

GIBIBYTE = 1 << 30
READER_VERSION = 3  # raise it when `read_image` or what is masked differs, so that no old file is used


def cache_folder() -> Path:
    """`HARNESS_CACHE`, or the user's cache folder."""
    from platformdirs import user_cache_path

    override = os.environ.get("HARNESS_CACHE")
    return Path(override) if override else user_cache_path("crowd-harness")


class ImageStore:
    """uint8 [H, W, channels] by sample; decodes on first use. Safe to call from several threads.

    Args:
        memory: bytes of decoded pixels to hold. Behind that, pixels lie in `folder` as `.npy` files named by a checksum
            of the source file, and are mapped, not read, for as long as somebody looks at them: a mapping keeps a file open,
            and thousands are more than a process may have. Files that cannot be written or read are decoded each time.
    """

    def __init__(self, benchmark: Benchmark, channels: int, memory: int = 2 * GIBIBYTE, folder: Path | None = None):
        self._benchmark = benchmark
        self._channels = channels
        self._memory = memory
        self._folder = folder or cache_folder() / "images"
        self._held: dict[str, np.ndarray] = {}
        self._files: dict[str, Path] = {}
        self._used = 0
        self._writes = True
        self._lock = threading.Lock()

    def get(self, sample: Sample) -> np.ndarray:
        """The pixels of `sample`; do not write to them."""
        held = self._held.get(sample.name)
        if held is not None:
            return held
        if self._used >= self._memory and sample.image is not None:
            return self._map(sample)
        image = self._benchmark.read_image(sample, self._channels)
        return self._hold(sample, image)

    def _hold(self, sample: Sample, image: np.ndarray) -> np.ndarray:
        with self._lock:
            if self._used + image.nbytes <= self._memory:
                if sample.name not in self._held:
                    self._used += image.nbytes
                self._held[sample.name] = image
                return image
            self._used = self._memory  # full: from here on, map
        return image

    def _map(self, sample: Sample) -> np.ndarray:
        path = self._files.get(sample.name) or self._files.setdefault(sample.name, self._file(sample))
        if (image := _mapped(path)) is not None:
            return image
        image = self._benchmark.read_image(sample, self._channels)
        if self._writes:
            self._write(path, image)
        return image

    def _write(self, path: Path, image: np.ndarray) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary, temporary.open("wb") as file:
                np.save(file, image)
        except OSError as error:
            with self._lock:
                first, self._writes = self._writes, False
            if first:
                warnings.warn(
                    f"{self._folder}: cannot cache images ({error}); decoding the others each time", stacklevel=4
                )

    def _file(self, sample: Sample) -> Path:
        """Where its decoded pixels lie, or will."""
        assert sample.image is not None
        digest = hashlib.blake2b(sample.image.read_bytes(), digest_size=16).hexdigest()
        changed = [self._benchmark.seen_as, *(hashlib.blake2b(path.read_bytes()).hexdigest() for path in sample.extra)]
        variant = f"-{hashlib.blake2b(repr(changed).encode(), digest_size=6).hexdigest()}" if any(changed) else ""
        return self._folder / f"v{READER_VERSION}-{digest}-{self._channels}{variant}.npy"


def _mapped(path: Path) -> np.ndarray | None:
    """The pixels in `path`; None where there is no such file, or a damaged one."""
    try:
        return np.load(path, mmap_mode="r")
    except Exception:  # its header is read as Python: it may raise anything
        return None
