"""What a plugin of one file imports from beside it: part of its version, and what Python then imports under these names."""

from __future__ import annotations

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from harness.errors import HarnessError

COUNTED = (".py", ".yaml", ".yml")  # what of a package decides what it does; JSON may be annotations of gigabytes


def files_beside(file: Path) -> dict[str, Path]:
    """The files of these modules and packages, by their place below the folder of `file`; without itself."""
    folder = file.resolve().parent
    return {
        path.relative_to(folder).as_posix(): path
        for place in modules_beside(file).values()
        for path in counted_files(place)
        if path != file.resolve()
    }


def modules_beside(file: Path) -> dict[str, Path]:
    """Name → its module's file, or the folder of its package, for all that `file` imports from its own folder.

    They are found by their names in `import` statements, also inside functions, and in those of what is imported; not where a
    program makes up names. Python's own modules and the harness are never among them; a folder without `__init__.py` is not
    where a package of its name is installed.
    """
    folder, found, todo = file.resolve().parent, dict[str, Path](), [file]
    while todo:
        for name in sorted(_imports(todo.pop()) - found.keys()):
            place = _beside(folder, name)
            if place is not None:
                found[name] = place
                todo += counted_files(place)
    return found


def make_importable(file: Path) -> None:
    """Lets `import` find what `modules_beside` names there, before what is installed and what lies where a run was started.

    Raises:
        HarnessError: one of the names stands for something else in this process already.
    """
    wanted = modules_beside(file)
    for name, place in wanted.items():
        there = _FOUND.places.get(name) or _place(sys.modules.get(name))
        if there is not None and there.resolve() != place.resolve() and there.exists():
            raise HarnessError(
                f"{file} imports {name} from beside it ({place}), but here {name} is {there} already; Python has one module of "
                f"a name: rename one of them, or use the two plugins in runs of their own"
            )
    _FOUND.places.update(wanted)
    if _FOUND not in sys.meta_path:
        sys.meta_path.insert(0, _FOUND)


class _Found(importlib.abc.MetaPathFinder):
    """Finds modules by `places`, those of all plugin files of this process."""

    def __init__(self) -> None:
        self.places: dict[str, Path] = {}

    def find_spec(
        self, fullname: str, path: object = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        place = self.places.get(fullname)
        if place is None or not place.exists():
            return None
        if not place.is_dir():
            return importlib.util.spec_from_file_location(fullname, place)
        first = place / "__init__.py"
        if first.is_file():
            return importlib.util.spec_from_file_location(fullname, first, submodule_search_locations=[str(place)])
        spec = importlib.machinery.ModuleSpec(fullname, None, is_package=True)
        spec.submodule_search_locations = [str(place)]
        return spec


_FOUND = _Found()


def _place(module: ModuleType | None) -> Path | None:
    """Where `module` came from, as `modules_beside` says it; None for none, and for what has no place."""
    if module is None:
        return None
    folders = list(getattr(module, "__path__", ()))
    where = folders[0] if folders else getattr(module, "__file__", None)
    return Path(where).resolve() if where else None


def _beside(folder: Path, name: str) -> Path | None:
    package, module = folder / name, folder / f"{name}.py"
    if (package / "__init__.py").is_file():
        return package
    if module.is_file():
        return module
    if not package.is_dir() or not any(path.suffix == ".py" for path in counted_files(package)):
        return None
    elsewhere = [path for path in sys.path if path and Path(path).resolve() not in (folder, Path.cwd())]
    installed = importlib.machinery.PathFinder.find_spec(name, elsewhere)
    return package if installed is None or installed.origin is None else None


def counted_files(place: Path) -> Iterator[Path]:
    """The files of a module (a file) or package (a folder) that decide what it does."""
    if place.is_file():
        yield place
        return
    seen = {os.path.realpath(place)}
    for folder, inner, names in os.walk(place, followlinks=True):
        real = {name: os.path.realpath(Path(folder, name)) for name in sorted(inner) if _is_code(Path(folder, name))}
        inner[:] = [name for name in real if real[name] not in seen]
        seen.update(real.values())  # a link may lead back
        found = (Path(folder, name) for name in sorted(names))
        yield from (path for path in found if path.suffix in COUNTED and path.is_file())


def _is_code(folder: Path) -> bool:
    """Whether to look into `folder`: a link may lead to a package, or to a dataset of a million files."""
    return not folder.is_symlink() or (folder / "__init__.py").is_file()


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
