"""Regions of interest, and the perspective maps that come with them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat
from test_benchmarks import BENCHMARKS, written

from harness.data.datasets import drawing
from harness.data.regions import density_inside, points_inside, polygon_mask, seen_inside
from harness.errors import DataError
from harness.files import matlab
from harness.host.plugins import load_host


def test_a_rectangle_takes_the_pixels_whose_centres_it_holds() -> None:
    mask = polygon_mask(np.array([[2.0, 1.0], [6.0, 1.0], [6.0, 4.0], [2.0, 4.0]]), 6, 9)
    inner = np.zeros((6, 9), bool)
    inner[1:4, 2:6] = True
    np.testing.assert_array_equal(mask, inner)
    assert polygon_mask(np.array([[-5.0, -5.0], [50.0, -5.0], [50.0, 50.0], [-5.0, 50.0]]), 6, 9).all()
    assert not polygon_mask(np.array([[20.0, 1.0], [30.0, 1.0], [30.0, 4.0]]), 6, 9).any()


@pytest.mark.parametrize("seed", range(6))
def test_a_polygon_takes_the_pixels_whose_centres_it_holds(seed: int) -> None:
    """By OpenCV's test of single points; polygons that reach out of the frame, and not convex ones, are among them."""
    generator = np.random.default_rng(seed)
    angles = np.sort(generator.uniform(0, 2 * np.pi, 9))
    radius = generator.uniform(8, 40, 9)
    vertices = np.stack([30 + radius * np.cos(angles), 25 + radius * np.sin(angles)], axis=1).astype(np.float32)
    expected = [[cv2.pointPolygonTest(vertices, (x + 0.5, y + 0.5), False) >= 0 for x in range(61)] for y in range(50)]
    np.testing.assert_array_equal(polygon_mask(vertices.astype(float), 50, 61), expected)


def test_polygons_side_by_side_share_no_pixel_and_leave_none() -> None:
    """Also where they meet on pixels' centres."""
    meet = np.array([5.5, 5.5])
    corners = np.array([[0.0, 0.0], [11.0, 0.0], [11.0, 11.0], [0.0, 11.0]])
    parts = [np.array([corners[number], corners[(number + 1) % 4], meet]) for number in range(4)]
    np.testing.assert_array_equal(sum(polygon_mask(part, 11, 11).astype(int) for part in parts), np.ones((11, 11)))


def test_a_polygon_has_its_area() -> None:
    """By the shoelace formula, to a thousandth: nothing is added along the border."""
    vertices = np.array([[103.3, 52.1], [391.7, 98.4], [350.2, 300.9], [240.0, 260.0], [88.8, 331.5]])
    x, y = vertices.T
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    assert polygon_mask(vertices, 400, 500).sum() == pytest.approx(area, rel=1e-3)


def test_points_and_density_inside_by_numpy() -> None:
    generator = np.random.default_rng(0)
    region = generator.random((20, 28)) < 0.5
    points = generator.uniform(-3, 30, (200, 2))
    expected = [(x, y) for x, y in points if 0 <= x < 28 and 0 <= y < 20 and region[int(np.floor(y)), int(np.floor(x))]]
    np.testing.assert_array_equal(points_inside(points, region), expected)
    for stride, shape in ((1, (20, 28)), (8, (3, 4))):  # 20 and 28 are no multiples of 8: the last cells reach beyond
        density = generator.random(shape).astype(np.float32)
        found = density_inside(density, region, stride)
        # As in training, where a crop is continued by its last column and row, and its region with it.
        seen = np.pad(region, ((0, -20 % stride), (0, -28 % stride)), mode="edge")
        for row in range(shape[0]):
            for column in range(shape[1]):
                part = seen[row * stride : (row + 1) * stride, column * stride : (column + 1) * stride]
                assert found[row, column] == pytest.approx(density[row, column] * part.mean(), rel=1e-5)


@pytest.mark.parametrize("outside", ["mask", "blur"])
def test_no_method_sees_what_lies_outside(outside: str, tmp_path: Path) -> None:
    benchmark, folder = written("trancos", tmp_path)
    sample = benchmark.index(folder)[0]
    seen = seen_inside(benchmark, outside)
    region, plain = benchmark.read_roi(sample), benchmark.read_image(sample, 3)  # type: ignore[misc]
    image, points = seen.read_image(sample, 3), seen.read_points(sample)
    np.testing.assert_array_equal(image[region], plain[region])
    if outside == "mask":
        assert not image[~region].any()
    else:
        assert image[~region].any() and image[~region].std() < plain[~region].std()
    assert 0 < len(points) < len(benchmark.read_points(sample))
    assert region[points[:, 1].astype(int), points[:, 0].astype(int)].all()
    assert seen.protocol["outside"] == outside and seen.seen_as


@pytest.mark.parametrize("channels", [1, 3])
def test_blurred_is_the_mean_of_51_by_51_pixels(channels: int, tmp_path: Path) -> None:
    """By SciPy, of the whole picture, mirrored at its border."""
    from scipy.ndimage import uniform_filter

    benchmark, folder = written("trancos", tmp_path)
    sample = benchmark.index(folder)[0]
    region, plain = benchmark.read_roi(sample), benchmark.read_image(sample, channels)  # type: ignore[misc]
    image = seen_inside(benchmark, "blur").read_image(sample, channels)
    assert image.dtype == np.uint8 and image.shape == plain.shape
    expected = uniform_filter(plain.astype(np.float64), (51, 51, 1), mode="mirror")
    np.testing.assert_allclose(image[~region], expected[~region], atol=0.51)


