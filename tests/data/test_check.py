"""`harness data check`: like is compared with like, and copies that are known are called what they are."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import write_shanghaitech_points
from scipy.io import savemat

from harness.benchmark import Benchmark, Sample, Statistics
from harness.data.check import check
from harness.data.datasets.mall import MALL
from harness.data.datasets.shanghaitech import SHTECH_A, SHTECH_B
from harness.data.datasets.ucsd import UCSD
from harness.data.regions import points_inside


def drawn(benchmark: Benchmark, folder: Path) -> tuple[Path, list[int], list[int]]:
    """A written benchmark with its counts, over the frame and inside the region, image by image."""
    assert benchmark.write is not None and benchmark.read_roi is not None
    benchmark.write(folder, 20, 3)
    samples = benchmark.index(folder)
    points = [benchmark.read_points(sample) for sample in samples]
    inside = [len(points_inside(each, benchmark.read_roi(s))) for s, each in zip(samples, points, strict=True)]
    return folder, [len(each) for each in points], inside


def test_numbers_of_the_region_are_compared_with_heads_in_the_region(tmp_path: Path) -> None:
    folder, frame, inside = drawn(UCSD, tmp_path / "ucsd")
    assert sum(inside) < sum(frame)
    published = Statistics(20, sum(inside), max(inside), round(sum(inside) / 20, 1), "here", in_region=True)
    found = check(replace(UCSD, statistics=published), folder)
    assert not found.differs
    rows = {what: values for what, *values in found.rows}
    assert rows["annotations"] == [sum(frame), None]
    assert rows["annotations in the region"] == [sum(inside)] * 2
    assert rows["largest in the region"] == [max(inside)] * 2
    assert rows["points outside the region"] == [sum(frame) - sum(inside), None]
    over = replace(published, annotations=sum(frame), errata={"annotations": "over the frame"})
    (line,) = check(replace(UCSD, statistics=over), folder).differs
    assert line == f"annotations in the region: found {sum(inside):,}, published {sum(frame):,} (known: over the frame)"


def test_numbers_of_the_frame_are_compared_with_all_heads(tmp_path: Path) -> None:
    folder, frame, _ = drawn(MALL, tmp_path / "mall")
    published = Statistics(20, sum(frame), max(frame), round(sum(frame) / 20, 1))
    found = check(replace(MALL, statistics=published), folder)
    assert not found.differs
    assert ("annotations", sum(frame), sum(frame)) in found.rows


def test_what_the_authors_files_hold_is_said() -> None:
    assert UCSD.statistics.in_region and not MALL.statistics.in_region
    assert set(UCSD.statistics.errata) == {"annotations", "largest", "mean"}
    assert "49,496" in UCSD.statistics.errata["annotations"] and "62,315" in MALL.statistics.errata["annotations"]


def test_a_region_of_another_size_is_wrong(tmp_path: Path) -> None:
    folder, _, _ = drawn(UCSD, tmp_path / "ucsd")
    mask = np.empty((1, 1), dtype=[("mask", "O")])
    mask[0, 0] = (np.ones((10, 12), np.uint8),)
    savemat(UCSD.index(folder)[0].extra[0], {"roi": mask})
    found = check(UCSD, folder)
    assert len(found.wrong) == 20
    assert re.search(r"f001\.png: 158 × 238 pixels, but its region of interest in \w+\.mat has 10 × 12", found.wrong[0])


def test_a_damaged_file_of_all_frames_is_named_once(tmp_path: Path) -> None:
    folder, _, _ = drawn(UCSD, tmp_path / "ucsd")
    path = UCSD.index(folder)[0].extra[0]
    path.write_bytes(b"nothing of the kind" * 20)
    found = check(UCSD, folder)
    assert [line.partition(": ")[0] for line in found.wrong] == [str(path)]
    assert ("unreadable files", 1, None) in found.rows


Tiny = Callable[..., Path]


@pytest.mark.parametrize(("part", "copied", "removed"), [(SHTECH_A, 241_275, 402), (SHTECH_B, 88_272, 216)])
def test_the_copy_without_heads_at_the_border_is_recognised(part: Benchmark, copied: int, removed: int) -> None:
    """As a table and a record say it: from the points alone."""
    assert part.departures is not None
    samples = tuple(Sample(name, "train") for name in "ab")

    def said(heads: int) -> tuple[str, ...]:
        points = np.full((heads, 2), 0.5)
        return part.departures(samples, {"a": points[:7], "b": points[7:]})  # type: ignore[misc]

    (line,) = said(copied)
    assert f"{copied:,} heads" in line and f"without {removed} " in line and "border" in line
    assert said(copied + 1) == said(copied + removed) == ()


def test_a_rounded_copy_without_heads_at_the_border_is_both(tiny_shanghaitech: Tiny) -> None:
    assert SHTECH_A.departures is not None
    found = SHTECH_A.departures((Sample("a", "train"),), {"a": np.ones((241_275, 2))})
    assert len(found) == 2 and "whole pixel" in found[0] and "border" in found[1]


def test_the_check_says_what_departs(tiny_shanghaitech: Tiny) -> None:
    folder = SHTECH_A.require(tiny_shanghaitech(images={"train_data": 2, "test_data": 1}))
    write_shanghaitech_points(folder / "test_data/ground-truth/GT_IMG_1.mat", np.full((241_275 - 9, 2), 0.5))
    assert any("without 402 " in line for line in check(SHTECH_A, folder).differs)


def test_a_mean_is_compared_to_the_digit_that_is_printed(tmp_path: Path) -> None:
    """To 0.06, as one digit is printed: another 0.1 differs, what rounding makes of it does not."""
    folder, frame, _ = drawn(MALL, tmp_path / "mall")
    mean = round(sum(frame) / len(frame), 1)
    for printed, differs in ((mean, False), (mean + 0.05, False), (mean - 0.1, True), (mean + 0.1, True)):
        found = check(replace(MALL, statistics=Statistics(20, sum(frame), max(frame), printed, "here")), folder)
        assert [line.partition(":")[0] for line in found.differs] == (["mean"] if differs else [])
