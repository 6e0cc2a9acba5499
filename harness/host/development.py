"""The versions of plugins that are being written: their content is part of them, for their numbers do not change with it."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import sys
from importlib import metadata
from pathlib import Path

from harness.errors import DataError
from harness.files.digests import file_digest

COUNTED = (".py", ".yaml", ".yml")  # what of a package decides what it does; JSON may be annotations of gigabytes


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
    """Twelve hexadecimal digits of a plugin of one file, and of the modules and packages beside it that it imports.

    They are found by their names in `import` statements, also inside functions, and in those of what is imported; not where a
    program makes up names. Raises `OSError` where the file cannot be read.
    """
    own = hashlib.sha256(file.read_bytes())
    beside = _imported_beside(file)
    if not beside:
        return own.hexdigest()[:12]
    for name in sorted(beside):
        own.update(name.encode() + b"\0" + hashlib.sha256(beside[name].read_bytes()).digest())
    return own.hexdigest()[:12]


def _imported_beside(file: Path) -> dict[str, Path]:
    """Files by their place below the folder of `file`, without itself."""
    folder, found, todo = file.resolve().parent, {}, [file]
    while todo:
        for name in _imports(todo.pop()):
            package = (path for path in (folder / name).rglob("*") if path.suffix in COUNTED and path.is_file())
            for path in filter(Path.is_file, (folder / f"{name}.py", *package)):
                place = path.relative_to(folder).as_posix()
                if place not in found and path != file.resolve():
                    found[place] = path
                    todo.append(path)
    return found


def _imports(file: Path) -> set[str]:
    """The first parts of the names that `file` imports: not the harness', nor Python's own."""
    if file.suffix != ".py":
        return set()
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # importing it will say so
        return set()
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level}
    return {name.partition(".")[0] for name in names} - {"", "harness", *sys.stdlib_module_names}


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
    found = [
        (path.relative_to(folder).as_posix(), path)
        for folder in folders
        for path in folder.rglob("*")
        if path.suffix in COUNTED and path.is_file()
    ] or [(Path(str(spec.origin)).name, Path(str(spec.origin)))]
    digest = hashlib.sha256()
    try:
        for name, path in sorted(found):
            digest.update(name.encode() + b"\0" + file_digest(path))
    except DataError:
        return ""
    return digest.hexdigest()[:8]
