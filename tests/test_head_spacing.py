from __future__ import annotations

import numpy as np
import pytest

from harness.head_spacing import Sigma, mean_neighbour_distance


def brute_force(points: np.ndarray, k: int) -> np.ndarray:
    distance = np.sqrt(((points[:, None] - points[None]) ** 2).sum(-1))
    np.fill_diagonal(distance, np.inf)
    return np.sort(distance, axis=1)[:, : min(k, len(points) - 1)].mean(axis=1)


@pytest.mark.parametrize("count", [2, 3, 4, 50])
def test_equals_all_pairs(count: int) -> None:
    points = np.random.default_rng(count).uniform(0, 500, (count, 2))
    np.testing.assert_allclose(mean_neighbour_distance(points, 3), brute_force(points, 3))


def test_repeated_points_are_neighbours_at_distance_zero() -> None:
    points = np.array([[1.0, 1.0], [1.0, 1.0], [4.0, 5.0]])
    np.testing.assert_allclose(mean_neighbour_distance(points, 1), brute_force(points, 1))


def test_geometry_adaptive_sigma_by_hand() -> None:
    points = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 20.0], [30.0, 0.0]])
    sigma = Sigma(neighbours=3, beta=0.3).of(points)
    assert sigma[0] == pytest.approx(0.3 * (10 + 20 + 30) / 3)
    assert sigma.dtype == np.float32


def test_bounds_and_lonely_heads() -> None:
    rule = Sigma(pixels=7.0, neighbours=3, smallest=0.5, largest=64.0)
    assert rule.of(np.zeros((0, 2))).shape == (0,)
    assert rule.of(np.array([[3.0, 3.0]])).tolist() == [7.0]
    assert rule.of(np.array([[3.0, 3.0], [3.0, 3.0]])).tolist() == [0.5, 0.5]
    assert rule.of(np.array([[0.0, 0.0], [9000.0, 0.0]])).tolist() == [64.0, 64.0]


def test_fixed_sigma() -> None:
    assert Sigma(pixels=4.0).of(np.zeros((3, 2))).tolist() == [4.0, 4.0, 4.0]
