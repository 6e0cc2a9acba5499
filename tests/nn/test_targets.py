"""Targets rendered from points, and pooling to a grid, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from harness.nn.targets import count_classes, crowd_mask, distilled_depth

pytestmark = pytest.mark.backend


def to_numpy(value: object) -> np.ndarray:
    from keras import ops

    return ops.convert_to_numpy(value)


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


@pytest.mark.parametrize("stride", [1, 8])
def test_the_crowd_is_where_density_is(stride: int) -> None:
    from keras import ops

    density = np.random.default_rng(0).exponential(1e-3, (1, 6, 7, 1)).astype(np.float32) * stride**2
    expected = np.vectorize(lambda value: 1.0 if value / stride**2 >= 0.001 else 0.0)(density)
    np.testing.assert_array_equal(to_numpy(crowd_mask(ops.convert_to_tensor(density), stride)), expected)


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
