"""Every benchmark's reader on files in its authors' layout: round trips, pixel conventions, regions, splits, bad input."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Command, write_jpeg
from scipy.io import savemat

from harness.benchmark import Benchmark
from harness.data.check import check
from harness.data.datasets.synth import draw_scene
from harness.data.fingerprints import fingerprint
from harness.data.regions import points_inside
from harness.data.splits import split
from harness.errors import DataError
from harness.host.plugins import load_host

BENCHMARKS = load_host().benchmarks
FILES = [name for name, benchmark in BENCHMARKS.items() if benchmark.needs_files]
IMAGES = 12


def written(name: str, folder: Path, images: int = IMAGES, seed: int = 3) -> tuple[Benchmark, Path]:
    benchmark = BENCHMARKS[name]
    assert benchmark.write is not None
    place = folder / benchmark.expected[0]
    benchmark.write(place, images, seed)
    assert benchmark.require(folder) == place
    return benchmark, place


@pytest.mark.parametrize("name", FILES)
def test_what_is_written_is_read_back(name: str, tmp_path: Path) -> None:
    """Same points, same pictures (but for JPEG), as often as scenes were drawn."""
    benchmark, folder = written(name, tmp_path)
    samples = benchmark.index(folder)
    assert len(samples) == (20 if name == "ucsd" else 13 if name == "worldexpo10" else IMAGES)
    assert len({sample.name for sample in samples}) == len(samples)
    drawn = []
    for number in range(len(samples)):
        sizes = {"worldexpo10": (576, 720), "mall": (480, 640), "trancos": (480, 640), "ucsd": (158, 238)}
        height, width = sizes.get(name, (390, 510))
        key = [3, number]
        if name == "ucf_qnrf":
            key = [3 + number, 0]
            if number % 3 == 2:
                height, width = 1200, 2000
        if name == "nwpu_crowd":
            key = [3 + number, 0]
            if number % 10 == 9:
                height, width = 525, 2100
        image, points = draw_scene(np.random.default_rng(key), height, width)
        if name == "ucf_qnrf" and number % 3 == 2:
            points = points * 0.96  # 2000 pixels to 1920
        if name == "nwpu_crowd" and number % 10 == 9:
            points = points * 2048 / 2100
        if name == "trancos":
            points = np.floor(points) + 0.5
        if name.startswith(("jhu", "nwpu")) and (number + 1) % 5 == 0:
            points = points[:0]
        drawn.append((image, points))
    left = list(range(len(drawn)))
    for sample in samples:
        image, points = benchmark.read_image(sample, 3), benchmark.read_points(sample)
        match = [number for number in left if len(drawn[number][1]) == len(points) and close(drawn[number][1], points)]
        assert match, f"{sample.name}: its points are those of no scene"
        left.remove(match[0])
        if image.shape == drawn[match[0]][0].shape:
            reference = drawn[match[0]][0].astype(float)
            if name in ("ucf_cc_50", "ucsd"):
                reference = np.repeat((reference @ [0.299, 0.587, 0.114])[..., None], 3, axis=2)
            assert np.abs(image - reference).mean() < 8  # the noise of a scene does not survive JPEG
    assert not left


def close(first: np.ndarray, second: np.ndarray) -> bool:
    return bool(np.allclose(first, second, atol=0.01))


@pytest.mark.parametrize("name", FILES)
def test_the_same_seed_writes_the_same_data(name: str, tmp_path: Path) -> None:
    marks = []
    for place, seed in (("a", 3), ("b", 3), ("c", 4)):
        benchmark, folder = written(name, tmp_path / place, seed=seed)
        samples = benchmark.index(folder)
        marks.append([np.round(benchmark.read_points(sample), 3).tolist() for sample in samples])
    assert marks[0] == marks[1] != marks[2]


@pytest.mark.parametrize("name", FILES)
def test_splits_are_disjoint_and_complete(name: str, tmp_path: Path) -> None:
    benchmark, folder = written(name, tmp_path, images=20)
    samples = benchmark.index(folder)
    parts = split(benchmark, samples)
    names = [[sample.name for sample in part] for part in (parts.train, parts.val, parts.test)]
    assert all(names) and sorted(itertools.chain(*names)) == sorted(sample.name for sample in samples)
    if name.startswith("jhu"):
        assert {sample.split for sample in parts.val} == {"val"}
    if name == "nwpu_crowd":  # the authors' validation set is the test, and a part of their training set validates
        assert {sample.name.partition("/")[0] for sample in parts.test} == {"val"}
        assert {sample.name.partition("/")[0] for sample in (*parts.train, *parts.val)} == {"train"}


@pytest.mark.parametrize("name", FILES)
def test_the_check_reads_every_file(name: str, tmp_path: Path) -> None:
    benchmark, folder = written(name, tmp_path)
    found = check(benchmark, folder)
    assert not found.wrong
    rows = {what: (value, published) for what, value, published in found.rows}
    where = " in the region" if benchmark.statistics.in_region else ""
    assert rows["images"][1] is not None
    assert (rows[f"annotations{where}"][1] is None) == (
        name == "nwpu_crowd"
    )  # its heads are printed with the test set's alone
    assert rows["points outside the frame"][0] == 0
    assert not any("resized" in line for line in found.differs)  # 480 × 640 is a camera's size
    if benchmark.read_roi is not None:
        everything = [(sample, benchmark.read_points(sample)) for sample in benchmark.index(folder)]
        expected = sum(len(points) - len(points_inside(points, benchmark.read_roi(s))) for s, points in everything)
        assert rows["points outside the region"][0] == expected > 0


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_changes_the_fingerprint(name: str, tmp_path: Path) -> None:
    benchmark, folder = written(name, tmp_path)
    samples = benchmark.index(folder)
    before = fingerprint(benchmark, samples)
    for path in filter(None, (samples[0].image, samples[0].annotation, *samples[0].extra)):
        content = path.read_bytes()
        path.write_bytes(content + b" ")
        assert fingerprint(benchmark, samples) != before, path
        path.write_bytes(content)
    assert fingerprint(benchmark, samples) == before


@pytest.mark.parametrize("name", FILES)
def test_damaged_annotations_are_named(name: str, tmp_path: Path) -> None:
    benchmark, folder = written(name, tmp_path)
    path = benchmark.index(folder)[0].annotation
    assert path is not None
    path.write_bytes(b"\x00\xff nothing of the kind")
    with pytest.raises(DataError, match=path.name.replace(".", r"\.")):
        for sample in benchmark.index(folder):
            benchmark.read_points(sample)


@pytest.mark.parametrize(
    ("name", "listing"), [("jhu_crowd", "image_labels.txt"), ("nwpu_crowd", "val.txt"), ("trancos", "training.txt")]
)
def test_lists_in_another_encoding_are_named(name: str, listing: str, tmp_path: Path) -> None:
    benchmark, folder = written(name, tmp_path)
    path = next(folder.rglob(listing))
    path.write_bytes(path.read_text().encode("utf-16"))
    with pytest.raises(DataError, match=rf"{listing}: cannot be read \(UnicodeDecodeError"):
        benchmark.index(folder)


@pytest.mark.parametrize("entry", ["../../image-1-000001.jpg", "/etc/passwd", "/", "..", "a" * 300, "a\0b.jpg"])
def test_a_list_names_images_of_its_own_folder_alone(entry: str, tmp_path: Path) -> None:
    benchmark, folder = written("trancos", tmp_path)
    (folder / "image_sets" / "test.txt").write_text(f"{entry}\n")
    with pytest.raises(DataError, match=r"test\.txt: lists .*; expected names of images"):
        benchmark.index(folder)


def test_a_frame_that_nobody_annotated_is_named(tmp_path: Path) -> None:
    benchmark, folder = written("ucsd", tmp_path)
    image = benchmark.index(folder)[0].image
    assert image is not None
    image.rename(image.with_name("vidf1_33_000_f999.png"))
    sample = next(each for each in benchmark.index(folder) if each.name.endswith("f999"))
    with pytest.raises(DataError, match=r"_frame_full\.mat: no frame 999; it annotates 2"):
        benchmark.read_points(sample)


# One head whose place is known by hand, for every format: x is not y, and the first pixel is where the authors' tool has it.


def test_jhu_is_x_then_y_as_annotated(tmp_path: Path) -> None:
    benchmark, folder = written("jhu_crowd_pp", tmp_path)
    sample = benchmark.index(folder)[0]
    assert sample.annotation is not None
    sample.annotation.write_text("80.5 3 20 22 1 0 \n7 70 5 5 2 1\n")
    assert benchmark.read_points(sample).tolist() == [[80.5, 3], [7, 70]]
    sample.annotation.write_text("")
    assert benchmark.read_points(sample).shape == (0, 2)


def test_jhus_groups(tmp_path: Path) -> None:
    benchmark, folder = written("jhu_crowd_pp", tmp_path)
    labels = folder / "test" / "image_labels.txt"
    names = [line.split(",")[0] for line in labels.read_text().splitlines()]
    labels.write_text("\n".join([f"{names[0]},50,street,0,0", f"{names[1]},51,rally,2,1", f"{names[2]},501,rally,3,0"]))
    groups = [sample.groups for sample in benchmark.index(folder) if sample.split == "test"]
    assert [group["level"] for group in groups] == ["Low", "Medium", "High"]
    assert [group["weather"] for group in groups] == ["none", "Weather", "Weather"]
    assert [group["distractor"] for group in groups] == ["none", "Distractors", "none"]
    labels.write_text(f"{names[0]},50,street,0,0\n{names[1]};3")
    with pytest.raises(DataError, match=r"image_labels\.txt: line 2 is .*expected name, count, scene"):
        benchmark.index(folder)


def test_jhus_levels_end_at_50_and_at_500_heads() -> None:
    """Sindagi et al.: low from 0 to 50, medium from 51 to 500, high above. A picture at an end is in the lower one."""
    from harness.data.datasets.jhu_crowd import level

    ends = {0: "Low", 50: "Low", 51: "Medium", 500: "Medium", 501: "High", 25_791: "High"}
    assert {count: level(count) for count in ends} == ends


def test_nwpu_is_x_then_y_as_annotated_in_mat_and_json_alike(tmp_path: Path) -> None:
    benchmark, folder = written("nwpu_crowd", tmp_path)
    sample = benchmark.index(folder)[0]
    assert sample.annotation == folder / "mats" / "0001.mat"
    savemat(sample.annotation, {"annPoints": np.array([[80.5, 3.0], [7.0, 70.0]]), "annBoxes": np.zeros((2, 4))})
    assert benchmark.read_points(sample).tolist() == [[80.5, 3], [7, 70]]
    savemat(sample.annotation, {"annPoints": np.zeros((0, 0)), "annBoxes": np.zeros((0, 0))})
    assert benchmark.read_points(sample).shape == (0, 2)
    sample.annotation.unlink()
    sample = benchmark.index(folder)[0]
    assert sample.annotation == folder / "jsons" / "0001.json"
    content = {"img_id": "0001.jpg", "human_num": 1, "points": [[80.5, 3]], "boxes": [[70, 0, 90, 9]]}
    for points in ([[80.5, 3]], []):
        sample.annotation.write_text(json.dumps({**content, "points": points}))
        assert benchmark.read_points(sample).tolist() == points
    sample.annotation.unlink()
    with pytest.raises(DataError, match=r"0001\.mat: no such file, nor .*0001\.json; train\.txt lists 0001"):
        benchmark.index(folder)


def test_nwpu_is_found_by_its_lists(tmp_path: Path) -> None:
    """In one folder of images too; what no list names is left alone, and 3098 may be of the validation set."""
    folder = tmp_path / "NWPU-Crowd"
    for place in ("images", "mats"):
        (folder / place).mkdir(parents=True)
        for key in ("0001", "3098", "3109", "3110", "3610"):
            (folder / place / f"{key}.{'jpg' if place == 'images' else 'mat'}").touch()
    (folder / "train.txt").write_text("0001 3 0\n3109 0 4\n")
    (folder / "val.txt").write_text("3110 1 2\r\n3098  2 1 \r\n\n")
    (folder / "test.txt").write_text("3610\n")
    benchmark = BENCHMARKS["nwpu_crowd"]
    assert [(sample.name, sample.split, sample.groups) for sample in benchmark.index(folder)] == [
        ("train/0001", "train", {"luminance": "L3", "level": "S0"}),
        ("train/3109", "train", {"luminance": "L0", "level": "S4"}),
        ("val/3110", "test", {"luminance": "L1", "level": "S2"}),
        ("val/3098", "test", {"luminance": "L2", "level": "S1"}),
    ]
    for line, complaint in (
        ("3110 1", "is '3110 1'; expected number, luminance"),
        ("3110 4 0", "is '3110 4 0'; expected number, luminance"),
        ("../3 1 0", r"is '\.\./3 1 0'; expected number, luminance"),
        ("3098 1 0", "is '3098 1 0'; lists that image again"),
    ):
        (folder / "val.txt").write_text(f"3098 2 1\n{line}\n")
        with pytest.raises(DataError, match=rf"val\.txt: line 2 {complaint}"):
            benchmark.index(folder)
    (folder / "val.txt").write_text("3111 1 1\n")
    with pytest.raises(DataError, match=r"val\.txt: lists 3111, but there is no 3111\.jpg in .*images"):
        benchmark.index(folder)
    (folder / "images").rename(folder / "pictures")
    with pytest.raises(DataError, match=r"images: no such folder, nor images_part1"):
        benchmark.index(folder)


def test_nwpu_is_reduced_to_2048_and_never_enlarged(tmp_path: Path) -> None:
    benchmark, folder = written("nwpu_crowd", tmp_path)
    samples = benchmark.index(folder)
    assert samples[0].image is not None and samples[0].annotation is not None
    write_jpeg(samples[0].image, np.zeros((3000, 4096, 3), np.uint8))
    savemat(samples[0].annotation, {"annPoints": np.array([[4096.0, 1500.0]])})
    assert benchmark.read_image(samples[0], 3).shape == (1500, 2048, 3)
    assert benchmark.read_points(samples[0]).tolist() == [[2048.0, 750.0]]
    assert benchmark.read_image(samples[1], 3).shape == (390, 510, 3)
    assert benchmark.protocol["longest_side"] == 2048


def test_nwpus_validation_set_is_held_against_the_authors_evaluation() -> None:
    from harness.benchmark import Sample

    tell = BENCHMARKS["nwpu_crowd"].departures
    assert tell is not None
    samples = (Sample("train/0001", "train"), *(Sample(f"val/{number}", "test") for number in range(3110, 3610)))
    points = {sample.name: np.zeros((392, 2)) for sample in samples}
    points["val/3110"] = np.zeros((196_238 - 499 * 392, 2))
    assert tell(samples, points) == ()
    points["val/3110"] = points["val/3110"][1:]
    assert tell(samples, points) == ("heads of the validation set: 196,237; in the authors' evaluation file 196,238",)
    assert tell((Sample("train/3110", "train"), *samples[1:]), points | {"train/3110": np.zeros((1, 2))}) == (
        "train.txt and val.txt both list 3110",
        "heads of the validation set: 196,237; in the authors' evaluation file 196,238",
    )
    assert tell(samples[:400], points) == ()


def test_worldexpo_counts_from_one(tmp_path: Path) -> None:
    benchmark, folder = written("worldexpo10", tmp_path)
    sample = next(sample for sample in benchmark.index(folder) if sample.split == "test")
    assert sample.annotation is not None
    savemat(sample.annotation, {"point_position": np.array([[300.0, 1.0], [1.0, 500.0]])})
    assert benchmark.read_points(sample).tolist() == [[299.5, 0.5], [0.5, 499.5]]  # centres of the first row and column
    corners = np.array([[101.0, 51.0], [201.0, 51.0], [201.0, 81.0], [101.0, 81.0]])
    savemat(
        sample.extra[0],
        {"maskVerticesXCoordinates": corners[:, :1], "maskVerticesYCoordinates": corners[:, 1:]},
    )
    rows, columns = np.nonzero(benchmark.read_roi(sample))  # type: ignore[misc]
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (
        50,
        79,
        100,
        199,
    )  # those on the far edges are not


def test_worldexpo_reads_matlab_7_3(tmp_path: Path) -> None:
    import h5py

    benchmark, folder = written("worldexpo10", tmp_path)
    sample = benchmark.index(folder)[0]
    assert sample.annotation is not None
    with h5py.File(sample.annotation, "w", userblock_size=512) as file:
        file["point_position"] = np.array([[300.0, 1.0], [20.0, 30.0], [1.0, 500.0]]).T  # as MATLAB lays it out
    header = b"MATLAB 7.3 MAT-file".ljust(116) + b"\x00" * 8 + b"\x00\x02IM"
    with sample.annotation.open("r+b") as raw:
        raw.write(header)
    assert benchmark.read_points(sample).tolist() == [[299.5, 0.5], [19.5, 29.5], [0.5, 499.5]]


def test_worldexpos_scenes_and_kernels(tmp_path: Path) -> None:
    from harness.data.image_store import ImageStore
    from harness.data.pipeline import Pipeline
    from harness.recipe import COMMON

    benchmark, folder = written("worldexpo10", tmp_path)
    samples = benchmark.index(folder)
    assert sorted({s.groups["scene"] for s in samples if s.split == "test"}) == ["S1", "S2", "S3", "S4", "S5"]
    assert {s.groups["scene"] for s in samples if s.split == "train"} == {"100010", "100020", "104242"}
    pipeline = Pipeline(benchmark, samples, ImageStore(benchmark, 3), COMMON, 8, 0)
    heads = pipeline.heads(samples[0])
    # The written perspective grows evenly from 6 to 40 pixels a metre over 576 rows; kernels are 0.2 m wide.
    np.testing.assert_allclose(heads[:, 2], 0.2 * (6 + 34 * np.floor(heads[:, 1]) / 575), rtol=1e-4)


def test_mall_and_ucsd_count_from_one_and_split_by_frame(tmp_path: Path) -> None:
    for name, first in (("mall", 0), ("ucsd", 6)):
        benchmark, folder = written(name, tmp_path, images=20)
        samples = benchmark.index(folder)
        training = [number for number, sample in enumerate(samples) if sample.split == "train"]
        assert training == list(range(first, first + 8))  # 800 of 2,000 frames: from the first, from the 601st
    content = np.empty((1, 1), object)
    location = np.empty((1, 1), dtype=[("loc", "O")])
    location[0, 0] = (np.array([[1.0, 2.0, 9.0]]),)
    content[0, 0] = location
    outer = np.empty((1, 1), dtype=[("frame", "O")])
    outer[0, 0] = (content,)
    sample = samples[0]
    assert sample.annotation is not None
    savemat(sample.annotation, {"fgt": outer})  # the other spelling of UCSD's annotations
    assert BENCHMARKS["ucsd"].read_points(sample).tolist() == [[0.5, 1.5]]


def test_trancos_reads_texts_and_dots_alike(tmp_path: Path) -> None:
    benchmark, folder = written("trancos", tmp_path)
    texts = {sample.name: benchmark.read_points(sample) for sample in benchmark.index(folder)}
    first = folder / "images" / "image-1-000001.txt"
    first.write_text("11\t1\n1\t21\n")
    assert benchmark.read_points(benchmark.index(folder)[0]).tolist() == [[10.5, 0.5], [0.5, 20.5]]
    for path in (folder / "images").glob("*.txt"):
        path.unlink()
    for sample in benchmark.index(folder):
        assert sample.annotation is not None and sample.annotation.name.endswith("dots.png")
        dots = benchmark.read_points(sample)
        np.testing.assert_array_equal(dots, np.unique(texts[sample.name], axis=0)[np.lexsort(np.unique(
            texts[sample.name], axis=0).T)])  # fmt: skip


def test_qnrf_is_reduced_to_1920(tmp_path: Path) -> None:
    benchmark, folder = written("ucf_qnrf", tmp_path)
    path = folder / "Test" / "img_0001.jpg"
    write_jpeg(path, np.zeros((3000, 4000, 3), np.uint8))
    savemat(path.with_name("img_0001_ann.mat"), {"annPoints": np.array([[4000.0, 1500.0]])})
    sample = next(sample for sample in benchmark.index(folder) if sample.image == path)
    assert benchmark.read_image(sample, 3).shape == (1440, 1920, 3)
    assert benchmark.read_points(sample).tolist() == [[1920.0, 720.0]]
    assert benchmark.protocol["longest_side"] == 1920
    path.write_bytes(b"\xff\xd8 nothing")
    with pytest.raises(DataError, match=r"img_0001\.jpg"):
        benchmark.read_points(sample)


def test_a_reduced_picture_keeps_its_aspect_ratio_to_half_a_pixel() -> None:
    """1004 × 1920 / 4000 is 481.92: 482 rows and not 481, whichever side is the longer; nothing is enlarged."""
    from harness.data.datasets.scaling import reduced

    assert reduced(1004, 4000, 1920) == (482, 1920) and reduced(4000, 1004, 1920) == (1920, 482)
    assert reduced(1003, 4000, 1920) == (481, 1920)
    assert reduced(1004, 1920, 1920) == (1004, 1920) and reduced(1, 9000, 1920) == (1, 1920)


def test_worldexpos_score_is_the_mean_of_its_scenes(harness: Command, tmp_path: Path) -> None:
    """Two scenes of unlike sizes: the table's MAE is the mean of two MAEs, and the record keeps each image's scene."""
    made = harness("data", "synth", "--like", "worldexpo10", "--out", "drawn", "--images", "14")
    assert made.returncode == 0 and "16 images" not in made.stderr, made.stderr
    extra = sorted((tmp_path / "drawn/WorldExpo10/test_frame/104207").iterdir())[0]
    label = tmp_path / "drawn/WorldExpo10/test_label/104207"
    for copy in ("b", "c"):
        extra.with_name(f"{extra.stem}{copy}.jpg").write_bytes(extra.read_bytes())
        (label / f"{extra.stem}{copy}.mat").write_bytes((label / f"{extra.stem}.mat").read_bytes())
    experiment = "methods: [mcnn]\ndatasets: [worldexpo10]\nbudget: {from: smoke, name: short, validations: 1}\n"
    (tmp_path / "short.yaml").write_text(experiment)  # no error stands in the table of smoke itself
    done = harness("bench", "--data-root", "drawn", "short.yaml")
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("runs/*/record.json")
    images = json.loads(path.read_text())["results"]["per_image"]
    scenes: dict[str, list[float]] = {}
    for image in images:
        scenes.setdefault(image["groups"]["scene"], []).append(abs(image["true"] - image["predicted"]))
    assert len(scenes) == 5 and len(scenes["S1"]) == 3
    expected = np.mean([np.mean(errors) for errors in scenes.values()])
    row = next(line for line in done.stdout.splitlines() if line.startswith("| MCNN"))
    assert float(row.split("|")[2].split()[0]) == pytest.approx(expected, abs=0.06)


def test_50_000_frames_index_in_seconds(tmp_path: Path) -> None:
    """Indexing opens no image."""
    import time

    (tmp_path / "images").mkdir()
    (tmp_path / "gt").mkdir()
    for part in ("train", "val", "test"):
        for folder in ("images", "gt"):
            (tmp_path / "jhu" / part / folder).mkdir(parents=True)
        names = [f"{number:05d}" for number in range(50_000 if part == "train" else 1)]
        for name in names:
            (tmp_path / "jhu" / part / "images" / f"{name}.jpg").touch()
            (tmp_path / "jhu" / part / "gt" / f"{name}.txt").touch()
        lines = "\n".join(f"{name},0,street,0,0" for name in names)
        (tmp_path / "jhu" / part / "image_labels.txt").write_text(lines)
    started = time.process_time()
    assert len(BENCHMARKS["jhu_crowd"].index(tmp_path / "jhu")) == 50_002
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--like", "synth", "--out", "x"), "nothing writes its layout"),
        (("--like", "mal", "--out", "x"), "Did you mean 'mall'"),
    ],
)
def test_mistakes_of_data_synth(harness: Command, arguments: tuple[str, ...], message: str) -> None:
    done = harness("data", "synth", *arguments)
    assert done.returncode == 2 and message in done.stderr


def test_data_synth_overwrites_nothing(harness: Command, tmp_path: Path) -> None:
    (tmp_path / "x" / "mall_dataset").mkdir(parents=True)
    done = harness("data", "synth", "--like", "mall", "--out", "x")
    assert done.returncode == 2 and "already there" in done.stderr
