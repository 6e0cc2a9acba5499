"""Plugins that are being written: an edit makes other runs, an installed release is its version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

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
