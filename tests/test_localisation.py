"""Points from maps, their matches with heads, and precision, recall and F1, against loops, brute force and cases by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import localisation

SMALL = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=5)


def most_pairs(close: np.ndarray) -> int:
    """The size of the largest matching of a bool matrix, by trying every one."""
    if close.shape[0] > close.shape[1]:
        close = close.T
    rows = range(close.shape[0])
    ways = itertools.permutations(range(close.shape[1]), close.shape[0])
    return max(sum(close[row, column] for row, column in zip(rows, way, strict=True)) for way in ways)


@settings(max_examples=60)
@given(predicted=SMALL, true=SMALL, tolerance=st.lists(st.integers(0, 6), min_size=5, max_size=5))
def test_matches_equal_brute_force(
    predicted: list[tuple[int, int]], true: list[tuple[int, int]], tolerance: list[int]
) -> None:
    places, heads = np.array(predicted, float).reshape(-1, 2), np.array(true, float).reshape(-1, 2)
    farthest = np.array(tolerance[: len(heads)], float)
    close = np.linalg.norm(places[:, None] - heads[None], axis=-1) <= farthest
    assert localisation.matches(places, heads, farthest) == (most_pairs(close) if close.size else 0)


def test_a_point_is_one_heads_alone_and_the_distance_itself_is_near_enough() -> None:
    heads = np.array([[10.0, 10.0], [13.0, 10.0]])
    assert localisation.matches(np.array([[11.0, 10.0]]), heads, 4.0) == 1  # near both
    assert localisation.matches(np.array([[13.0, 14.0], [10.0, 10.0]]), heads, 4.0) == 2
    assert localisation.matches(np.array([[13.0, 14.001]]), heads, 4.0) == 0
    # The first point is nearest to the second head, but each finds one: as many pairs as can be, not the nearest first.
    assert localisation.matches(np.array([[12.5, 10.0], [16.5, 10.0]]), heads, 4.0) == 2


def test_thousands_of_heads_are_matched_sparsely() -> None:
    generator = np.random.default_rng(0)
    heads = 20.0 * np.stack(np.meshgrid(np.arange(100), np.arange(60)), axis=-1).reshape(-1, 2)
    angle = generator.uniform(0, 2 * np.pi, len(heads))
    points = heads + generator.uniform(0, 9, (len(heads), 1)) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    moved = np.linalg.norm(points - heads, axis=1)  # under half the spacing: only its own head is within 8 pixels
    found = localisation.matched(generator.permutation(points), heads)
    assert found == {"4": (moved <= 4).sum(), "8": (moved <= 8).sum()}


def test_a_heads_box_says_how_near_a_point_must_be() -> None:
    """NWPU-Crowd: sqrt(w² + h²) / 2, and min(w, h) / 2."""
    heads, boxes = np.array([[100.0, 100.0], [200.0, 100.0]]), np.array([[30.0, 40.0], [6.0, 8.0]])
    assert {name: np.broadcast_to(value, 2).tolist() for name, value in localisation.tolerances(boxes).items()} == {
        "4": [4, 4],
        "8": [8, 8],
        "box small": [15, 3],
        "box large": [25, 5],
    }
    points = np.array([[100.0, 120.0], [204.5, 100.0]])
    assert localisation.matched(points, heads, boxes) == {"4": 0, "8": 1, "box small": 0, "box large": 2}


def test_precision_recall_and_f1_by_hand() -> None:
    assert localisation.scores(6, 8, 12) == pytest.approx((0.75, 0.5, 0.6))
    assert localisation.scores(0, 8, 12) == (0, 0, 0)
    precision, recall, f1 = localisation.scores(0, 0, 3)
    assert math.isnan(precision) and recall == 0 and f1 == 0
    assert all(map(math.isnan, localisation.scores(0, 0, 0)))


def test_numbers_are_summed_over_images_before_they_are_divided() -> None:
    images = [(10.0, 5, {"4": 5, "8": 5}), (90.0, 15, {"4": 0, "8": 10})]
    assert localisation.summary(images) == {
        "4": pytest.approx((5 / 20, 5 / 100, 10 / 120)),
        "8": pytest.approx((15 / 20, 15 / 100, 30 / 120)),
    }
    assert localisation.summary([]) == {}
    true = [np.array([[5.0, 5.0], [50.0, 50.0]]), np.zeros((0, 2))]
    points = [np.array([[6.0, 5.0, 0.9]]), np.array([[1.0, 1.0, 0.6]])]
    assert [metric.of(true, points) for metric in localisation.METRICS] == pytest.approx([2 / 4, 2 / 4])


def test_accepted_candidates_lie_in_their_cells_pixels() -> None:
    candidates = np.zeros((2, 3, 6), np.float32)  # K = 2
    candidates[0, 0] = [1, 2, 0.5, 3, 4, 0.49]
    candidates[1, 2] = [-1, 9.5, 0.9, 0, 0, 1]
    np.testing.assert_allclose(
        localisation.accepted(candidates, 8), [[1, 2, 0.5], [15, 17.5, 0.9], [16, 8, 1]], rtol=1e-6
    )
    assert localisation.accepted(np.zeros((2, 3, 6), np.float32), 8).shape == (0, 3)


def peaks_by_loops(density: np.ndarray, stride: int) -> set[tuple[float, float]]:
    found = []
    for row, column in np.ndindex(density.shape):
        around = density[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
        if density[row, column] > 0 and density[row, column] == around.max():
            found.append((density[row, column], ((column + 0.5) * stride, (row + 0.5) * stride)))
    return {place for _, place in sorted(found, reverse=True)[: round(float(density.sum()))]}


@pytest.mark.parametrize("count", [0.4, 3, 12, 500])
def test_peaks_are_as_many_of_the_highest_local_maxima_as_there_are_heads(count: float) -> None:
    density = np.random.default_rng(1).uniform(0, 1, (19, 23))
    density = (density * count / density.sum()).astype(np.float32)
    found = localisation.peaks(density, 4)
    assert {(x, y) for x, y, _ in found} == peaks_by_loops(density, 4)
    assert (np.diff(found[:, 2]) <= 0).all() and ((found[:, 2] > 0) & (found[:, 2] <= 1)).all()


def test_a_peak_that_a_region_cuts_is_in_its_part_inside() -> None:
    """The cell's centre is outside, its heads are inside: before, such a head was counted and was no point."""
    density = np.zeros((6, 6), np.float32)
    density[1, 4], density[3, 1] = 1.0, 1.0
    region = np.zeros((48, 48), bool)
    region[:, :35] = True
    found = localisation.peaks(density, 8, (48, 48), region)
    np.testing.assert_allclose(found, [(33.5, 12.0, 1.0), (12.0, 28.0, 1.0)])
    np.testing.assert_allclose(localisation.peaks(density, 8, (48, 48)), [(36.0, 12.0, 1.0), (12.0, 28.0, 1.0)])


def test_a_lone_head_is_where_it_is_and_nothing_is_nowhere() -> None:
    density = np.zeros((6, 8), np.float32)
    density[0, 7], density[0, 6], density[1, 7] = 0.6, 0.2, 0.2
    np.testing.assert_allclose(localisation.peaks(density, 8), [[60, 4, 0.6]])
    np.testing.assert_allclose(localisation.peaks(density, 8, (48, 61)), [[58.5, 4, 0.6]])  # 5 columns are inside
    for nothing in (np.zeros((6, 8)), -density, np.full((6, 8), np.nan)):
        assert localisation.peaks(nothing.astype(np.float32), 8).shape == (0, 3)
