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


def width(interval: tuple[float, float]) -> float:
    return interval[1] - interval[0]


@pytest.mark.parametrize("metric", [metrics.MAE, metrics.RMSE])
def test_copies_of_a_run_leave_its_interval_exactly_as_it_is(metric: metrics.ImageMean) -> None:
    generator = np.random.default_rng(11)
    folds = [generator.uniform(0, 100, (2, 37)) for _ in range(5)]
    one = [(true, predicted) for true, predicted in folds]
    for copies in (2, 5, 7):
        several = [(np.tile(true, (copies, 1)), np.tile(predicted, (copies, 1))) for true, predicted in folds]
        assert metrics.bootstrap_interval(several, metric) == metrics.bootstrap_interval(one, metric)
        assert metrics.grouped_mean(several, metric) == metrics.grouped_mean(one, metric)


@pytest.mark.parametrize("metric", [metrics.MAE, metrics.RMSE])
def test_seeds_narrow_an_interval_down_to_that_of_the_images_and_no_further(metric: metrics.ImageMean) -> None:
    """An error is the image's own, and noise of the seed: only the noise is averaged away."""
    generator = np.random.default_rng(12)
    true, own = np.full(150, 500.0), generator.normal(60, 20, 150)
    predicted = true + own + generator.normal(0, 20, (400, 150))

    def interval(seeds: int) -> float:
        return width(metrics.bootstrap_interval([(np.tile(true, (seeds, 1)), predicted[:seeds])], metric))

    of_image = metric.of(true, predicted).mean(axis=0)
    draws = [of_image[generator.integers(0, 150, 150)].mean() for _ in range(4000)]
    of_images = width(tuple(np.percentile(draws if metric.finish is None else metric.finish(draws), [2.5, 97.5])))
    one, two, many = interval(1), interval(2), interval(400)
    assert many < two < one
    assert many == pytest.approx(of_images, rel=0.07)


def test_every_draw_of_images_is_one_for_all_seeds_against_a_plain_loop() -> None:
    """Folds are drawn apart; the RMSE is each seed's own, then averaged."""
    generator = np.random.default_rng(13)
    folds = [(generator.uniform(0, 100, (3, 40)), generator.uniform(0, 100, (3, 40))) for _ in range(2)]
    draws = []
    for _ in range(4000):
        scores = []
        for true, predicted in folds:
            rows = generator.integers(0, 40, 40)
            scores += [np.sqrt(np.mean((t[rows] - p[rows]) ** 2)) for t, p in zip(true, predicted, strict=True)]
        draws.append(np.mean(scores))
    found = metrics.bootstrap_interval(folds, metrics.RMSE)
    assert found == pytest.approx(np.percentile(draws, [2.5, 97.5]), rel=0.01)
    assert width(found) == pytest.approx(width(tuple(np.percentile(draws, [2.5, 97.5]))), rel=0.1)


def test_folds_are_resampled_apart_however_many_there_are() -> None:
    """The sum of so many independent parts is as narrow as one large part; with shared draws it would not be."""
    values = np.sort(np.random.default_rng(14).uniform(0, 100, 30))
    parts = [(np.zeros(30), values)] * 16
    one = width(metrics.bootstrap_interval(parts[:1], metrics.MAE))
    assert width(metrics.bootstrap_interval(parts, metrics.MAE)) == pytest.approx(one / 4, rel=0.15)


@pytest.mark.parametrize(("metric", "true_value"), [(metrics.MAE, 20 * math.sqrt(2 / math.pi)), (metrics.RMSE, 20.0)])
@pytest.mark.parametrize("folds", [1, 4])
def test_intervals_cover_the_truth_as_often_as_they_say(
    metric: metrics.ImageMean, true_value: float, folds: int
) -> None:
    """Images of a known population, five seeds that differ little: 95 % intervals, up to the noise of 400 trials."""
    generator = np.random.default_rng(15)
    images, seeds = 200 // folds, 5
    held = 0
    for _ in range(400):
        groups = []
        for _ in range(folds):
            own = generator.normal(0, 20 * math.sqrt(0.99), images)
            errors = own + generator.normal(0, 20 * math.sqrt(0.01), (seeds, images))
            groups.append((np.zeros((seeds, images)), errors))
        low, high = metrics.bootstrap_interval(groups, metric)
        held += low <= true_value <= high
    assert 0.90 <= held / 400 <= 0.98


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_a_metric_says_which_way_is_better(better: str) -> None:
    assert metrics.Metric("m", "M", lambda true, predicted: 0.0).better == "lower"
    assert metrics.Metric("m", "M", lambda true, predicted: 0.0, better).better == better  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="better: expected 'lower' or 'higher', found 'more'"):
        metrics.Metric("m", "M", lambda true, predicted: 0.0, "more")  # type: ignore[arg-type]


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


@pytest.mark.parametrize(("height", "width", "stride"), [(53, 94, 1), (53, 94, 8), (70, 93, 4)])
def test_a_grid_of_sides_that_are_no_multiple_of_eight_shares_cells_by_area(
    height: int, width: int, stride: int
) -> None:
    """Cells cut into eighths of pixels, and summed between the exact eighths of the picture."""
    density = np.random.default_rng(0).uniform(size=(-(-height // stride), -(-width // stride)))
    fine = np.kron(density, np.ones((8 * stride, 8 * stride))) / (8 * stride) ** 2
    for axis, length in enumerate((height, width)):
        fine = np.add.reduceat(fine, length * np.arange(8), axis=axis)
    np.testing.assert_allclose(metrics.density_grid(density, height, width, stride), fine)


def test_every_run_weighs_the_same_however_many_a_fold_has() -> None:
    groups = [(np.zeros(3), np.full((1, 3), 2.0)), (np.zeros((3, 4)), np.full((3, 4), 6.0))]
    assert metrics.grouped_mean(groups, metrics.MAE) == (2 + 3 * 6) / 4
    assert metrics.bootstrap_interval(groups, metrics.MAE) == pytest.approx((5, 5))
