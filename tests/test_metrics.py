from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import metrics

TRUE, PREDICTED = np.array([10.0, 0.0, 4.0]), np.array([13.0, 1.0, 0.0])


def test_by_hand() -> None:
    assert metrics.mae(TRUE, PREDICTED) == pytest.approx(8 / 3)
    assert metrics.mse_root(TRUE, PREDICTED) == pytest.approx(math.sqrt((9 + 1 + 16) / 3))
    assert metrics.nae(TRUE, PREDICTED) == pytest.approx((0.3 + 1.0) / 2)


def test_nae_of_empty_pictures_is_not_a_number() -> None:
    assert math.isnan(metrics.nae(np.zeros(2), np.ones(2)))


def game_by_loops(level: int, true: np.ndarray, predicted: np.ndarray) -> float:
    cells, side = 2**level, 8 // 2**level
    total = 0.0
    for image in range(len(true)):
        for row in range(cells):
            for column in range(cells):
                rows, columns = slice(row * side, (row + 1) * side), slice(column * side, (column + 1) * side)
                total += abs(true[image, rows, columns].sum() - predicted[image, rows, columns].sum())
    return total / len(true)


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_game_equals_loops(level: int) -> None:
    generator = np.random.default_rng(level)
    true, predicted = generator.uniform(0, 5, (2, 6, 8, 8))
    assert metrics.game(level, true, predicted) == pytest.approx(game_by_loops(level, true, predicted))


def test_game_sees_heads_in_the_wrong_place() -> None:
    true, predicted = np.zeros((1, 8, 8)), np.zeros((1, 8, 8))
    true[0, 0, 0], predicted[0, 7, 7] = 5, 5
    assert [metrics.game(level, true, predicted) for level in range(4)] == [0, 10, 10, 10]


def test_game_refuses_other_levels() -> None:
    with pytest.raises(ValueError, match="0 to 3, found 4"):
        metrics.game(4, np.zeros((1, 8, 8)), np.zeros((1, 8, 8)))


def test_points_fall_into_their_cell_and_strays_into_the_nearest() -> None:
    points = np.array([[0.0, 0.0], [79.9, 39.9], [80.5, -3.0], [15.0, 20.0]])
    expected = np.zeros((8, 8))
    expected[0, 0] += 1
    expected[7, 7] += 1
    expected[0, 7] += 1
    expected[4, 1] += 1
    np.testing.assert_array_equal(metrics.point_grid(points, 40, 80), expected)


@given(height=st.integers(1, 60), width=st.integers(1, 60), stride=st.sampled_from([1, 2, 4, 8]))
def test_the_grid_of_a_density_keeps_its_mass(height: int, width: int, stride: int) -> None:
    density = np.random.default_rng(0).uniform(0, 1, (-(-height // stride), -(-width // stride)))
    grid = metrics.density_grid(density, height, width, stride)
    assert grid.shape == (8, 8)
    assert grid.sum() == pytest.approx(density.sum())
    assert (grid >= 0).all()


def test_the_grid_of_an_even_density_is_block_sums() -> None:
    density = np.random.default_rng(0).uniform(0, 1, (16, 32))
    expected = density.reshape(8, 2, 8, 4).sum(axis=(1, 3))
    np.testing.assert_allclose(metrics.density_grid(density, 64, 128, 4), expected)


def test_bootstrap_interval_covers_the_normal_one() -> None:
    generator = np.random.default_rng(3)
    true = generator.uniform(0, 100, 400)
    predicted = true + generator.normal(0, 10, 400)
    low, high = metrics.bootstrap_interval([(true, predicted)], metrics.MAE)
    errors = np.abs(predicted - true)
    half = 1.96 * errors.std(ddof=1) / math.sqrt(len(errors))
    assert low == pytest.approx(errors.mean() - half, abs=0.15 * half)
    assert high == pytest.approx(errors.mean() + half, abs=0.15 * half)


def test_bootstrap_is_deterministic_and_averages_groups() -> None:
    groups = [(np.zeros(10), np.full(10, 2.0)), (np.zeros(10), np.full(10, 4.0))]
    assert metrics.grouped_mean(groups, metrics.MAE) == 3.0
    assert metrics.bootstrap_interval(groups, metrics.MAE) == pytest.approx((3.0, 3.0))


def test_errors_by_group_of_images() -> None:
    from harness.training.evaluation import ImageResult, by_group

    grid = np.zeros((8, 8))
    results = [
        ImageResult("a", 10, 12, grid, grid, 0.1, {"scene": "S1", "frame": "7"}),
        ImageResult("b", 300, 304, grid, grid, 0.1, {"scene": "S2"}),
        ImageResult("c", 701, 691, grid, grid, 0.1, {"scene": "S1"}),
    ]
    found = by_group(results)
    assert set(found) == {"count", "scene"}
    assert found["scene"]["S1"] == {"images": 2, "mae": 6.0, "rmse": pytest.approx(math.sqrt(52))}
    assert {name: one["images"] for name, one in found["count"].items()} == {"low": 2, "high": 1}
