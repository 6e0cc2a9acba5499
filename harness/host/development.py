"""The versions of plugins that are being written: their content is part of them, for their numbers do not change with it."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from importlib import metadata
from pathlib import Path

from harness.errors import DataError
from harness.files.digests import file_digest
from harness.host.beside import counted_files, files_beside


def version_of(entry: metadata.EntryPoint) -> str:
    """The version of the distribution that brings `entry`; where it is installed in place, with a digest: "0.1.0+1f2e3d4c".

    The digest is of the Python and YAML files of the entry's package. So runs before and after an edit are different
    runs, though the version is the same.
    """
    if entry.dist is None:
        return "unknown"
    version = entry.dist.version
    if not _in_place(entry.dist):
        return version
    digest = _digest(entry.module)
    return f"{version}{'.' if '+' in version else '+'}{digest}" if digest else version


def digest_of_file(file: Path) -> str:
    """Twelve hexadecimal digits of a plugin of one file, and of what it imports from beside it (`harness.host.beside`).

    Raises `OSError` where a file cannot be read.
    """
    own = hashlib.sha256(file.read_bytes())
    beside = files_beside(file)
    for name in sorted(beside):
        own.update(name.encode() + b"\0" + hashlib.sha256(beside[name].read_bytes()).digest())
    return own.hexdigest()[:12]


def _in_place(distribution: metadata.Distribution) -> bool:
    """Whether it was installed by `pip install -e` (PEP 610)."""
    try:
        return bool(json.loads(distribution.read_text("direct_url.json") or "{}").get("dir_info", {}).get("editable"))
    except (ValueError, AttributeError, OSError):
        return False


def _digest(module: str) -> str:
    """Of the files of the package that `module` is in; "" where there is none, which importing it will report."""
    try:
        spec = importlib.util.find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        return ""
    if spec is None or not (spec.origin or spec.submodule_search_locations):
        return ""
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    found = [(path.relative_to(folder).as_posix(), path) for folder in folders for path in counted_files(folder)] or [
        (Path(str(spec.origin)).name, Path(str(spec.origin)))
    ]
    digest = hashlib.sha256()
    try:
        for name, path in sorted(found):
            digest.update(name.encode() + b"\0" + file_digest(path))
    except DataError:
        return ""
    return digest.hexdigest()[:8]
