"""Plugins that are being written: an edit makes other runs, an installed release is its version."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from harness.host.development import digest_of_file
from harness.host.plugins import load_host
from harness.run import Request
from harness.runs.resolve import resolve

CODE = """
from harness import Method, Recipe, hookimpl

@hookimpl
def harness_methods():
    return [Method("written", "Written", "me", None, None, Recipe("paper", epochs=EPOCHS), stride=8)]
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes an installed package that brings a method, in place or not; returns the version that the host gives it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(direct_url: Any = None, version: str = "0.1.0", epochs: int = 1, **files: str) -> Any:
        found = tmp_path / "my_written_plugin"
        found.mkdir(exist_ok=True)
        (found / "__init__.py").write_text(CODE.replace("EPOCHS", str(epochs)))
        for name, text in files.items():
            (found / name).write_text(text)
        about = tmp_path / "my_written_plugin-0.dist-info"
        about.mkdir(exist_ok=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: my-written-plugin\nVersion: {version}\n")
        (about / "entry_points.txt").write_text("[crowd_harness]\nwritten = my_written_plugin\n")
        (about / "direct_url.json").write_text(
            direct_url if isinstance(direct_url, str) else json.dumps(direct_url or {})
        )
        return load_host().method_plugin["written"].version

    return write


IN_PLACE = {"url": "file:///x", "dir_info": {"editable": True}}


def test_an_edit_of_a_package_in_place_is_another_version(package: Any) -> None:
    first = package(IN_PLACE)
    assert first.startswith("0.1.0+") and len(first) == len("0.1.0+") + 8
    assert package(IN_PLACE) == first, "the same content, the same runs"
    assert package(IN_PLACE, epochs=2) != first
    assert package(IN_PLACE) == first
    assert package(IN_PLACE, **{"published.yaml": "a: 1"}) != first
    assert package(IN_PLACE, version="0.1.0+mine").startswith("0.1.0+mine.")


@pytest.mark.parametrize("direct_url", [None, {"dir_info": {}}, {"dir_info": {"editable": False}}, "not JSON", "[]"])
def test_an_installed_release_is_its_version(package: Any, direct_url: Any) -> None:
    assert package(direct_url) == package(direct_url, epochs=2) == "0.1.0"


def test_the_harness_that_trains_another_distribution_is_part_of_its_runs(
    package: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    package()

    def identity(method: str) -> dict[str, Any]:
        host = load_host()
        return dict(resolve(host, Request(method=method, dataset="synth"), "f" * 24).identity)

    theirs, ours = identity("written"), identity("mcnn")
    assert theirs["plugin"] == ["my-written-plugin", "0.1.0"] and "harness" not in ours
    for version, expected in (("7.3.1", "7.3"), ("7.3.2", "7.3"), ("7.4.0", "7.4")):
        monkeypatch.setattr("harness.runs.resolve.__version__", version)
        assert identity("written") == {**theirs, "harness": expected}
        assert identity("mcnn") == ours


def test_a_plugin_of_one_file_is_its_own_content(tmp_path: Path) -> None:
    """What does not concern it makes no other run of it: nor does a name that is Python's, the harness' or nowhere."""
    text = "import json, harness\nfrom harness.nn import vgg\nfrom absent import nothing\n"
    for name in ("json", "harness", "other"):
        (tmp_path / f"{name}.py").write_text("1")
    (tmp_path / "mine.py").write_text(text)
    assert digest_of_file(tmp_path / "mine.py") == hashlib.sha256(text.encode()).hexdigest()[:12]


def test_what_a_plugin_file_imports_from_beside_it_is_part_of_it(tmp_path: Path) -> None:
    """A module, one that this imports, and a package of which one module is imported inside a function."""
    network = tmp_path / "network"
    network.mkdir()
    files = {
        tmp_path / "mine.py": "import blocks\ndef build(options):\n    from network.body import Net\n",
        tmp_path / "blocks.py": "import math, further\n",
        tmp_path / "further.py": "import mine\n",
        network / "__init__.py": "",
        network / "body.py": "from .head import Head\n",
        network / "head.py": "class Head: ...\n",
        network / "sizes.yaml": "small: 8\n",
        network / "weights.pth": "1",
        tmp_path / "unrelated.py": "2",
    }
    for path, text in files.items():
        path.write_text(text)
    seen = {digest_of_file(tmp_path / "mine.py")}
    for path, text in files.items():
        path.write_text(f"{text}# changed\n")
        seen.add(digest_of_file(tmp_path / "mine.py"))
        assert len(seen) == 1 + list(files).index(path) + 1 or path.name in ("weights.pth", "unrelated.py"), path
    assert len(seen) == len(files) - 1
    (tmp_path / "blocks.py").write_text("not ( Python")
    assert len({*seen, digest_of_file(tmp_path / "mine.py")}) == len(seen) + 1


def test_a_folder_with_the_name_of_something_installed_is_not_what_is_imported(tmp_path: Path) -> None:
    """Results of PyTorch, say, in a folder called torch: no package, so Python takes the one that is installed."""
    (tmp_path / "mine.py").write_text("import numpy, notinstalled\n")
    seen = set()
    for folder in ("numpy", "notinstalled"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.py").write_text("1")
        seen.add(digest_of_file(tmp_path / "mine.py"))
    assert len(seen) == 2 and hashlib.sha256(b"import numpy, notinstalled\n").hexdigest()[:12] in seen


def test_where_a_bench_is_started_makes_no_other_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "blocks.py").write_text("1")
    (tmp_path / "mine.py").write_text("import blocks\n")
    here = digest_of_file(tmp_path / "mine.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    assert digest_of_file(Path("mine.py")) == here
