"""Density maps against SciPy's normal distribution, and the laws they must keep."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from compiled import computed
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

pytestmark = pytest.mark.backend
# JAX compiles for each number of heads.
EXAMPLES = 15 if keras.backend.backend() == "jax" else 60


def rendered(*args: object, **kwargs: object) -> np.ndarray:
    from harness.nn.density import render

    return computed(render, *args, **kwargs)


def oracle(points: np.ndarray, sigma: np.ndarray, height: int, width: int, stride: int) -> np.ndarray:
    """One head at a time, each Gaussian integrated over cells in float64 and renormalised over the frame."""
    total = np.zeros((height // stride, width // stride))
    for (x, y), s in zip(points, sigma, strict=True):
        if not (0 <= x < width and 0 <= y < height):
            continue
        across = np.diff(norm.cdf(np.arange(0, width + 1, stride), x, s))
        down = np.diff(norm.cdf(np.arange(0, height + 1, stride), y, s))
        total += np.outer(down / down.sum(), across / across.sum())
    return total


@pytest.mark.parametrize("stride", [1, 2, 8])
def test_equals_the_integral_of_each_gaussian(stride: int) -> None:
    generator = np.random.default_rng(1)
    points = generator.uniform(-5, [69, 45], (40, 2))
    sigma = generator.uniform(0.5, 12, 40)
    expected = oracle(points, sigma, 40, 64, stride)
    np.testing.assert_allclose(rendered(points, sigma, 40, 64, stride), expected, atol=2e-6)


def test_batches_and_padding_rows() -> None:
    points = np.array([[[3.0, 4.0], [20.0, 9.0]], [[7.0, 7.0], [0.0, 0.0]]])
    valid = np.array([[1, 1], [1, 0]])
    density = rendered(points, 2.0, 16, 24, valid=valid)
    assert density.shape == (2, 16, 24)
    np.testing.assert_allclose(density[0], oracle(points[0], np.full(2, 2.0), 16, 24, 1), atol=2e-6)
    np.testing.assert_allclose(density[1], oracle(points[1, :1], np.full(1, 2.0), 16, 24, 1), atol=2e-6)


def test_no_heads_is_zero_everywhere() -> None:
    assert not rendered(np.zeros((0, 2)), 4.0, 8, 8).any()


@settings(max_examples=EXAMPLES)
@given(
    heads=st.lists(
        st.tuples(
            st.floats(-20, 84, width=32, allow_subnormal=False),
            st.floats(-20, 60, width=32, allow_subnormal=False),
            st.floats(0.01, 200),
        ),
        max_size=30,
    ),
    stride=st.sampled_from([1, 2, 4, 8]),
)
def test_mass_is_the_number_of_points_in_the_frame(heads: list[tuple[float, float, float]], stride: int) -> None:
    rows = np.array(heads, np.float32).reshape(-1, 3)
    inside = (rows[:, 0] >= 0) & (rows[:, 0] < 64) & (rows[:, 1] >= 0) & (rows[:, 1] < 40)
    density = rendered(rows[:, :2], rows[:, 2], 40, 64, stride)
    assert np.isfinite(density).all()
    assert density.sum(dtype=float) == pytest.approx(inside.sum(), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("point", [(0.0, 0.0), (63.999, 39.999), (0.0, 39.5), (32.0, 20.0)])
def test_a_head_at_the_border_loses_nothing(point: tuple[float, float]) -> None:
    assert rendered(np.array([point]), 15.0, 40, 64).sum() == pytest.approx(1.0, rel=1e-4)


def test_a_frame_that_is_no_multiple_of_the_stride_is_refused() -> None:
    with pytest.raises(ValueError, match="multiples of stride 8, found 40 x 62"):
        rendered(np.zeros((1, 2)), 1.0, 40, 62, 8)


def test_points_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[P, 2\].*found \(3, 4\)"):
        rendered(np.zeros((3, 4)), 1.0, 8, 8)


def test_gradient_flows_into_sigma() -> None:
    """Differentiable: a finite difference in sigma moves mass from the centre outwards."""
    narrow = rendered(np.array([[8.0, 8.0]]), 1.0, 16, 16)
    wide = rendered(np.array([[8.0, 8.0]]), 1.5, 16, 16)
    assert wide[8, 8] < narrow[8, 8]
    assert wide[2, 2] > narrow[2, 2]


@settings(max_examples=EXAMPLES)
@given(seed=st.integers(0, 2**32 - 1), stride=st.sampled_from([1, 2, 4, 8]), share=st.floats(0.02, 0.98))
def test_in_any_region_every_head_counts_one(seed: int, stride: int, share: float) -> None:
    """What a perfect network is counted: its map times the share of each cell inside."""
    generator = np.random.default_rng(seed)
    region = generator.uniform(size=(40, 64)) < share
    region[20, 30] = True
    rows, columns = np.nonzero(region)
    chosen = generator.integers(0, len(rows), 12)
    points = np.column_stack([columns[chosen], rows[chosen]]) + generator.uniform(0.01, 0.99, (12, 2))
    density = rendered(points, generator.uniform(0.5, 30, 12), 40, 64, stride, region=region)
    shares = region.reshape(40 // stride, stride, 64 // stride, stride).mean(axis=(1, 3))
    assert (density[shares == 0] == 0).all() and (density >= 0).all()
    assert (density * shares).sum(dtype=float) == pytest.approx(12, rel=1e-4)


def test_a_region_renormalises_each_kernel_as_the_frame_does() -> None:
    """At stride 1, each Gaussian cut at the region and divided by what is left of it; a batch has a region an image."""
    generator = np.random.default_rng(2)
    regions = np.zeros((2, 24, 32), bool)
    regions[0, 5:, 8:], regions[1, :, :9] = True, True
    points = np.stack([generator.uniform([8, 5], [32, 24], (7, 2)), generator.uniform([0, 0], [9, 24], (7, 2))])
    found = rendered(points, 4.0, 24, 32, region=regions)
    for density, region, heads in zip(found, regions, points, strict=True):
        expected = np.zeros((24, 32))
        for head in heads:
            kernel = oracle(head[None], np.array([4.0]), 24, 32, 1) * region
            expected += kernel / kernel.sum()
        np.testing.assert_allclose(density, expected, atol=2e-6)


@pytest.mark.parametrize("stride", [1, 4, 8])
def test_a_smaller_frame_renormalises_each_kernel_over_the_cells_that_reach_into_it(stride: int) -> None:
    """One frame at the left and top, one, of a mirrored crop, at the right; rows that are no head are far from it."""
    frames = np.array([[0, 0, 37, 21], [64 - 37, 0, 64, 21]], np.float32)
    generator = np.random.default_rng(3)
    points = generator.uniform(0, [37, 21], (2, 6, 2))
    points[1, :, 0] += 64 - 37
    points[0, 0], points[1, 1] = [36.99, 20.99], [27.0, 20.5]
    valid = np.ones((2, 6))
    points[:, 5], valid[:, 5] = 0.0, 0.0
    found = rendered(points, 5.0, 40, 64, stride, valid=valid, frame=frames)
    for density, (left, _, right, bottom), heads in zip(found, frames, points, strict=True):
        begin, end = int(left // stride), int(-(-right // stride))
        rows = int(-(-bottom // stride))
        expected = np.zeros_like(density)
        for x, y in heads[:5]:
            across = np.diff(norm.cdf(np.arange(begin, end + 1) * stride, x, 5.0))
            down = np.diff(norm.cdf(np.arange(rows + 1) * stride, y, 5.0))
            expected[:rows, begin:end] += np.outer(down / down.sum(), across / across.sum())
        np.testing.assert_allclose(density, expected, atol=2e-6)


def test_a_region_of_the_whole_frame_changes_nothing() -> None:
    points = np.random.default_rng(3).uniform(0, [64, 40], (9, 2))
    whole = rendered(points, 6.0, 40, 64, 8, region=np.ones((40, 64)))
    np.testing.assert_allclose(whole, rendered(points, 6.0, 40, 64, 8), rtol=1e-5)
