"""A person's own regions: what a file may hold, and what is said of one that holds something else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import HarnessError
from harness.files.region_file import read_regions

TRIANGLE = [[0, 0], [10.5, 0], [0, 20]]
SQUARE = [[0, 0], [4, 0], [4, 4], [0, 4]]


def written(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "roi.json"
    path.write_text(json.dumps(content))
    return path


def test_one_polygon_is_every_pictures(tmp_path: Path) -> None:
    found = read_regions(written(tmp_path, TRIANGLE))
    for name in ("a.jpg", "b.png"):
        (region,) = found.of(Path("somewhere") / name)
        np.testing.assert_array_equal(region.vertices, TRIANGLE)
        assert region.name == "" and region.square_metres is None


def test_polygons_by_name_keep_their_order_and_areas(tmp_path: Path) -> None:
    content = {"stage": TRIANGLE, "gate 2.5 m": {"polygon": SQUARE, "square_metres": 12.5}}
    found = read_regions(written(tmp_path, content)).of(Path("a.jpg"))
    assert [(one.name, one.square_metres) for one in found] == [("stage", None), ("gate 2.5 m", 12.5)]
    np.testing.assert_array_equal(found[1].vertices, SQUARE)


def test_polygons_by_picture(tmp_path: Path) -> None:
    content = {"a.jpg": TRIANGLE, "b.PNG": {"gate": SQUARE, "stage": TRIANGLE}, "c.jpg": {"polygon": SQUARE}}
    found = read_regions(written(tmp_path, content))
    assert [[one.name for one in found.of(Path("x") / name)] for name in content] == [[""], ["gate", "stage"], [""]]
    with pytest.raises(HarnessError, match=r"roi\.json: no region for d\.jpg; expected one for each picture"):
        found.of(Path("d.jpg"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([[0, 0], [1, 1]], "no polygon; expected three or more"),
        ([[0, 0], [1, 1], [2]], "no polygon"),
        ([[0, 0], [1, 1], ["2", 3]], "no polygon"),
        ([[0, 0], [1, 1], [2, True]], "no polygon"),
        ([[0, 0], [1, 1], [2, float("nan")]], "no polygon"),
        ([[0, 0], [1, 1], [2, 10**400]], "no polygon"),
        ("text", "no polygon"),
        ({}, "no regions"),
        ({"a.jpg": {}}, r"a\.jpg: no regions"),
        ({"a.jpg": {"gate": [1]}}, r"a\.jpg: gate: no polygon"),
        ({"a.jpg": SQUARE, "gate": SQUARE}, r"'gate' beside 'a\.jpg'; expected names of pictures alone"),
        ({"gate": {"polygon": SQUARE, "area": 3}}, "gate: found polygon, area; expected polygon and square_metres"),
        ({"gate": {"polygon": SQUARE, "square_metres": 0}}, "gate: square_metres is 0; expected a number above 0"),
        ({"gate": {"polygon": SQUARE, "square_metres": "3"}}, "gate: square_metres is '3'"),
    ],
)
def test_what_is_no_region_is_named(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(HarnessError, match=message) as raised:
        read_regions(written(tmp_path, content)).of(Path("a.jpg"))
    assert str(raised.value).startswith(str(tmp_path / "roi.json")) and "\n" not in str(raised.value)


def test_what_is_no_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "roi.json"
    with pytest.raises(HarnessError, match="cannot be read"):
        read_regions(path)
    for text in ("[[0, 0]", "[" * 100_000):
        path.write_text(text)
        with pytest.raises(HarnessError, match="not JSON"):
            read_regions(path)


def test_two_regions_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "roi.json"
    path.write_text(f'{{"gate": {TRIANGLE}, "gate": {SQUARE}}}')
    with pytest.raises(HarnessError, match="'gate' is there twice"):
        read_regions(path)
