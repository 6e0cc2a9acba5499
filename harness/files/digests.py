"""Fingerprints of files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from harness.errors import DataError


def file_digest(path: Path) -> bytes:
    """Sixteen bytes of BLAKE2b of the file's content; raises `DataError`, naming the file, where it cannot be read."""
    try:
        return hashlib.blake2b(path.read_bytes(), digest_size=16).digest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
