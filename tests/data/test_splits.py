"""How many images train, choose and test, down to a handful, and that both commands say so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Command, one_line, write_jpeg

from harness.benchmark import Sample
from harness.data.check import check
from harness.data.datasets.folder import benchmark_of, index
from harness.data.splits import require_images, split
from harness.errors import DataError


def pictures(folder: Path, count: int) -> Path:
    generator = np.random.default_rng(0)
    for number in range(count):
        path = write_jpeg(folder / f"photo_{number}.jpg", generator.integers(0, 255, (70, 90, 3), np.uint8))
        path.with_suffix(".txt").write_text("10 12\n30.5 40\n")
    return folder


@pytest.mark.parametrize(
    ("images", "trains", "chooses"),
    [(1, 1, 0), (2, 1, 1), (5, 4, 1), (8, 6, 2), (12, 10, 2), (19, 15, 4), (20, 16, 4), (40, 36, 4), (300, 270, 30)],
)
def test_a_tenth_is_held_out_at_least_four_and_never_more_than_a_fifth(images: int, trains: int, chooses: int) -> None:
    benchmark = benchmark_of(Path("/nowhere"), frozenset())
    parts = split(benchmark, tuple(Sample(f"{number}", "train") for number in range(images)))
    assert (len(parts.train), len(parts.val)) == (trains, chooses)
    assert not {sample.name for sample in parts.train} & {sample.name for sample in parts.val}


@pytest.mark.parametrize(("images", "sizes"), [(3, (1, 1, 1)), (6, (4, 1, 1)), (10, (6, 2, 2)), (25, (16, 4, 5))])
def test_a_folder_of_few_pictures_trains_on_most_of_them(images: int, sizes: tuple[int, ...], tmp_path: Path) -> None:
    folder = pictures(tmp_path / "mine", images)
    parts = split(benchmark_of(folder, frozenset()), index(folder))
    assert (len(parts.train), len(parts.val), len(parts.test)) == sizes


@pytest.mark.parametrize(("images", "found"), [(1, "0 to train, 0 to validate, 1 to test"), (2, "1 to train, 0 to ")])
def test_too_few_pictures_are_refused(images: int, found: str, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "mine", images)
    with pytest.raises(DataError) as refused:
        require_images(split(benchmark_of(folder, frozenset()), index(folder)), folder)
    said = str(refused.value)
    assert said.startswith(f"{folder}: {found}") and "expected at least one of each" in said and "add " in said
    assert check(benchmark_of(folder, frozenset()), folder).wrong == [said]


def test_a_training_folder_of_one_picture_is_refused_without_a_picture_to_validate(tmp_path: Path) -> None:
    for name in ("train", "test"):
        pictures(tmp_path / name, 1)
    parts = split(benchmark_of(tmp_path, frozenset()), index(tmp_path))
    with pytest.raises(DataError, match="1 to train, 0 to validate, 1 to test; expected at least one of each"):
        require_images(parts, tmp_path)
    pictures(tmp_path / "val", 1)
    require_images(split(benchmark_of(tmp_path, frozenset()), index(tmp_path)), tmp_path)


def test_the_check_and_the_bench_say_the_split_and_warn(harness: Command, tmp_path: Path) -> None:
    pictures(tmp_path / "six", 6)
    pictures(tmp_path / "many", 16)
    pictures(tmp_path / "one", 1)
    done = harness("data", "check", "./six")
    assert done.returncode == 0 and "split: 4 to train, 1 to validate, 1 to test\n" in done.stdout
    assert "4 images to train on are few" in done.stdout
    told = json.loads(harness("data", "check", "./many", "--json").stdout)
    assert told["split"] == {"train": 10, "val": 3, "test": 3} and not [line for line in told["noted"] if "few" in line]
    done = harness("bench", "--methods", "mcnn", "--datasets", "./six,./many", "--budget", "smoke", "--dry-run")
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert "six: 4 to train, 1 to validate, 1 to test" in lines
    assert "many: 10 to train, 3 to validate, 3 to test" in lines
    assert [line.partition(":")[0] for line in lines if "are few" in line] == ["six"]
    pictures(tmp_path / "other" / "six", 16)
    done = harness("bench", "--methods", "mcnn", "--datasets", "./six,other/six", "--budget", "smoke", "--dry-run")
    told = [line.partition(":")[0] for line in done.stderr.splitlines() if "to train" in line]
    assert told == [
        str(tmp_path / "six"),
        str(tmp_path / "six"),
        str(tmp_path / "other" / "six"),
    ]  # the first with a warning
    done = harness("bench", "--methods", "mcnn", "--datasets", "./one", "--budget", "smoke")
    assert done.returncode == 2 and f"{tmp_path / 'one'}: 0 to train, 0 to validate, 1 to test" in one_line(done)


def test_what_a_budget_leaves_of_a_split_is_said(harness: Command) -> None:
    done = harness("bench", "--methods", "mcnn", "--datasets", "synth", "--budget", "smoke", "--dry-run")
    said = "synth: 54 to train, 6 to validate, 24 to test (budget smoke measures 4 and 12 of these two)"
    assert said in done.stderr.splitlines()
