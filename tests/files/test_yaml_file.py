"""YAML files: values as YAML 1.2 has them, the line of each, and mistakes named by theirs."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.files.yaml_file import read


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "it.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_values_and_lines(tmp_path: Path) -> None:
    text = "# a comment\nnames: [one,\n  two]\ninner:\n  rate: 3e-4\n  list:\n    - a: 1\n      b: .5E+1\n    - 1.5\n"
    sheet = read(written(tmp_path, text))
    assert sheet.values == {"names": ["one", "two"], "inner": {"rate": 0.0003, "list": [{"a": 1, "b": 5.0}, 1.5]}}
    wanted = {("names",): 2, ("names", 0): 2, ("names", 1): 3, ("inner", "rate"): 5, ("inner", "list", 0, "b"): 8}
    assert {place: sheet.lines[place] for place in wanted} == wanted
    assert sheet.where(("inner", "Tag", "list", 1)) == f"{sheet.path}, line 9"
    assert sheet.where(("nowhere",)) == str(sheet.path)


@pytest.mark.parametrize("text", ["3e-4", "1E5", "-2.e3", "+.5e1", "7.0", ".5"])
def test_numbers_as_everyone_writes_them(tmp_path: Path, text: str) -> None:
    (value,) = read(written(tmp_path, f"a: {text}\n")).values.values()
    assert isinstance(value, float) and value == float(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected keys and values, e.g. 'methods: mcnn'; found nothing"),
        ("- a\n", "found a list"),
        ("a: 1\nb: [1, 2\nc: 3\n", "line 3: not YAML"),
        ("a: 1\nb:\n  c: 2\n  c: 3\n", "line 4: key 'c' is there twice, first in line 3"),
        ("a: 1\n2: 3\n", "line 2: a key that is no word"),
        ("a: &x [1]\nb: *x\n", "line 2: not YAML: aliases (*) are not read here"),
        ("a: !!python/name:os.system\n", "line 1: not YAML"),
        ("a: 2020-13-45\n", "not YAML: ValueError"),
        ("a: " + "[" * 5000, "nested too deeply"),
        (b"a: \xff\xfe\n", "not text in UTF-8"),
        ("a: \x00\n", "not YAML"),
        ("a: 1\n---\nb: 2\n", "line 2: not YAML"),
    ],
)
def test_mistakes_name_the_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(HarnessError) as caught:
        read(written(tmp_path, text))
    said = str(caught.value)
    assert said.startswith(str(tmp_path / "it.yaml")) and message in said and len(said.splitlines()) == 1


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"gone\.yaml: cannot be read \(No such file"):
        read(tmp_path / "gone.yaml")
