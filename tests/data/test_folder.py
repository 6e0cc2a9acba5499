"""One's own data: every way of writing points, both ways of splitting, and what is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Command, write_jpeg, write_shanghaitech_points
from scipy.io import savemat

from harness.data.datasets.folder import benchmark_of, index, read_points
from harness.data.splits import split
from harness.errors import DataError
from harness.files.annotations import read_points_file

POINTS = np.array([[80.5, 3.25], [1.0, 60.0], [7.5, 8.0]])


def text(path: Path, points: np.ndarray) -> None:
    path.with_suffix(".txt").write_text("".join(f"{x} {y}\n" for x, y in points))


def headed(path: Path, points: np.ndarray) -> None:
    path.with_suffix(".csv").write_text("x,y,kind\n" + "".join(f"{x},{y},head\n" for x, y in points))


def listed(path: Path, points: np.ndarray) -> None:
    path.with_suffix(".json").write_text(json.dumps(points.tolist()))


def named(path: Path, points: np.ndarray) -> None:
    path.with_suffix(".json").write_text(json.dumps({"points": [{"x": x, "y": y} for x, y in points]}))


def array(path: Path, points: np.ndarray) -> None:
    np.save(path.with_suffix(".npy"), points)


def matrix(path: Path, points: np.ndarray) -> None:
    savemat(path.with_suffix(".mat"), {"annPoints": points})


def shanghaitech(path: Path, points: np.ndarray) -> None:
    write_shanghaitech_points(path.with_name(f"GT_{path.stem}.mat"), points)


WRITERS = [text, headed, listed, named, array, matrix, shanghaitech]


def pictures(folder: Path, count: int = 10) -> list[Path]:
    generator = np.random.default_rng(0)
    return [
        write_jpeg(folder / f"photo_{n}.jpg", generator.integers(0, 255, (70, 90, 3), np.uint8)) for n in range(count)
    ]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("truth", [".", "../ground-truth", "labels"])
def test_every_way_of_writing_points(write: Callable, truth: str, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    for number, path in enumerate(pictures(folder)):
        place = (folder / truth).resolve()
        place.mkdir(exist_ok=True)
        write(place / path.name, POINTS[: number % 4])
    samples = index(tmp_path)
    assert len(samples) == 10 and {sample.split for sample in samples} == {"train", "test"}
    for sample in samples:
        number = int(sample.name.split("_")[1])
        np.testing.assert_allclose(read_points(sample), POINTS[: number % 4])


@pytest.mark.parametrize("names", [("train", "val", "test"), ("train_data", "validation", "test_data")])
def test_folders_are_splits(names: tuple[str, ...], tmp_path: Path) -> None:
    for name in names:
        for path in pictures(tmp_path / name / "images", 3):
            text(path, POINTS)
    parts = split(benchmark_of(tmp_path, frozenset()), index(tmp_path))
    assert [len(part) for part in (parts.train, parts.val, parts.test)] == [3, 3, 3]
    assert parts.val[0].name.startswith("val/")


def test_a_fifth_is_drawn_for_the_test_whatever_the_order(tmp_path: Path) -> None:
    for place in ("a", "b"):
        for path in pictures(tmp_path / place, 20):
            text(path, POINTS)
    first, second = ([s.name for s in index(tmp_path / place) if s.split == "test"] for place in ("a", "b"))
    assert first == second and len(first) == 4


def test_coco_boxes_and_key_points(tmp_path: Path) -> None:
    pictures(tmp_path, 5)
    images = [{"id": n + 7, "file_name": f"some/where/photo_{n}.jpg"} for n in range(5)]
    annotations = [
        {"image_id": 7, "bbox": [10, 20, 6, 8]},
        {"image_id": 7, "keypoints": [0, 0, 0, 30, 40, 2], "bbox": [0, 0, 1, 1]},
        {"image_id": 8, "keypoints": [0, 0, 0], "bbox": [4, 4, 2, 2]},
    ]
    (tmp_path / "labels.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    found = {sample.name: read_points(sample).tolist() for sample in index(tmp_path)}
    assert found["photo_0"] == [[13, 24], [30, 40]]
    assert found["photo_1"] == [[5, 5]]
    assert found["photo_2"] == []
    for name in (r"some\\where\\photo_0.jpg", "photo_0.jpg"):  # as Windows writes it
        images[0]["file_name"] = name
        (tmp_path / "labels.json").write_text(json.dumps({"images": images, "annotations": annotations}))
        os.utime(tmp_path / "labels.json", ns=(len(name), len(name)))
        assert {sample.name: read_points(sample).tolist() for sample in index(tmp_path)} == found
    write_jpeg(tmp_path / "photo_9.jpg", np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(DataError, match=r"labels\.json: no entry for photo_9\.jpg"):
        index(tmp_path)


def test_coco_files_that_would_miscount_are_refused(tmp_path: Path) -> None:
    pictures(tmp_path, 1)
    images = [{"id": 1, "file_name": "a/photo_0.jpg"}, {"id": 2, "file_name": "b/photo_0.jpg"}]
    heads = [{"image_id": 1, "bbox": [1, 2, 3, 4], "category_id": number} for number in (4, 5)]
    for content, message in (
        ({"images": images, "annotations": []}, "a/photo_0.jpg and b/photo_0.jpg have one file name"),
        (
            {"images": images[:1], "annotations": heads, "categories": [{"id": 4, "name": "car"}]},
            r"of 2 categories \(5, car\); all would be counted as heads",
        ),
    ):
        (tmp_path / "labels.json").write_text(json.dumps(content))
        os.utime(tmp_path / "labels.json", ns=(len(message), len(message)))
        with pytest.raises(DataError, match=message):
            index(tmp_path)


def test_pictures_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    for path in pictures(tmp_path / "a", 5):
        text(path, POINTS)
    (tmp_path / "a" / "photo_1.jpg").rename(tmp_path / "a" / "photo_0.png")
    with pytest.raises(DataError, match=r"photo_0\.(jpg and photo_0\.png|png and photo_0\.jpg) have one name"):
        index(tmp_path / "a")
    (tmp_path / "a" / "photo_0.png").rename(os.fsdecode(bytes(tmp_path / "a") + b"/Stra\xdfe.jpg"))
    with pytest.raises(DataError, match=r"Stra\\udcdfe\.jpg': this name is not in UTF-8; rename the file"):
        index(tmp_path / "a")


def test_what_lies_beside_pictures_is_none_of_them(tmp_path: Path) -> None:
    """Depth maps, heads as dots and the hidden files of macOS; a picture may be called so where it stands alone."""
    for name in ("a.jpg", "a.depth.png", "adots.png", "polkadots.jpg", "._a.jpg", "._polkadots.txt"):
        (tmp_path / name).write_bytes(write_jpeg(tmp_path / "any.jpg", np.zeros((70, 90, 3), np.uint8)).read_bytes())
    (tmp_path / "any.jpg").unlink()
    for name in ("a.txt", "polkadots.txt", "._a.txt"):
        (tmp_path / name).write_text("1 2\n" if name[0] != "." else "Mac OS X")
    samples = index(tmp_path)
    assert sorted(sample.name for sample in samples) == ["a", "polkadots"]
    assert all(len(read_points(sample)) == 1 for sample in samples)


def test_a_folder_of_tests_without_one_to_train_on_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "test"):
        for path in pictures(folder, 5):
            text(path, POINTS)
    with pytest.raises(DataError, match="it has a folder test but none to train on; expected train"):
        index(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("photo_0.txt", b"1 2\nthree four\n", r"photo_0\.txt: no head points"),
        ("photo_0.txt", b"1 2\n3\n", r"photo_0\.txt: "),
        ("photo_0.txt", b"1 2 7\n\n10 12 x\n", r"photo_0\.txt: no head points \(.*line 3 is '10 12 x'\)"),
        ("photo_0.csv", b"x,y,kind\n1,2,a\n5,b,c\n", r"photo_0\.csv: no head points \(.*line 3 is '5,b,c'\)"),
        ("photo_0.txt", b"?1 2\n3 4\n", r"photo_0\.txt: no head points \(.*line 1 is '\?1 2'\)"),
        ("photo_0.txt", b"x 2\n3 4\n", r"photo_0\.txt: no head points \(.*line 1 is 'x 2'\)"),
        ("photo_0.txt", b"[[1,2],[3,4]]", r"photo_0\.txt: no head points \(.*line 1 is "),
        ("photo_0.txt", "1 2\n".encode("utf-16"), r"photo_0\.txt: no head points \(UnicodeDecodeError"),
        ("photo_0.csv", b"1e300,3\n", r"photo_0\.csv: 1 of 1 head points are more than 1,048,576 pixels away"),
        ("photo_0.json", b"[[1" + b"0" * 400 + b", 2]]", r"photo_0\.json: head points are not numbers"),
        ("photo_0.json", b"[" * 100_000, r"photo_0\.json: no head points"),
        ("photo_0.npy", b"PK\x03\x04 an archive", r"photo_0\.npy: no head points"),
        ("photo_0.json", b'{"heads": []}', r"photo_0\.json: no head points"),
        ("photo_0.json", b"{", r"photo_0\.json: no head points"),
        ("photo_0.npy", b"\x93NUMPY\x01\x00", r"photo_0\.npy: no head points"),
        ("photo_0.csv", b"x,y\nnan,3\n", r"photo_0\.csv: 1 of 1 head points are NaN"),
        ("photo_0.csv", b"x_min,y_min,x_max,y_max\n1,2,3,4\n", r"photo_0\.csv: .*without columns called x and y"),
        (
            "photo_0.txt",
            b"0 0.51 0.34 0.01 0.02\n0 0.2 0.1 0.01 0.02\n",
            r"photo_0\.txt: .*shares of the picture, as YOLO",
        ),
    ],
)
def test_bad_points_are_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    for path in pictures(tmp_path, 5):
        text(path, POINTS)
    (tmp_path / "photo_0.txt").unlink()
    (tmp_path / name).write_bytes(content)
    sample = next(sample for sample in index(tmp_path) if sample.name == "photo_0")
    with pytest.raises(DataError, match=message):
        read_points(sample)


@pytest.mark.parametrize(
    "content",
    [
        "80.5 3.25 7 8.5\n\n1 60\n7.5 8 -1e3\n",  # further columns of numbers
        "80.5, 3.25,\n1;60;\n7.5\t8\n",  # other separators, also behind the last
        "# x y\n80.5 3.25\n1 60\n7.5 8\n",
        '\ufeff"x","y","who is it"\n80.5,3.25,a\n1,60,\n7.5,8,"b"\n',  # with headings, anything
        "head number,Y,X\n1,3.25,80.5\n2,60,1\n3,8,7.5\n",  # and in any order
        "80,5;3,25\n1;60\n7,5;8,0;1\n",  # commas of numbers between semicolons
        "x;y\n80,5;3,25\n1;60\n7,5;8\n",
        "head id\tY\tX\n1\t3.25\t80.5\n2\t60\t1\n3\t8\t7.5\n",  # a blank within a heading between tabs
        "\tx\ty\n0\t80.5\t3.25\n1\t1\t60\n2\t7.5\t8\n",  # as pandas writes a frame with its index
        ",x,y\n0,80.5,3.25\n1,1,60\n2,7.5,8\n",
        "x,y,\n80.5,3.25,a\n1,60,b\n7.5,8,c\n",
        '"x","y"\n"80.5","3.25"\n"1","60"\n"7.5","8"\n',  # every cell between quotes
        '"x";"y"\n"80,5";"3,25"\n"1";"60"\n"7,5";"8"\n',
    ],
)
def test_texts_that_are_points(content: str, tmp_path: Path) -> None:
    path = tmp_path / "photo.csv"
    path.write_text(content, encoding="utf-8")
    np.testing.assert_array_equal(read_points_file(path), POINTS)


@pytest.mark.parametrize("content", ["x y\n0 80 30\n", "x\ty\n0\t80\t30\n", "x,y\n0,80,30\n"])
def test_a_row_with_more_cells_than_the_heading_is_refused(content: str, tmp_path: Path) -> None:
    """As R writes a frame with its row names: which of the cells are x and y, nothing says."""
    (tmp_path / "photo.txt").write_text(content)
    with pytest.raises(DataError, match=r"photo\.txt: no head points .*line 2 .*has 3 cells; its heading has 2"):
        read_points_file(tmp_path / "photo.txt")


@pytest.mark.parametrize("ending", [".MAT", ".Npy", ".JSON", ".TXT"])
def test_endings_in_capitals_are_endings(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"photo{ending}"
    if ending == ".MAT":
        savemat(path, {"annPoints": POINTS}, appendmat=False)
    elif ending == ".Npy":
        with path.open("wb") as file:
            np.save(file, POINTS)
    elif ending == ".JSON":
        path.write_text(json.dumps(POINTS.tolist()))
    else:
        np.savetxt(path, POINTS)
    np.testing.assert_array_equal(read_points_file(path), POINTS)


def test_complex_numbers_are_not_points(tmp_path: Path) -> None:
    np.save(tmp_path / "photo.npy", POINTS.astype(complex))
    with pytest.raises(DataError, match=r"photo\.npy: head points are not numbers"):
        read_points_file(tmp_path / "photo.npy")


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    for path in pictures(tmp_path, 5):
        np.save(path.with_suffix(".npy"), np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(DataError, match=r"no head points .*allow_pickle"):
        read_points(index(tmp_path)[0])


def test_missing_parts_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no pictures"):
        index(tmp_path)
    pictures(tmp_path, 3)
    with pytest.raises(DataError, match=r"photo_0\.jpg: no points; expected photo_0 with one of"):
        index(tmp_path)
    (tmp_path / "all.json").write_text('{"images": []}')
    with pytest.raises(DataError, match=r"photo_0\.jpg: no points; .*; all\.json is no COCO file"):
        index(tmp_path)
    for path in pictures(tmp_path / "other" / "train", 3):
        text(path, POINTS)
    with pytest.raises(DataError, match="none for tests"):
        index(tmp_path / "other")


def test_a_folder_is_benched_checked_and_measured_like_a_benchmark(harness: Command, tmp_path: Path) -> None:
    for path in pictures(tmp_path / "my photos", 12):
        text(path, POINTS)
    done = harness("data", "check", "my photos", "--json")
    assert done.returncode == 0, done.stderr
    assert ["annotations", 36, None] in json.loads(done.stdout)["rows"]
    done = harness("bench", "--methods", "mcnn", "--datasets", "./my photos", "--budget", "smoke")
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("runs/*/record.json")
    record = json.loads(path.read_text())
    assert record["dataset"] == "my_photos" and record["dataset_title"] == "my photos"
    again = harness("bench", "--methods", "mcnn", "--datasets", str(tmp_path / "my photos"), "--budget", "smoke")
    assert "1 there already" in again.stderr
    weights = path.with_name("best.weights.h5")
    done = harness("eval", "--method", "mcnn", "--weights", weights, "--dataset", "my photos", "--json")
    assert json.loads(done.stdout)["mae"] == pytest.approx(record["results"]["mae"], rel=1e-4)
    done = harness("data", "check", "./nowhere")
    assert done.returncode == 2 and "dataset ./nowhere: no such folder" in done.stderr
