"""The house as it stands: what starts light stays light, each room says what it is for, and public paths are enough."""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

import harness

ROOMS = ("files", "nn", "data", "host", "training", "runs", "reporting", "commands")
PUBLIC = re.compile(r"harness(\.(nn(\.\w+)?|testing|data\.depth))?$")
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))
PAGES = ("docs/tutorial.md", "docs/tutorial_unet.md", "docs/extending.md")
BLOCK = re.compile(r"^ *(?:from|import) (harness[\w.]*)(?: import ([\w, ]+))?", re.MULTILINE)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_takes_gives_and_must_not_know(room: str) -> None:
    said = importlib.import_module(f"harness.{room}").__doc__ or ""
    assert "Takes" in said and "gives" in said and "ust not" in said, said


def test_no_file_is_too_long_and_none_is_called_utils() -> None:
    files = [path for folder in ("harness", "plugins") for path in (ROOT / folder).rglob("*.py")]
    long = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert files and not {path: lines for path, lines in long.items() if lines > 400}
    assert not [path for path in files if path.stem in ("utils", "helpers", "common", "misc")]


def test_commands_and_reports_start_without_keras() -> None:
    """Every module of these rooms, imported in a process of its own."""
    names = [
        module.name
        for room in ("commands", "reporting", "host")
        for module in pkgutil.walk_packages([str(ROOT / "harness" / room)], f"harness.{room}.")
    ]
    assert len(names) > 20
    load = f"[importlib.import_module(name) for name in {names!r}]"
    code = f"import importlib, json, sys; {load}; print(json.dumps([*sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    heavy = {"keras", "tensorflow", "jax", "torch", "cv2", "scipy", "matplotlib", "h5py"}
    assert not heavy & set(json.loads(done.stdout))


def _imported(text: str) -> set[str]:
    """Modules of the harness that Python `text` imports from; `from harness import x` counts as harness.x if x is a module."""
    found = set()
    for module, names in BLOCK.findall(text):
        found.add(module)
        if module == "harness":
            modules = {name.strip() for name in names.split(",")} - set(harness.__all__)
            found |= {f"harness.{name}" for name in modules if name and not name.startswith("__")}
    return found


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: str(path.relative_to(ROOT)))
def test_plugins_use_public_paths(path: Path) -> None:
    assert all(PUBLIC.match(name) for name in _imported(path.read_text(encoding="utf-8")))


def test_the_template_and_the_docs_use_public_paths() -> None:
    """What the tutorial, README and the template of `plugins new` import; records are for scripts, not for plugins."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "harness" / "host" / "templates").rglob("*.jinja")]
    texts += [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", *PAGES)]
    found = set().union(*map(_imported, texts))
    assert {"harness", "harness.nn.losses"} <= found
    assert not [name for name in found - {"harness.runs.records"} if not PUBLIC.match(name)]


def test_every_public_name_is_there_and_in_the_reference() -> None:
    reference = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    for name in harness.__all__:
        assert getattr(harness, name) is not None
        assert f"`~harness.{name}`" in reference or name == "hookimpl", f"docs/reference.md does not name {name}"


def test_the_paths_of_the_first_edition_still_import() -> None:
    folder = ROOT / "harness" / "earlier_paths"
    names = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert {"density", "losses", "targets", "records", "label_maps"} <= names
    from harness.density import render

    from harness.nn.density import render as now

    assert render is now
    for name in names:
        importlib.import_module(f"harness.{name}")


def test_nothing_here_imports_the_earlier_paths() -> None:
    earlier = {f"harness.{path.stem}" for path in (ROOT / "harness" / "earlier_paths").glob("*.py")} - {
        "harness.__init__"
    }
    for path in [*(ROOT / "harness").rglob("*.py"), *PLUGINS, *(ROOT / "tests").rglob("*.py")]:
        if path.name == "test_house.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                assert node.module not in earlier, f"{path}: {node.module}"