def test_a_region_of_another_size_is_named(tmp_path: Path) -> None:
    benchmark, folder = written("trancos", tmp_path)
    sample = benchmark.index(folder)[0]
    savemat(sample.extra[0], {"BW": np.ones((10, 10), np.uint8)})
    with pytest.raises(DataError, match=r"image-1-000001\.jpg: its region of interest has 10 rows"):
        seen_inside(benchmark, "mask").read_image(sample, 3)


def test_predictions_outside_do_not_count(tmp_path: Path) -> None:
    from harness.data.image_store import ImageStore
    from harness.data.scenes import scenes
    from harness.runs.outcome import _image
    from harness.runs.records import ImageCount
    from harness.training.evaluation import evaluate

    class Ones:
        def predict_on_batch(self, image: np.ndarray) -> np.ndarray:
            return np.full((1, image.shape[1] // 8, image.shape[2] // 8, 1), 64.0)  # one a pixel

    benchmark, folder = written("trancos", tmp_path)
    seen = seen_inside(benchmark, "mask")
    samples = seen.index(folder)[:2]
    method = load_host().method("csrnet")
    results = evaluate(Ones(), method, scenes(seen, samples, ImageStore(seen, 3)))
    for sample, result in zip(samples, results, strict=True):
        region = benchmark.read_roi(sample)  # type: ignore[misc]
        assert result.predicted == pytest.approx(region.sum(), rel=1e-5)
        assert result.true == len(points_inside(benchmark.read_points(sample), region))
        assert result.true_grid.sum() == result.true
        kept = ImageCount.model_validate(_image(result))  # as a record has it
        assert (kept.height, kept.width) == region.shape


def test_masked_and_blurred_pixels_are_cached_apart(tmp_path: Path) -> None:
    from harness.data.image_store import ImageStore

    benchmark, folder = written("trancos", tmp_path)
    sample = benchmark.index(folder)[0]
    cache = tmp_path / "cache"
    stores = [
        ImageStore(each, 3, 0, cache) for each in (benchmark, *(seen_inside(benchmark, o) for o in ("mask", "blur")))
    ]
    first = [np.array(store.get(sample)) for store in stores]
    again = [np.array(ImageStore(store._benchmark, 3, 0, cache).get(sample)) for store in stores]
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(first[0], first[1]) and not np.array_equal(first[1], first[2])


def test_a_benchmark_without_region_is_left_alone() -> None:
    benchmark = BENCHMARKS["shtech_a"]
    assert seen_inside(benchmark, "blur") is benchmark
    with pytest.raises(Exception, match="Did you mean 'blur'"):
        seen_inside(replace(benchmark), "blurr")


@pytest.mark.parametrize("name", ["mall", "ucsd", "worldexpo10"])
def test_perspectives_are_pixels_a_metre(name: str, tmp_path: Path) -> None:
    """Up to a factor: Mall's and UCSD's authors write what a pixel's area weighs, which shrinks with its square."""
    benchmark, folder = written(name, tmp_path, 10)
    assert benchmark.read_perspective is not None
    found = benchmark.read_perspective(benchmark.index(folder)[0])
    drawn = drawing.plane_perspective(*found.shape)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found / found[-1, 0], drawn / drawn[-1, 0], rtol=1e-5)


@pytest.mark.parametrize("name", ["mall", "ucsd", "worldexpo10"])
def test_files_that_frames_share_are_read_once(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    plain = matlab.read
    monkeypatch.setattr(matlab, "read", lambda path: (read.append(path), plain(path))[1])
    benchmark, folder = written(name, tmp_path, 10)
    samples = [sample for sample in benchmark.index(folder) if sample.extra == benchmark.index(folder)[0].extra]
    assert len(samples) > 1 and benchmark.read_roi is not None and benchmark.read_perspective is not None
    del read[:]
    for sample in samples:
        benchmark.read_roi(sample)
        benchmark.read_perspective(sample)
    assert sorted(read) == sorted(set(samples[0].extra))
    before = benchmark.read_perspective(samples[0])
    for path in samples[0].extra:  # a changed file is read again
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    np.testing.assert_array_equal(benchmark.read_perspective(samples[0]), before)
    assert len(read) > len(set(samples[0].extra))
    for path in samples[0].extra:  # also what cannot be read is tried once: it may take its reader long
        path.write_bytes(b"nothing of the kind" * 20)
    del read[:]
    for sample in samples:
        for each in (benchmark.read_roi, benchmark.read_perspective):
            with pytest.raises(DataError, match="not a MATLAB file"):
                each(sample)
    assert sorted(read) == sorted(set(samples[0].extra))


@pytest.mark.parametrize("name", ["mall", "ucsd", "worldexpo10"])
def test_what_is_no_region_or_perspective_is_named(name: str, tmp_path: Path) -> None:
    benchmark, folder = written(name, tmp_path, 10)
    sample = benchmark.index(folder)[0]
    for value in ("text", np.full((4, 4), np.nan), np.zeros((0, 2))):
        struct = np.empty((1, 1), dtype=[("mask", "O"), ("pmapxy", "O")])
        struct[0, 0] = (value, value)
        content = {"roi": struct, "dmap": struct, "pMap": value, "pMapN": value}
        for axis in "XY":
            content[f"maskVertices{axis}Coordinates"] = value
        for path, read in ((sample.extra[0], benchmark.read_roi), (sample.extra[-1], benchmark.read_perspective)):
            savemat(path, content)
            with pytest.raises(DataError, match=path.name.replace(".", r"\.")):
                read(sample)  # type: ignore[misc]
