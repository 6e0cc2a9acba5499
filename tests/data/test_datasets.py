"""Readers, splits and the data check, on files written in the authors' layouts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import write_jpeg, write_shanghaitech_points
from scipy.io import savemat

from harness.data.check import check
from harness.data.datasets import synth
from harness.data.datasets.shanghaitech import SHTECH_A
from harness.data.datasets.ucf_cc_50 import UCF_CC_50
from harness.data.fingerprints import fingerprint
from harness.data.splits import select, split
from harness.errors import DataError

Tiny = Callable[..., Path]


@pytest.mark.parametrize("part", ["ShanghaiTech/part_A", "ShanghaiTech/part_A_final", "part_A_final"])
@pytest.mark.parametrize("truth", ["ground-truth", "ground_truth"])
def test_both_spellings_of_shanghaitech_are_read(tiny_shanghaitech: Tiny, part: str, truth: str) -> None:
    folder = SHTECH_A.require(tiny_shanghaitech(part, truth))
    samples = SHTECH_A.index(folder)
    assert [sample.name for sample in samples][-3:] == ["test/IMG_1", "test/IMG_2", "test/IMG_3"]
    assert [len(SHTECH_A.read_points(sample)) for sample in samples[:3]] == [4, 5, 6]
    assert SHTECH_A.read_image(samples[0], 3).shape == (72, 90, 3)


def test_points_are_x_then_y_as_written(tmp_path: Path) -> None:
    from harness.benchmark import Sample

    path = write_shanghaitech_points(tmp_path / "GT_IMG_1.mat", np.array([[80.5, 3.25], [1.0, 70.0]]))
    assert SHTECH_A.read_points(Sample("x", "test", None, path)).tolist() == [[80.5, 3.25], [1.0, 70.0]]


def test_images_are_in_natural_order(tiny_shanghaitech: Tiny) -> None:
    root = tiny_shanghaitech(images={"train_data": 12, "test_data": 1})
    names = [sample.name for sample in SHTECH_A.index(SHTECH_A.require(root))]
    assert names[:3] == ["train/IMG_1", "train/IMG_2", "train/IMG_3"] and names[11] == "train/IMG_12"


def test_an_image_without_annotation_is_named(tiny_shanghaitech: Tiny) -> None:
    folder = SHTECH_A.require(tiny_shanghaitech())
    (folder / "train_data/ground-truth/GT_IMG_2.mat").unlink()
    with pytest.raises(DataError, match=r"IMG_2\.jpg: image without annotation; expected"):
        SHTECH_A.index(folder)


def test_an_annotation_without_image_is_named(tiny_shanghaitech: Tiny) -> None:
    folder = SHTECH_A.require(tiny_shanghaitech())
    for number in (1, 3):
        (folder / f"test_data/images/IMG_{number}.jpg").unlink()
    with pytest.raises(DataError, match=r"GT_IMG_1\.mat: annotation without image; expected.*\(and 1 more\)"):
        SHTECH_A.index(folder)


def test_a_missing_folder_is_named(tiny_shanghaitech: Tiny, tmp_path: Path) -> None:
    folder = SHTECH_A.require(tiny_shanghaitech())
    (folder / "test_data/ground-truth").rename(folder / "test_data/truth")
    with pytest.raises(DataError, match="test_data/ground-truth: no such folder"):
        SHTECH_A.index(folder)
    with pytest.raises(DataError, match=r"dataset shtech_a: no folder .*part_A.* Its authors offer it at https"):
        SHTECH_A.require(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="set --data-root DIR or HARNESS_DATA"):
        SHTECH_A.require(None)


def test_a_mat_file_of_another_layout_is_named(tmp_path: Path) -> None:
    from harness.benchmark import Sample

    path = tmp_path / "GT_IMG_1.mat"
    savemat(path, {"annPoints": np.zeros((2, 2))})
    with pytest.raises(DataError, match="no variable 'image_info'; found annPoints"):
        SHTECH_A.read_points(Sample("x", "test", None, path))
    savemat(path, {"image_info": np.zeros((2, 2))})
    with pytest.raises(DataError, match="no field 'location'"):
        SHTECH_A.read_points(Sample("x", "test", None, path))


@pytest.fixture
def tiny_ucf(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "UCF_CC_50"
    for number in range(1, 51):
        write_jpeg(folder / f"{number}.jpg", np.full((40, 50), number, np.uint8))
        savemat(folder / f"{number}_ann.mat", {"annPoints": np.full((number, 2), 7.5)})
    return folder


def test_ucf_folds_partition_the_images(tiny_ucf: Path) -> None:
    samples = UCF_CC_50.index(tiny_ucf)
    tested: list[str] = []
    for fold in range(5):
        parts = split(UCF_CC_50, samples, fold)
        sets = [{sample.name for sample in part} for part in (parts.train, parts.val, parts.test)]
        assert [len(names) for names in sets] == [36, 4, 10]
        assert not sets[0] & sets[1] and not sets[1] & sets[2] and not sets[0] & sets[2]
        tested += [sample.name for sample in parts.test]
    assert sorted(tested, key=int) == [str(number) for number in range(1, 51)]
    assert tested[:10] == [str(number) for number in range(1, 11)]
    assert len(select(UCF_CC_50, samples, "all")) == 50


def test_validation_is_held_out_and_fixed(tiny_shanghaitech: Tiny) -> None:
    samples = SHTECH_A.index(SHTECH_A.require(tiny_shanghaitech(images={"train_data": 60, "test_data": 2})))
    parts, again = split(SHTECH_A, samples), split(SHTECH_A, samples)
    assert parts == again
    assert (len(parts.train), len(parts.val), len(parts.test)) == (54, 6, 2)
    assert {sample.split for sample in (*parts.train, *parts.val)} == {"train"}
    assert [sample.name for sample in select(SHTECH_A, samples, "val")] == [sample.name for sample in parts.val]


def test_the_fingerprint_follows_the_bytes(tiny_shanghaitech: Tiny) -> None:
    folder = SHTECH_A.require(tiny_shanghaitech())
    samples = SHTECH_A.index(folder)
    before = fingerprint(SHTECH_A, samples)
    assert before == fingerprint(SHTECH_A, samples)
    write_shanghaitech_points(folder / "train_data/ground-truth/GT_IMG_1.mat", np.zeros((1, 2)))
    assert fingerprint(SHTECH_A, samples) != before


def test_check_tells_wrong_from_different(tiny_shanghaitech: Tiny) -> None:
    folder = SHTECH_A.require(tiny_shanghaitech(shape=(64, 96)))
    truth = folder / "train_data/ground-truth"
    write_shanghaitech_points(truth / "GT_IMG_1.mat", np.array([[-4.0, 3.0], [5.5, 5.5], [5.5, 5.5]]))
    write_shanghaitech_points(truth / "GT_IMG_2.mat", np.zeros((0, 2)))
    write_shanghaitech_points(truth / "GT_IMG_3.mat", np.array([[np.nan, 1.0]]))
    image = folder / "train_data/images/IMG_4.jpg"
    image.write_bytes(image.read_bytes()[:200])
    write_jpeg(folder / "test_data/images/IMG_1.jpg", np.zeros((96, 128, 3), np.uint8))
    found = check(SHTECH_A, folder)
    assert [line.partition(": ")[0].rpartition("/")[2] for line in found.wrong] == [
        "GT_IMG_3.mat",
        "IMG_4.jpg",
    ]
    assert any("annotations: found" in line and "published 241,677" in line for line in found.differs)
    assert any("multiple of 32" in line for line in found.differs)
    assert found.noted[-1].startswith("6 images to train on are few")
    assert [line.rpartition("/")[2] for line in found.noted[:-1]] == [
        "GT_IMG_1.mat: point (-4.0, 3.0) outside 96×64",
        "GT_IMG_1.mat: 1 repeated points",
        "GT_IMG_2.mat: no heads",
    ]
    values = {what: value for what, value, _ in found.rows}
    # 8 training images of 4 … 11 heads and 3 test images of 4 … 6, four files replaced above
    assert values["annotations"] == 3 + 0 + (8 + 9 + 10 + 11) + (4 + 5 + 6)
    assert (values["images"], values["unreadable files"], values["points outside the frame"]) == (11, 2, 1)


def test_drawn_scenes_are_deterministic_and_annotated_where_drawn() -> None:
    sample = synth.index(Path())[5]
    first = synth.read_image(sample).copy()
    synth._scene.cache_clear()
    np.testing.assert_array_equal(first, synth.read_image(sample))
    points = synth.read_points(sample)
    assert first.shape == (synth.HEIGHT, synth.WIDTH, 3) and len(points) >= 3
    assert ((points >= 0) & (points < [synth.WIDTH, synth.HEIGHT])).all()


def test_drawn_heads_are_larger_nearer_the_bottom() -> None:
    """Perspective, measured: a scene with one head at the bottom changes more pixels than with one far away."""
    changed = []
    for y in (0.25, 0.9):
        blank = np.full((192, 256, 3), 128, np.float32)
        drawn = blank.copy()
        radius = 1.4 + 3.6 * max(0.0, y * 192 - 0.15 * 192) / (192 - 0.15 * 192)
        synth._person(drawn, np.random.default_rng(0), 128, y * 192, radius)
        changed.append((drawn != blank).any(axis=2).sum())
    assert changed[1] > 4 * changed[0]


def test_drawn_scenes_cover_few_and_many_heads() -> None:
    counts = [len(synth.read_points(sample)) for sample in synth.index(Path())]
    assert len(counts) == 84 and min(counts) < 20 and max(counts) > 150
