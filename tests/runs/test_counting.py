"""Counts of whole pictures and of regions, with densities of known sums in the place of networks."""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings, strategies

from harness.errors import HarnessError
from harness.files.region_file import Region
from harness.host.plugins import load_host
from harness.method import Method
from harness.runs.counting import (
    Prediction,
    by_density,
    check_apart,
    counts,
    draw,
    located,
    names_of,
    pictures_of,
    write_csv,
)

PICTURE = Path("street.jpg")
WHOLE = np.array([[0.0, 0.0], [90.0, 0.0], [90.0, 72.0], [0.0, 72.0]])


@pytest.fixture(scope="module")
def method() -> Method:
    return load_host().method("csrnet")  # a cell has 8 × 8 pixels


def constant(method: Method, heads: float, height: int = 72, width: int = 90) -> Prediction:
    """As many heads on every pixel: cells at the right border, of 2 of their 8 columns, hold as many fewer."""
    pixels = np.zeros((-(-height // 8) * 8, -(-width // 8) * 8), np.float32)
    pixels[:height, :width] = heads / (height * width)
    cells = pixels.reshape(pixels.shape[0] // 8, 8, pixels.shape[1] // 8, 8).sum(axis=(1, 3))
    return Prediction(method, cells, height, width)


def shoelace(vertices: np.ndarray) -> float:
    x, y = vertices.T
    return abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))) / 2


@pytest.mark.parametrize(
    ("vertices", "area"),
    [
        ([[0, 0], [90, 0], [90, 72], [0, 72]], 90 * 72),  # all of it
        ([[0, 0], [45, 0], [45, 72], [0, 72]], 45 * 72),  # half, through the middle of cells
        ([[3, 5], [14, 5], [14, 9], [3, 9]], 11 * 4),  # parts of four cells
        ([[80, 60], [200, 60], [200, 500], [80, 500]], 10 * 12),  # reaches out of the frame
        ([[88, 10], [90, 10], [90, 20], [88, 20]], 2 * 10),  # inside the cells that the frame cuts
    ],
)
def test_of_a_constant_density_a_region_has_the_share_of_its_area(
    method: Method, vertices: list[list[float]], area: float
) -> None:
    (row,) = counts(PICTURE, constant(method, 648.0), [Region("", np.array(vertices, float))])
    assert row["count"] == pytest.approx(648 * area / (90 * 72), rel=1e-5)
    assert row["image"] == "street.jpg" and "region" not in row


@pytest.mark.parametrize("seed", range(5))
def test_any_polygon_has_the_share_of_its_area(method: Method, seed: int) -> None:
    """By the shoelace formula."""
    generator = np.random.default_rng(seed)
    angles = np.sort(generator.uniform(0, 2 * np.pi, 7))
    radius = generator.uniform(60, 190, 7)
    vertices = np.stack([200 + radius * np.cos(angles), 200 + radius * np.sin(angles)], axis=1)
    (row,) = counts(PICTURE, constant(method, 1000.0, 400, 400), [Region("", vertices)])
    assert row["count"] == pytest.approx(1000 * shoelace(vertices) / 400**2, rel=0.01)


def test_regions_side_by_side_add_up_to_the_picture(method: Method) -> None:
    generator = np.random.default_rng(0)
    density = generator.random((9, 12)).astype(np.float32)
    prediction = Prediction(method, density, 72, 90)
    edge = [[33.3, 0.0], [51.7, 72.0]]
    left, right = np.array([[0, 0], *edge, [0, 72]]), np.array([edge[0], [90, 0], [90, 72], edge[1]])
    rows = counts(PICTURE, prediction, [Region("left", left), Region("right", right, 20.0)])
    assert [row["region"] for row in rows] == ["left", "right"]
    assert sum(row["count"] for row in rows) == pytest.approx(density.sum(), rel=1e-5)
    assert rows[1]["people_per_square_metre"] == pytest.approx(rows[1]["count"] / 20)
    assert "people_per_square_metre" not in rows[0]


def test_of_points_a_region_has_those_that_lie_in_it(method: Method) -> None:
    """Three in one cell, one of them below the score; the region's border goes between the other two."""
    density, candidates = np.zeros((9, 12), np.float32), np.zeros((9, 12, 9), np.float32)
    density[2, 3], candidates[2, 3] = 2.0, (1.0, 1.0, 0.9, 6.0, 6.0, 0.5, 2.0, 2.0, 0.4)
    prediction = Prediction(method, density, 72, 90, candidates=candidates)
    left, right = ([[0, 0], [27, 0], [27, 72], [0, 72]], [[27, 0], [90, 0], [90, 72], [27, 72]])
    regions = [Region("left", np.array(left, float)), Region("right", np.array(right, float))]
    assert [row["count"] for row in counts(Path("street.jpg"), prediction, regions)] == [1.0, 1.0]
    (whole,) = counts(Path("street.jpg"), prediction, [Region("", np.array(right, float) - [27, 0])])
    assert whole["count"] == 2.0


def test_without_regions_the_picture_is_counted(method: Method) -> None:
    prediction = constant(method, 30.0)
    assert counts(PICTURE, prediction, ()) == [{"image": "street.jpg", "count": pytest.approx(30.0, rel=1e-5)}]


def test_a_region_beside_the_picture_is_named(method: Method) -> None:
    with pytest.raises(HarnessError, match=r"street\.jpg: region 'gate' holds none of its 90 × 72 pixels"):
        counts(PICTURE, constant(method, 1.0), [Region("gate", WHOLE + 100)])
    with pytest.raises(HarnessError, match=r"the region holds none"):  # corners as shares of the sides, not pixels
        counts(PICTURE, constant(method, 1.0), [Region("", np.array([[0.1, 0.1], [0.4, 0.1], [0.4, 0.4]]))])


def test_what_is_written_lies_apart_from_what_is_counted(tmp_path: Path) -> None:
    check_apart([tmp_path / "street.jpg"], {"--points": tmp_path})
    check_apart([tmp_path], {"--points": tmp_path / "points", "--overlay": None})
    with pytest.raises(HarnessError, match=r"--overlay .*: the pictures to count lie there"):
        check_apart([tmp_path], {"--points": None, "--overlay": tmp_path / "x" / ".."})


@pytest.mark.skipif(os.name != "posix" or sys.platform == "darwin", reason="file names there are always Unicode")
def test_names_that_no_table_can_hold_are_refused(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff.jpg")
    path.touch()
    inner = tmp_path / "x" / os.fsdecode(b"d\xff") / "a.jpg"
    inner.parent.mkdir(parents=True)
    inner.touch()
    for place in (path, tmp_path, inner, inner.parent):
        with pytest.raises(HarnessError, match="is not in UTF-8; rename the file"):
            pictures_of([place])


def test_below_the_boundary_the_sparse_model_counts(method: Method) -> None:
    """Of a picture of 1,000 × 500 pixels, half a megapixel: 100 heads a megapixel are 50."""
    asked: list[str] = []

    def stands_in(name: str, heads: float) -> Prediction:
        asked.append(name)
        return Prediction(method, np.full((1, 1), heads, np.float32), 500, 1000, name)

    for heads, expected in ((50.5, "dense"), (50.0, "dense"), (49.5, "sparse"), (0.0, "sparse"), (-1.0, "sparse")):
        del asked[:]
        predict = by_density(
            lambda _, found=heads: stands_in("dense", found), lambda _: stands_in("sparse", 7.0), 100.0
        )
        found = predict(PICTURE)
        assert found.model == expected and found.count == (heads if expected == "dense" else 7.0)
        assert asked == (["dense"] if expected == "dense" else ["dense", "sparse"])
        assert counts(PICTURE, found, ())[0]["model"] == expected


def test_a_folder_stands_for_its_pictures(tmp_path: Path) -> None:
    for name in ("b10.jpg", "b9.JPG", "notes.txt", "a.png"):
        (tmp_path / name).touch()
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "c.jpg").touch()
    found = pictures_of([tmp_path / "inner" / "c.jpg", tmp_path])
    assert [path.name for path in found] == ["c.jpg", "a.png", "b9.JPG", "b10.jpg"]
    with pytest.raises(HarnessError, match=r"gone\.jpg: no such image"):
        pictures_of([tmp_path / "gone.jpg"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(HarnessError, match="empty: no pictures; expected files ending in"):
        pictures_of([tmp_path / "empty"])


def test_a_table_has_the_columns_that_some_row_has(tmp_path: Path) -> None:
    rows = [
        {"image": "a, b.jpg", "region": "left", "count": 1.5},
        {"image": "c.jpg", "region": "right", "count": 3, "people_per_square_metre": 0.5},
    ]
    write_csv(tmp_path / "t.csv", rows)
    with open(tmp_path / "t.csv", newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == ["image", "region", "count", "people_per_square_metre"]
    assert [tuple(row.values()) for row in found] == [("a, b.jpg", "left", "1.5", ""), ("c.jpg", "right", "3", "0.5")]
    write_csv(tmp_path / "t.csv", [{"image": "a.jpg", "count": 1.0}])
    assert (tmp_path / "t.csv").read_text().split() == ["image,count", "a.jpg,1.0"]
    write_csv(tmp_path / "new" / "t.csv", rows)
    assert (tmp_path / "new" / "t.csv").is_file()
    with pytest.raises(HarnessError, match="cannot be written"):
        write_csv(tmp_path / "t.csv" / "t.csv", rows)


def test_what_is_made_of_pictures_of_one_name_has_several() -> None:
    pictures = [Path(name) for name in ("one/1.jpg", "two/1.jpg", "two/1.png", "two/2.jpg", "two_1.jpg", "one/1.jpg")]
    found = names_of(pictures)
    assert list(found) == pictures[:5]
    assert list(found.values()) == ["one_1_jpg", "two_1_jpg", "two_1_png", "2", "two_1"]
    assert names_of([]) == {} and names_of([Path("a/b.jpg")]) == {Path("a/b.jpg"): "b"}
    taken = names_of([Path("a/b_c.jpg"), Path("a_b/c.jpg"), Path("x/c.jpg"), Path("x/b_c.jpg")])
    assert len(set(taken.values())) == 4


@settings(max_examples=200)
@given(strategies.lists(strategies.text("ab_./", min_size=1, max_size=8), min_size=1, max_size=6))
def test_no_two_pictures_share_a_name(texts: list[str]) -> None:
    pictures = [Path("x") / text.strip("/") / "p" for text in texts]
    found = names_of(pictures)
    assert len(set(found.values())) == len(found) == len(set(pictures))
    assert all("/" not in name for name in found.values())


def test_outside_of_the_region_the_photograph_is_drawn_as_it_is(method: Method, tmp_path: Path) -> None:
    grey = np.full((64, 640, 3), 90, np.uint8)
    cv2.imwrite(str(tmp_path / "grey.png"), grey)
    prediction = Prediction(method, np.full((8, 80), 0.5, np.float32), 64, 640)
    left = Region("", np.array([[0.0, 0.0], [320.0, 0.0], [320.0, 64.0], [0.0, 64.0]]))
    shown = cv2.imread(str(draw(tmp_path / "drawn", tmp_path / "grey.png", prediction, [left])))
    assert np.abs(shown[:64, :300].astype(int) - 90).mean() > 10
    np.testing.assert_array_equal(shown[:64, 340:], grey[:, 340:])


@pytest.mark.parametrize("own", [False, True], ids=["peaks", "its own"])
def test_points_are_those_inside_the_regions(method: Method, tmp_path: Path, own: bool) -> None:
    """Six heads, three of them left of the middle: at the centres of their cells, or where the candidates say."""
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((64, 640, 3), 90, np.uint8))
    density, candidates = np.zeros((8, 80), np.float32), np.zeros((8, 80, 3), np.float32)
    cells = [(1, 5), (6, 20), (3, 38), (1, 41), (5, 60), (6, 75)]  # row, column
    for row, column in cells:
        density[row, column], candidates[row, column] = 1.0, (6.0, 2.5, 0.75)
    prediction = Prediction(method, density, 64, 640, candidates=candidates if own else None)
    places = [(8 * column + (6 if own else 4), 8 * row + (2.5 if own else 4)) for row, column in cells]
    left = [Region(name, np.array(corners, float)) for name, corners in HALVES.items()]
    for regions, expected in (((), places), (left, places[:3])):
        found = located(tmp_path / "found", tmp_path / "grey.png", prediction, regions)
        with found.table.open(newline="", encoding="utf-8") as file:
            rows = [(float(row["x"]), float(row["y"]), float(row["score"])) for row in csv.DictReader(file)]
        assert sorted(rows) == sorted((x, y, 0.75 if own else 1.0) for x, y in expected)
        assert found.table.name == "grey_csrnet_points.csv" and found.size == (64, 640)


HALVES = {"upper": [[0, 0], [320, 0], [320, 30], [0, 30]], "lower": [[0, 30], [320, 30], [320, 64], [0, 64]]}
