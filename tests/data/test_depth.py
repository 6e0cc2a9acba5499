"""Depth providers: what each gives, and what each refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from harness.benchmark import Benchmark, Sample
from harness.data.datasets.synth import SYNTH
from harness.data.depth import from_head_spacing, provider, read_depth
from harness.errors import HarnessError

SHAPE = (40, 60)


def files_benchmark() -> Benchmark:
    return replace(SYNTH, name="mine")


def sample(folder: Path) -> Sample:
    return Sample("one", "train", folder / "IMG_1.jpg")


def read(source: str, folder: Path, benchmark: Benchmark | None = None) -> np.ndarray:
    return provider(source).read(benchmark or files_benchmark(), sample(folder), np.zeros((0, 2)), SHAPE)


def test_a_crowd_on_a_plane_gives_back_its_perspective() -> None:
    """Rows of heads whose spacing grows by 0.01 px a row: depth is inverse to 2 + 0.01·row."""
    points = []
    for row in range(20, 400, 20):
        spacing = 2 + 0.01 * row
        points += [(x, row) for x in np.arange(100) * spacing]  # rows lie farther apart than two steps
    depth = from_head_spacing(np.array(points), 400, 700)
    assert depth.shape == (400, 700) and depth.dtype == np.float32
    rows = np.arange(400) + 0.5
    assert (depth == depth[:, :1]).all() and depth[0, 0] == 1
    np.testing.assert_allclose(depth[:, 0], (2 + 0.01 * rows[0]) / (2 + 0.01 * rows), rtol=0.03)


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((0, 2)),
        np.array([[3.0, 4.0]]),
        np.array([[3.0, 4.0], [9.0, 9.0]]),
        np.array([[1.0, 5.0], [2.0, 5.0], [9.0, 5.0]]),
        np.array([[4.0, 4.0]] * 7),
        np.array([[x, 60.0] for x in range(20)] + [[9.0 * x, 10.0] for x in range(20)]),  # nearer together below
    ],
)
def test_no_perspective_is_depth_one(points: np.ndarray) -> None:
    assert (from_head_spacing(points, 80, 30) == 1).all()


@pytest.mark.parametrize("horizon", [-400, 90])
def test_depth_of_a_drawn_crowd_by_all_pairs_and_least_squares(horizon: float) -> None:
    """Distances to the three nearest by every pair, a line through them, a tenth of the mean spacing at least.

    Seen from low down the line meets zero within the picture, where that tenth is what is left.
    """
    generator = np.random.default_rng(0)
    rows = generator.uniform(100, 300, 80)
    points = np.column_stack([generator.uniform(0, 3, 80) * (rows - horizon), rows])
    apart = np.sqrt(((points[:, None] - points[None]) ** 2).sum(-1))
    spacing = np.sort(apart, axis=1)[:, 1:4].mean(axis=1)
    (start, slope), *_ = np.linalg.lstsq(np.column_stack([np.ones(80), rows]), spacing, rcond=None)
    line, least = start + slope * (np.arange(320) + 0.5), 0.1 * spacing.mean()
    assert slope > 0 and (line.min() < least) == (horizon > 0)
    fitted = np.maximum(line, least)
    np.testing.assert_allclose(from_head_spacing(points, 320, 9)[:, 4], fitted.min() / fitted, rtol=1e-4)


def test_a_plane_that_reaches_zero_stays_finite() -> None:
    points = np.array([[x * y / 10, y] for y in range(100, 200, 10) for x in range(10)], float)
    depth = from_head_spacing(points, 200, 100)
    assert np.isfinite(depth).all() and depth.max() == 1 and 0 < depth.min() < 0.5


def test_depth_files(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(1, 60_000, SHAPE).astype(np.uint16)
    expected = values / values.max()
    cv2.imwrite(str(tmp_path / "IMG_1.depth.png"), values)
    np.testing.assert_allclose(read("files", tmp_path), expected, rtol=1e-6)
    np.save(tmp_path / "IMG_1.depth.npy", values[::2, ::2].astype(np.float64))  # preferred, and of another size
    half = read("files", tmp_path)
    assert half.shape == SHAPE and half.dtype == np.float32
    np.testing.assert_allclose(half, cv2.resize((values[::2, ::2] / values[::2, ::2].max()).astype("f4"), SHAPE[::-1]))


def test_the_files_are_part_of_a_runs_identity(tmp_path: Path) -> None:
    from harness.host.plugins import load_host
    from harness.run import Request
    from harness.runs.resolve import resolve

    host = load_host()
    request = Request("at_csrnet", "synth", "depth_files", budget="smoke")
    np.save(tmp_path / "IMG_1.depth.npy", np.ones(SHAPE))
    ids = [resolve(host, request, "same", (sample(tmp_path),)).id]
    np.save(tmp_path / "IMG_1.depth.npy", np.eye(*SHAPE))
    ids.append(resolve(host, request, "same", (sample(tmp_path),)).id)
    ids.append(resolve(host, replace(request, variant=""), "same", (sample(tmp_path),)).id)
    assert len(set(ids)) == 3
    (tmp_path / "IMG_1.depth.npy").unlink()
    with pytest.raises(HarnessError, match=r"IMG_1\.depth\.npy: no such depth map .*expected one beside"):
        resolve(host, request, "same", (sample(tmp_path),))
    resolve(host, request, "same", (replace(sample(tmp_path), split="test"),))  # the test image needs none


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones((40, 40)), "expected the aspect ratio of its image"),
        (np.full(SHAPE, np.nan), "depths from nan"),
        (np.zeros(SHAPE), "expected none below 0 and some above"),
        (-np.ones(SHAPE), "expected none below 0"),
        (np.ones((*SHAPE, 3)), r"shape \(40, 60, 3\); expected numbers \[height, width\]"),
        (np.array([["a"]]), "expected numbers"),
    ],
)
def test_bad_depth_files_are_named(tmp_path: Path, values: np.ndarray, message: str) -> None:
    np.save(tmp_path / "IMG_1.depth.npy", values)
    with pytest.raises(HarnessError, match=rf"IMG_1\.depth\.npy: .*{message}"):
        read("files", tmp_path)


def test_bad_pictures_and_arrays_are_named(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "eight.png"), np.ones(SHAPE, np.uint8))
    with pytest.raises(HarnessError, match=r"eight\.png: uint8 .*expected 16-bit grey"):
        read_depth(tmp_path / "eight.png")
    (tmp_path / "no.png").write_bytes(b"nothing")
    with pytest.raises(HarnessError, match=r"no\.png: no picture; expected 16-bit grey"):
        read_depth(tmp_path / "no.png")
    np.save(tmp_path / "object.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(HarnessError, match=r"object\.npy: not a depth map"):
        read_depth(tmp_path / "object.npy")
    (tmp_path / "empty.npy").write_bytes(b"")
    with pytest.raises(HarnessError, match=r"empty\.npy: not a depth map"):
        read_depth(tmp_path / "empty.npy")


def test_perspective_maps(tmp_path: Path) -> None:
    perspective = np.linspace(2.0, 20.0, SHAPE[0])[:, None] * np.ones(SHAPE)
    benchmark = replace(files_benchmark(), read_perspective=lambda sample: perspective)
    depth = read("perspective", tmp_path, benchmark)
    np.testing.assert_allclose(depth, 2.0 / perspective, rtol=1e-6)
    with pytest.raises(HarnessError, match="mine: it has no perspective maps"):
        provider("perspective").files(files_benchmark(), sample(tmp_path))
    with pytest.raises(HarnessError, match="perspective map has the value 0"):
        read("perspective", tmp_path, replace(benchmark, read_perspective=lambda sample: np.zeros(SHAPE)))


def test_unknown_providers_get_the_nearest_known_one() -> None:
    with pytest.raises(HarnessError, match="Did you mean 'files'"):
        provider("file")
