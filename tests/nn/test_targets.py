"""Targets rendered from points, and pooling to a grid, against NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compiled import to_numpy
from scipy.stats import norm

from harness.nn.batch import Batch
from harness.nn.targets import count_classes, crowd_mask, distilled_depth, head_blocks, inside_region, shares_inside

pytestmark = pytest.mark.backend


@pytest.mark.parametrize(
    ("largest", "threshold"),
    [(3139, 209.3), (578, 38.5), (4543, 302.9), (12865, 857.7), (253, 16.9), (7286, 485.7)],
)
def test_the_class_thresholds_are_those_of_table_ii(largest: int, threshold: float) -> None:
    """SSR-HEF, Table II: the threshold of a benchmark is its largest count over 15 (printed with one digit)."""
    from keras import ops

    counts = np.array([0, threshold - 0.2, threshold + 0.2, 2 * threshold - 0.3, 14 * threshold + 1.5, largest], "f4")
    found = to_numpy(count_classes(ops.convert_to_tensor(counts), largest, 15))
    assert found.tolist() == [0, 0, 1, 1, 14, 14]
    assert found.dtype == np.int32


@pytest.mark.parametrize("classes", [5, 10, 15])
def test_a_count_at_a_threshold_opens_the_next_class(classes: int) -> None:
    """Of whole numbers, which are exact; counts × (classes ÷ largest) in float32 fell short of some of them."""
    from keras import ops

    for largest in range(classes, 2000 * classes, 41 * classes):
        thresholds = np.arange(1, classes) * (largest // classes)
        found = to_numpy(count_classes(ops.convert_to_tensor(thresholds.astype("f4")), float(largest), classes))
        assert found.tolist() == list(range(1, classes)), largest


def test_the_papers_example_of_three_classes() -> None:
    from keras import ops

    counts = np.array([0, 9, 11, 19, 21, 30, 45], np.float32)  # a crop repeated by scaling may hold more than any image
    assert to_numpy(count_classes(ops.convert_to_tensor(counts), 30, 3)).tolist() == [0, 0, 1, 1, 2, 2, 2]


@pytest.mark.parametrize("stride", [1, 4])
def test_the_distilled_depth_is_the_depth_of_the_crowd(stride: int) -> None:
    from keras import ops

    generator = np.random.default_rng(0)
    depth = generator.uniform(0, 1, (2, 16, 24, 1)).astype(np.float32)
    mask = generator.integers(0, 2, (2, 16 // stride, 24 // stride, 1)).astype(np.float32)
    cells = depth.reshape(2, 16 // stride, stride, 24 // stride, stride, 1).mean(axis=(2, 4))
    found = distilled_depth(ops.convert_to_tensor(depth), ops.convert_to_tensor(mask), stride)
    np.testing.assert_allclose(to_numpy(found), np.where(mask == 1, cells, 0), rtol=1e-5)


def make_batch(heads: list[tuple[float, ...]], height: int, width: int) -> Batch:
    """One crop with `heads` of (x, y, sigma), and a row of padding."""
    from keras import ops

    points = np.array([[*head, 1] for head in heads] + [[0, 0, 1, 0]], np.float32)
    return Batch(ops.zeros((1, height, width, 3)), ops.convert_to_tensor(points[None]))


def kernel_masses(centre: float, sigma: float, length: int, stride: int) -> np.ndarray:
    """[length / stride]: the mass of a Gaussian in each cell, all of it in the frame."""
    cumulative = norm.cdf(np.arange(0, length + 1, stride), centre, sigma)
    return np.diff(cumulative) / (cumulative[-1] - cumulative[0])


@pytest.mark.parametrize("stride", [1, 8])
def test_the_crowd_is_where_kernels_add_up_to_a_tenth_of_their_peaks(stride: int) -> None:
    """Heads of many sizes, at borders too; SciPy's normal distribution."""
    generator = np.random.default_rng(0)
    heads = [(generator.uniform(0, 96), generator.uniform(0, 64), sigma) for sigma in (0.2, 1.5, 2, 3, 4, 4, 6, 9)]
    heads += [(95.9, 63.9, 2.5), (0.0, 30.0, 2.0)]
    expected = np.zeros((64 // stride, 96 // stride))
    for x, y, sigma in heads:
        mass = np.outer(kernel_masses(y, sigma, 64, stride), kernel_masses(x, sigma, 96, stride))
        expected += mass * 2 * np.pi * max(sigma, 0.3 * stride) ** 2 / stride**2
    found = to_numpy(crowd_mask(make_batch(heads, 64, 96), stride))
    assert found.shape == (1, *expected.shape, 1) and found.dtype == np.float32
    clear = np.abs(expected - 0.1) > 1e-4
    assert clear.mean() > 0.98 and 0.1 < found.mean() < 0.9
    np.testing.assert_array_equal(found[0, ..., 0][clear], (expected >= 0.1)[clear])


@pytest.mark.parametrize(("sigma", "radius"), [(4.0, 8.6), (15.0, 32.2), (50.0, 107.3)])
def test_a_lone_heads_crowd_is_a_disc_of_its_own_size(sigma: float, radius: float) -> None:
    """Not empty, however wide the kernel is: at 0.001 heads a pixel it would be from sigma 12.6 on."""
    found = to_numpy(crowd_mask(make_batch([(200.5, 150.5, sigma)], 320, 400)))[0, ..., 0]
    rows, columns = np.mgrid[:320, :400]
    distance = np.hypot(rows - 150, columns - 200)
    assert found[distance < radius - 0.6].all() and not found[distance > radius + 0.6].any()


@pytest.mark.parametrize("stride", [1, 8])
def test_crowds_of_one_sigma_are_a_threshold_on_density(stride: int) -> None:
    """At sigma 4, 0.001 heads a pixel, to the third digit."""
    generator = np.random.default_rng(1)
    batch = make_batch([(*generator.uniform(0, 128, 2), 4.0) for _ in range(40)], 128, 128)
    density = to_numpy(batch.density(stride)) / stride**2
    found = to_numpy(crowd_mask(batch, stride))
    assert found[density >= 0.001].all() and not found[density < 0.00099].any()
    assert 0.2 < found.mean() < 0.8


@pytest.mark.parametrize("sigma", [0.05, 0.5, 2.0])
@pytest.mark.parametrize("place", [36.0, 32.0, 39.9])
def test_a_head_smaller_than_a_cell_makes_its_own_cell_crowd(sigma: float, place: float) -> None:
    found = to_numpy(crowd_mask(make_batch([(place, place, sigma)], 64, 64), 8))[0, ..., 0]
    assert found[4, 4] == 1 and found.sum() <= 4


def test_points_may_be_an_array_as_where_keras_builds_a_trainer() -> None:
    batch = make_batch([(10.0, 20.0, 4.0)], 32, 32)
    plain = Batch(to_numpy(batch.image), to_numpy(batch.points))
    np.testing.assert_array_equal(to_numpy(crowd_mask(plain, 8)), to_numpy(crowd_mask(batch, 8)))


def test_padding_and_heads_outside_make_no_crowd() -> None:
    assert not to_numpy(crowd_mask(make_batch([(70.0, 10.0, 4.0), (10.0, -1.0, 4.0)], 64, 64))).any()


@pytest.mark.parametrize("stride", [1, 8])
@pytest.mark.parametrize(
    "label", [crowd_mask, lambda batch, stride: head_blocks(batch, 15, stride)], ids=["crowd", "blocks"]
)
def test_nothing_outside_the_region_of_interest_is_foreground(label: Callable[..., Any], stride: int) -> None:
    """A cell that lies partly inside keeps its label; the target density is above 0 in the same cells at most."""
    from keras import ops

    heads = [(12.5, 30.5, 4.0), (33.5, 20.5, 4.0), (60.5, 50.5, 4.0)]
    whole = make_batch(heads, 64, 96)
    region = np.zeros((1, 64, 96, 1), np.float32)
    region[:, 10:, 4:35] = 1
    batch = Batch(whole.image, whole.points, {"region": ops.convert_to_tensor(region)})
    touched = region.reshape(1, 64 // stride, stride, 96 // stride, stride, 1).max(axis=(2, 4))
    everywhere, found = to_numpy(label(whole, stride)), to_numpy(label(batch, stride))
    np.testing.assert_array_equal(found, everywhere * touched)
    assert 0 < found.sum() < everywhere.sum()
    assert not found[to_numpy(batch.density(stride)) == 0].any()


@pytest.mark.parametrize(("height", "width", "cells"), [(32, 48, 16), (7, 7, 7), (33, 50, 16), (5, 9, 16), (1, 1, 7)])
def test_grid_pooling_averages_equal_rectangles(height: int, width: int, cells: int) -> None:
    """Oracle: every pixel split into cells × cells smaller ones, which fill each rectangle exactly."""
    from keras import ops

    from harness.nn.resizing import GridPooling

    values = np.random.default_rng(0).normal(0, 1, (2, height, width, 3)).astype(np.float32)
    fine = values.astype(float).repeat(cells, axis=1).repeat(cells, axis=2)
    expected = fine.reshape(2, cells, height, cells, width, 3).mean(axis=(2, 4))
    found = to_numpy(GridPooling(cells)(ops.convert_to_tensor(values)))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("factor", [1, 2, 3, 16])
@pytest.mark.parametrize("shape", [(1, 1), (4, 7), (9, 2)])
def test_enlarging_is_opencvs_bilinear(factor: int, shape: tuple[int, int]) -> None:
    import cv2
    from keras import ops

    from harness.nn.resizing import enlarge

    values = np.random.default_rng(0).normal(0, 1, (2, *shape, 3)).astype(np.float32)
    size = (shape[1] * factor, shape[0] * factor)
    expected = np.stack([cv2.resize(each, size, interpolation=cv2.INTER_LINEAR) for each in values])
    np.testing.assert_allclose(to_numpy(enlarge(ops.convert_to_tensor(values), factor)), expected, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 8])
def test_nothing_is_foreground_where_the_test_drops_cells(stride: int) -> None:
    """A crop of 64² that shows 37×21 pixels of a picture at its right: heads at the border reach no cell beyond."""
    from keras import ops

    points = np.array([[[27.5, 20.5, 4.0, 1.0], [60.0, 3.0, 4.0, 1.0]]], np.float32)
    frame = np.array([27, 0, 64, 21], np.float32).reshape(1, 1, 1, 4)
    batch = Batch(ops.zeros((1, 64, 64, 3)), ops.convert_to_tensor(points), {"frame": ops.convert_to_tensor(frame)})
    seen = np.zeros((64 // stride, 64 // stride))
    seen[: -(-21 // stride), 27 // stride :] = 1
    for mask in (head_blocks(batch, 15, stride), crowd_mask(batch, stride)):
        found = to_numpy(mask)[0, :, :, 0]
        assert found.any() and not found[seen == 0].any()
    ones = ops.ones((1, 64 // stride, 64 // stride, 1))
    np.testing.assert_array_equal(to_numpy(inside_region(ones, batch, stride))[0, :, :, 0], seen)


def test_shares_of_a_region_in_a_crop_that_reaches_beyond_its_picture() -> None:
    """The region is the left 20 of 32 columns; the picture ends after 9 rows, within the second row of cells."""
    from keras import ops

    def shares(**maps: Any) -> np.ndarray:
        image, points = np.zeros((1, 32, 32, 3), "f4"), np.zeros((1, 1, 4), "f4")
        given = {name: ops.convert_to_tensor(np.asarray(values, "f4")) for name, values in maps.items()}
        batch = Batch(ops.convert_to_tensor(image), ops.convert_to_tensor(points), given)
        return to_numpy(shares_inside(batch, 8))[0, :, :, 0]

    region = np.zeros((1, 32, 32, 1))
    region[:, :, :20] = 1
    frame = np.array([0, 0, 32, 9]).reshape(1, 1, 1, 4)
    np.testing.assert_allclose(shares(region=region), np.outer([1, 1, 1, 1], [1, 1, 0.5, 0]))
    np.testing.assert_allclose(shares(region=region, frame=frame), np.outer([1, 1, 0, 0], [1, 1, 0.5, 0]))
