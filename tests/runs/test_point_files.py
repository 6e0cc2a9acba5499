"""Points as files: what is written is what other readers, and our own, find in them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from harness.data.datasets.coco import is_coco, points_of
from harness.errors import HarnessError
from harness.files.annotations import read_points_file
from harness.files.images import encoded, read_image
from harness.runs.point_files import COLOUR, Pointed, as_coco, write_coco, write_points

POINTS = np.array([[10.25, 20.5, 0.875], [59.0, 3.125, 0.5], [-3.0, 200.0, 1.0]])


def written(folder: Path, name: str, points: np.ndarray) -> Pointed:
    path = folder / name
    path.write_bytes(encoded(np.full((40, 60, 3), 90, np.uint8), ".png"))
    return write_points(folder / "out", path, f"{path.stem}_mine", points)


def test_the_csv_has_every_point_and_is_read_as_an_annotation(tmp_path: Path) -> None:
    one = written(tmp_path, "one.png", POINTS)
    rows = list(csv.DictReader(one.table.read_text().splitlines()))
    assert [(float(row["x"]), float(row["y"]), float(row["score"])) for row in rows] == [
        (10.25, 20.5, 0.875),
        (59.0, 3.12, 0.5),
        (-3.0, 200.0, 1.0),
    ]
    np.testing.assert_allclose(read_points_file(one.table), POINTS[:, :2], atol=0.01)
    assert read_points_file(written(tmp_path, "none.png", POINTS[:0]).table).shape == (0, 2)


def test_the_coco_file_is_one_that_datasets_are_read_from(tmp_path: Path) -> None:
    pictures = [written(tmp_path, "one.png", POINTS), written(tmp_path, "none.png", POINTS[:0])]
    path = write_coco(tmp_path / "out", pictures)
    assert is_coco(path)
    np.testing.assert_allclose(points_of(path, "one.png"), POINTS[:, :2], atol=0.01)
    assert points_of(path, "none.png").shape == (0, 2)
    content = json.loads(path.read_text())
    assert content["images"][0] == {"id": 1, "file_name": "one.png", "height": 40, "width": 60}
    assert [one["score"] for one in content["annotations"]] == [0.875, 0.5, 1.0]
    assert {one["category_id"] for one in content["annotations"]} == {content["categories"][0]["id"]}
    assert len({one["id"] for one in content["annotations"]}) == 3


def test_pictures_of_one_name_stay_apart(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    pictures = [written(tmp_path / folder, "1.png", POINTS[:number]) for number, folder in enumerate("ab", 1)]
    content = as_coco(pictures)
    assert [image["file_name"] for image in content["images"]] == ["a/1.png", "b/1.png"]
    assert as_coco([])["images"] == []


def test_points_far_outside_are_not_drawn(tmp_path: Path) -> None:
    far = np.array([[1e300, 5.0, 1.0], [2e8, -2e8, 1.0], [10.25, 20.5, 1.0]])
    written(tmp_path, "one.png", far)
    alone = read_image(tmp_path / "out" / "one_mine.png", 3)
    written(tmp_path, "one.png", far[2:])
    np.testing.assert_array_equal(alone, read_image(tmp_path / "out" / "one_mine.png", 3))


def test_a_dot_is_drawn_around_each_point_and_nowhere_else(tmp_path: Path) -> None:
    written(tmp_path, "one.png", POINTS[:1])
    picture = read_image(tmp_path / "out" / "one_mine.png", 3)
    assert tuple(picture[20, 10]) == COLOUR
    rows, columns = np.nonzero((picture != 90).any(axis=2))
    assert np.hypot(rows + 0.5 - 20.5, columns + 0.5 - 10.25).max() < 5
    assert (rows.mean() + 0.5, columns.mean() + 0.5) == pytest.approx((20.5, 10.25), abs=0.2)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(HarnessError, match="cannot be written"):
        written(tmp_path, "one.png", POINTS)
