"""Every shell and Python block of README and docs runs; every hook and its arguments are in the docs.

The blocks of a page run one after another in an empty folder, with the package installed from its wheel in an environment of
its own. Two are run elsewhere: README's test command is what runs this test, and its first command trains every method, where
one will do here (the conformance tests train all).
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import pydoc
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

pytestmark = pytest.mark.system

BY_PYTORCH = "pytorch.md"  # run by tests/nn/test_torch_module.py, where PyTorch is
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TESTS = "pip install tox tox-uv && tox run-parallel --parallel-live\n"
ELSEWHERE = {
    "pip install . && harness bench --methods all --datasets synth --budget smoke\n": (
        "harness bench --methods mcnn --datasets synth --budget smoke\n"
    ),
    TESTS: "true\n",
}


def blocks(page: Path) -> list[tuple[str, str]]:
    return [(kind, ELSEWHERE.get(code, code)) for kind, code in BLOCK.findall(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if blocks(page) and page.name not in ("CONTRIBUTING.md", BY_PYTORCH)],
    ids=lambda p: p.name,
)
def test_every_block_runs(page: Path, empty: Path, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "HARNESS_DATA")}
    environment["PATH"] = f"{empty / 'bin'}:{environment['PATH']}"
    try:
        for kind, code in blocks(page):
            command = (
                ["bash", "-euo", "pipefail", "-c", code] if kind == "sh" else [empty / "bin" / "python", "-c", code]
            )
            done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
            assert done.returncode == 0, f"{page.name}:\n{code}\n{done.stdout[-1500:]}\n{done.stderr[-2500:]}"
    finally:
        pip = [empty / "bin" / "python", "-m", "pip", "uninstall", "--quiet", "--yes", "crowd-harness-two-scales"]
        subprocess.run(pip, capture_output=True)


def test_the_replaced_blocks_are_there_as_they_are_said_to_be() -> None:
    found = [code for page in PAGES for _, code in BLOCK.findall(page.read_text(encoding="utf-8"))]
    assert all(code in found for code in ELSEWHERE)
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8") if (ROOT / ".ci").is_dir() else TESTS
    assert TESTS in ci, "CI runs README's own test command"


def test_every_hook_and_argument_is_in_the_docs() -> None:
    from harness import hookspecs

    text = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    rows = {match[1]: match[0] for match in re.finditer(r"^\| `(harness_\w+)` \|.*$", text, re.MULTILINE)}
    hooks = {name: value for name, value in vars(hookspecs).items() if name.startswith("harness_")}
    assert rows.keys() == hooks.keys()
    for name, function in hooks.items():
        for argument in inspect.signature(function).parameters:
            assert f"`{argument}`" in rows[name], f"{name}: argument {argument} is not in docs/extending.md"


def test_readme_says_how_large_each_method_is() -> None:
    """As its network is, and as the committed records of run time say."""
    from harness.host.plugins import load_host
    from harness.method import ModelOptions, inference_network

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    said = dict(re.findall(r"^\| `(\w+)` \| .* \| ([\d,]+) \|$", text, re.MULTILINE))
    built = {}
    for name, method in load_host().methods.items():
        weights = inference_network(method.build(ModelOptions())).trainable_weights
        built[name] = f"{sum(int(np.prod(weight.shape)) for weight in weights):,}"
    assert said == built
    for path in (ROOT / "reports" / "records" / "runtime").glob("*.json"):
        record = json.loads(path.read_text())
        assert said[record["method"]] == f"{record['inference_parameters']:,}"


NAMED = re.compile(r"\bharness(?:\.[A-Za-z_]\w*)+")


@pytest.mark.parametrize(
    "page", [page for page in PAGES if NAMED.search(page.read_text("utf-8"))], ids=lambda p: p.name
)
def test_every_name_of_the_harness_in_the_docs_is_there(page: Path) -> None:
    assert [name for name in NAMED.findall(page.read_text("utf-8")) if not _there(name)] == []


def test_a_name_that_is_not_there_is_found_out() -> None:
    assert _there("harness.nn.targets.head_blocks") and _there("harness.Method.recipes") and _there("harness.testing")
    assert (
        not _there("harness.targets.pyramid")
        and not _there("harness.Method.recipe_of")
        and not _there("harness.nowhere")
    )


def test_every_file_of_the_harness_in_the_docs_is_there() -> None:
    named = [name for page in PAGES for name in re.findall(r"\b(harness/[\w/]+(?:\.py|/))", page.read_text("utf-8"))]
    assert len(named) > 10 and [name for name in named if "NAME" not in name and not (ROOT / name).exists()] == []


def _there(name: str) -> bool:
    """Whether a dotted name is a module, or an attribute of one (a field of a dataclass too)."""
    module, _, attribute = name.rpartition(".")
    try:
        importlib.import_module(name)
        return True
    except ModuleNotFoundError:
        pass
    if not attribute or not module:
        return False
    try:
        owner = pydoc.locate(module)
    except pydoc.ErrorDuringImport:
        return False
    return hasattr(owner, attribute) or attribute in getattr(owner, "__dataclass_fields__", {})


def test_every_command_is_in_readme_or_docs() -> None:
    from harness.commands.cli import _COMMANDS

    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in _COMMANDS if f"harness {name}" not in text] == []


def test_the_docs_build_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", ROOT / "docs", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "check_method" in (tmp_path / "reference.html").read_text(encoding="utf-8")
