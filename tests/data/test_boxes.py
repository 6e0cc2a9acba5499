"""Heads' boxes follow their heads: as annotated, through a region and through a reduction."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_benchmarks import BENCHMARKS, written

from harness.benchmark import Benchmark, Sample
from harness.data.datasets import drawing
from harness.data.datasets.scaling import at_most
from harness.data.image_store import ImageStore
from harness.data.regions import seen_inside
from harness.data.scenes import scenes
from harness.errors import DataError


def boxes_of(benchmark: Benchmark, sample: Sample) -> np.ndarray:
    assert benchmark.read_boxes is not None
    return benchmark.read_boxes(sample)


def test_jhus_boxes_are_width_and_height(tmp_path: Path) -> None:
    benchmark, folder = written("jhu_crowd_pp", tmp_path)
    sample = benchmark.index(folder)[0]
    assert sample.annotation is not None
    sample.annotation.write_text("10 20 30.5 40 1 0\n50 60 7 8 2 1\n")
    np.testing.assert_array_equal(boxes_of(benchmark, sample), [[30.5, 40], [7, 8]])
    (scene,) = scenes(benchmark, (sample,), ImageStore(benchmark, 3, 0), boxes=True)
    np.testing.assert_array_equal(scene.boxes, [[30.5, 40], [7, 8]])  # type: ignore[arg-type]
    sample.annotation.write_text("")
    assert boxes_of(benchmark, sample).shape == (0, 2)
    for damaged in ("10 20 30", "10 20 nan 3 1 0", "10 20 a b"):
        sample.annotation.write_text(damaged)
        with pytest.raises(DataError, match="expected x y w h occlusion blur"):
            boxes_of(benchmark, sample)


@pytest.mark.parametrize("kind", ["mat", "json"])
def test_nwpus_boxes_are_corners_and_are_reduced_with_the_picture(tmp_path: Path, kind: str) -> None:
    """Image 10 is 2100 pixels wide and seen 2048 wide."""
    benchmark, folder = written("nwpu_crowd", tmp_path)
    if kind == "json":
        shutil.rmtree(folder / "mats")
    samples = {sample.name.partition("/")[2]: sample for sample in benchmark.index(folder)}
    for key, scale in (("0001", 1.0), ("0010", 2048 / 2100)):
        path, heads = folder / f"{kind}s" / f"{key}.{kind}", [[100, 200], [300, 250.5]]
        save_boxes(path, heads, [[90, 180, 120.5, 220], [296, 240, 303, 248]])
        np.testing.assert_allclose(boxes_of(benchmark, samples[key]), scale * np.array([[30.5, 40], [7, 8]]), rtol=1e-3)
        np.testing.assert_allclose(benchmark.read_points(samples[key]), scale * np.array(heads), rtol=1e-3)
    nobody = next(sample for sample in samples.values() if not len(benchmark.read_points(sample)))
    assert boxes_of(benchmark, nobody).shape == (0, 2)
    for damaged in ([[90, 180, 120.5, 220]], [[90, 180, 120.5], [1, 2, 3]], [[1, 2, 3, float("nan")]] * 2):
        save_boxes(path, heads, damaged)
        with pytest.raises(DataError, match="expected left, top, right, bottom of each head"):
            boxes_of(benchmark, samples["0010"])


def save_boxes(path: Path, heads: list, boxes: list) -> None:
    if path.suffix == ".mat":
        drawing.save_mat(path, annPoints=np.array(heads), annBoxes=np.array(boxes))
    else:
        path.write_text(json.dumps({"points": heads, "boxes": boxes}))


def test_boxes_of_heads_outside_the_region_are_gone_too(tmp_path: Path) -> None:
    benchmark, folder = written("trancos", tmp_path)
    sample = benchmark.index(folder)[0]
    assert seen_inside(benchmark, "mask").read_boxes is None
    points = benchmark.read_points(sample)
    seen = seen_inside(replace(benchmark, read_boxes=lambda sample: 2 * points), "mask")
    assert 0 < len(boxes_of(seen, sample)) < len(points)
    np.testing.assert_array_equal(boxes_of(seen, sample), 2 * seen.read_points(sample))


def test_boxes_are_reduced_with_their_picture(tmp_path: Path) -> None:
    benchmark, folder = written("shtech_a", tmp_path)
    sample = benchmark.index(folder)[0]
    height, width, _ = benchmark.read_image(sample, 3).shape
    small = at_most(max(height, width) // 2, replace(benchmark, read_boxes=benchmark.read_points))
    np.testing.assert_array_equal(boxes_of(small, sample), small.read_points(sample))
    assert at_most(100, benchmark).read_boxes is None and BENCHMARKS["ucf_qnrf"].read_boxes is None
