"""What the files of a run are, as hashes: its images and annotations, and what its label maps are read from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from harness.benchmark import Benchmark, Sample
from harness.files.digests import file_digest
from harness.label_map import LabelMap


def fingerprint(benchmark: Benchmark, samples: tuple[Sample, ...]) -> str:
    """A hash of every sample's name, image bytes and annotation bytes; for drawn scenes, of the protocol that draws them.

    Raises:
        DataError: a file is missing.
    """
    digest = hashlib.blake2b(digest_size=12)
    seen: dict[Path, bytes] = {}  # a scene's region, or the annotations of all frames, are one file for many samples
    digest.update(json.dumps([benchmark.name, dict(benchmark.protocol)], sort_keys=True).encode())
    for sample in samples:
        digest.update(sample.name.encode())
        for path in (sample.image, sample.annotation, *sample.extra):
            if path is None:
                continue
            if path not in seen:
                seen[path] = file_digest(path)
            digest.update(seen[path])
    return digest.hexdigest()


def label_fingerprint(label: LabelMap, benchmark: Benchmark, samples: tuple[Sample, ...]) -> str:
    """The source of a label map and a hash of the files it reads for `samples`; raises `DataError`, naming the file."""
    digest = hashlib.blake2b(digest_size=12)
    found = False
    for sample in samples:
        for path in label.files(benchmark, sample):
            found = True
            digest.update(file_digest(path))
    return f"{label.source} {digest.hexdigest()}" if found else label.source
