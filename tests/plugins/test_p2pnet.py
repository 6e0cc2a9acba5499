"""P2PNet: its candidates, their matching and its losses against NumPy, SciPy and every permutation; its network and recipe."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from compiled import tensor, to_numpy
from crowd_harness_p2pnet import METHOD, VARIANTS, losses
from gradients import value_and_gradient
from scipy.optimize import linear_sum_assignment

from harness.method import ModelOptions
from harness.nn.batch import REGION, Batch
from harness.recipe import COMMON

on_every_backend = pytest.mark.backend  # not for whole networks, whose layers JAX compiles one by one
SIZE, STRIDE, K = (24, 32), 8, 4
CELLS = (SIZE[0] // STRIDE, SIZE[1] // STRIDE)


def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Points and logits side by side, [3, 3, 4, 12 + 8], and heads [3, 64, 4]: five, none, more than candidates."""
    generator = np.random.default_rng(0)
    outputs = generator.normal(0, 2, (3, *CELLS, 5 * K)).astype(np.float32)
    outputs[..., : 3 * K] += 4  # in the middle of the cell; the scores among them are not what losses read
    heads = np.zeros((3, 64, 4), np.float32)
    heads[..., :2] = generator.uniform(0, SIZE[::-1], (3, 64, 2))
    heads[0, [0, 3, 10, 11, 63], 3] = heads[2, :60, 3] = 1
    return outputs, heads


def loss(outputs: Any, heads: np.ndarray, maps: dict[str, np.ndarray] | None = None) -> dict[str, Any]:
    """The method's terms, of outputs as `drawn` gives them."""
    batch = Batch(
        tensor(np.zeros((3, *SIZE, 3), np.float32)), tensor(heads), {k: tensor(v) for k, v in (maps or {}).items()}
    )
    named = {"points": outputs[..., : 3 * K], "logits": outputs[..., 3 * K :], "density": outputs[..., :1]}
    return METHOD.loss(batch, named, ModelOptions())


def by_hand(outputs: np.ndarray, heads: np.ndarray, shares: np.ndarray) -> tuple[float, float, np.ndarray]:
    """Both terms and the gradient of their sum, candidate by candidate in float64; `shares` [3, 3, 4] of the region."""
    matches: dict[tuple, np.ndarray] = {}
    for crop in range(3):
        rows = [(y, x, k) for y in range(CELLS[0]) for x in range(CELLS[1]) for k in range(K) if shares[crop, y, x]]
        truth = heads[crop, heads[crop, :, 3] > 0, :2].astype(float)
        cost = np.zeros((len(rows), len(truth)))
        for number, (y, x, k) in enumerate(rows):
            place = outputs[crop, y, x, 3 * k : 3 * k + 2] + np.array([8 * x, 8 * y], float)
            nobody, head = outputs[crop, y, x, 3 * K + 2 * k : 3 * K + 2 * k + 2].astype(float)
            cost[number] = 0.05 * np.hypot(*(truth - place).T) - math.exp(head) / (math.exp(head) + math.exp(nobody))
        matches |= {(crop, *rows[one]): truth[other] for one, other in zip(*linear_sum_assignment(cost), strict=True)}
    total, entropy, squares, gradient = 0.0, 0.0, 0.0, np.zeros(outputs.shape)
    people = heads[..., 3].sum()
    for crop, y, x, k in np.ndindex(3, *CELLS, K):
        weight = shares[crop, y, x] * (1.0 if (crop, y, x, k) in matches else 0.5)
        label = int((crop, y, x, k) in matches)
        at = slice(3 * K + 2 * k, 3 * K + 2 * k + 2)
        scores = np.exp(outputs[crop, y, x, at].astype(float))
        scores /= scores.sum()
        total += weight
        entropy -= weight * math.log(scores[label])
        gradient[crop, y, x, at] = weight * (scores - np.eye(2)[label])
        if label:
            place = outputs[crop, y, x, 3 * k : 3 * k + 2] + np.array([8 * x, 8 * y], float)
            apart = place - matches[crop, y, x, k]
            squares += (apart**2).sum()
            gradient[crop, y, x, 3 * k : 3 * k + 2] = 2e-4 * 2 * apart / people
    gradient[..., 3 * K :] /= total
    return entropy / total, 2e-4 * squares / people, gradient


@on_every_backend
@pytest.mark.parametrize("region", [False, True], ids=["everywhere", "in a region of interest"])
def test_both_terms_and_their_gradient(region: bool) -> None:
    """Cross-entropy, half as much for candidates that are nobody's, and 2e-4 · squared distance a head, over three crops."""
    outputs, heads = drawn()
    shares, maps = np.ones((3, *CELLS)), {}
    if region:  # half of the third column of cells, and nothing of the fourth
        inside = np.ones((3, *SIZE, 1), np.float32)
        inside[:, :, 20:] = 0
        shares[:, :, 2], shares[:, :, 3], maps = 0.5, 0, {REGION: inside}
        heads[..., 3] *= heads[..., 0] < 20
        heads[2, 30:, 3] = 0  # not more than there are candidates inside
    classes, points, gradient = by_hand(outputs, heads, shares)
    found = loss(tensor(outputs), heads, maps)
    assert float(found["classes"]) == pytest.approx(classes, rel=1e-5)
    assert float(found["points"]) == pytest.approx(points, rel=1e-5)
    value, slope = value_and_gradient(lambda x: sum(loss(x, heads, maps).values()), outputs)
    assert value == pytest.approx(classes + points, rel=1e-5)
    np.testing.assert_allclose(slope, gradient, rtol=1e-3, atol=1e-5 * np.abs(gradient).max())


def test_the_matching_is_the_cheapest_of_all() -> None:
    """Five candidates and three heads among padding: no permutation costs less."""
    generator = np.random.default_rng(1)
    for _ in range(20):
        places, scores = generator.uniform(0, 40, (1, 5, 2)), generator.uniform(0, 1, (1, 5))
        heads = np.zeros((1, 8, 4))
        valid = np.sort(generator.permutation(8)[:3])
        heads[0, :, :2], heads[0, valid, 3] = generator.uniform(0, 40, (8, 2)), 1

        def cost(candidates: tuple[int, ...], places: Any = places, scores: Any = scores, truth: Any = heads[0, valid]):
            return sum(
                0.05 * math.dist(places[0, one], head[:2]) - scores[0, one]
                for one, head in zip(candidates, truth, strict=True)
            )

        best = min(itertools.permutations(range(5), 3), key=cost)
        expected = np.full(5, -1)
        expected[list(best)] = valid
        np.testing.assert_array_equal(losses.assignment(places, scores, heads), expected[None])


def test_more_heads_than_candidates_and_what_is_not_a_number() -> None:
    """Each candidate has the head on it, and two heads have none; where a place is not a number nothing is matched."""
    places = np.array([[[0, 0], [10, 0]], [[0, 0], [np.nan, 0]]])
    heads = np.tile(np.array([[[10, 1, 4, 1], [50, 50, 4, 1], [0, 1, 4, 1], [60, 60, 4, 1]]], float), (2, 1, 1))
    np.testing.assert_array_equal(losses.assignment(places, np.zeros((2, 2)), heads), [[2, 0], [-1, -1]])


@on_every_backend
@pytest.mark.parametrize(
    ("rows", "columns", "expected"),
    [
        (1, 1, [[4, 4]]),
        (2, 2, [[2, 2], [6, 2], [2, 6], [6, 6]]),
        (4, 2, [[2, 1], [6, 1], [2, 3], [6, 3], [2, 5], [6, 5], [2, 7], [6, 7]]),
    ],
)
def test_candidates_lie_a_hundred_offsets_from_their_reference_points(rows: int, columns: int, expected: list) -> None:
    from crowd_harness_p2pnet.model import Candidates, Counted

    generator = np.random.default_rng(2)
    each = rows * columns
    logits = generator.normal(0, 1, (2, 3, 5, 2 * each)).astype(np.float32)
    offsets = generator.normal(0, 0.05, (2, 3, 5, 2 * each)).astype(np.float32)
    found = to_numpy(Candidates(rows, columns)([tensor(logits), tensor(offsets)]))
    still = to_numpy(Candidates(rows, columns)([tensor(logits)]))
    assert found.shape == still.shape == (2, 3, 5, 3 * each)
    for k, place in enumerate(expected):
        exponentials = np.exp(logits[..., 2 * k : 2 * k + 2])
        score = exponentials[..., 1] / exponentials.sum(-1)
        np.testing.assert_allclose(found[..., 3 * k : 3 * k + 2], place + 100 * offsets[..., 2 * k : 2 * k + 2], 1e-5)
        np.testing.assert_array_equal(still[..., 3 * k : 3 * k + 2], np.broadcast_to(place, (2, 3, 5, 2)))
        np.testing.assert_allclose(found[..., 3 * k + 2], score, rtol=1e-5)
    counted = (logits[..., 1::2] >= logits[..., ::2]).sum(-1, keepdims=True)
    np.testing.assert_array_equal(to_numpy(Counted()(tensor(found))), counted)


@on_every_backend
def test_places_are_of_the_crop() -> None:
    points = np.random.default_rng(3).uniform(0, 8, (2, *CELLS, 3 * K)).astype(np.float32)
    expected = [
        [points[b, y, x, 3 * k] + 8 * x, points[b, y, x, 3 * k + 1] + 8 * y] for b, y, x, k in np.ndindex(2, *CELLS, K)
    ]
    found = to_numpy(losses.places(tensor(points), STRIDE))
    np.testing.assert_allclose(found, np.reshape(expected, (2, -1, 2)), rtol=1e-6)


@pytest.fixture(scope="module")
def network() -> Any:
    import keras

    keras.utils.set_random_seed(0)
    return METHOD.build(ModelOptions(density_scale=COMMON.density_scale))


def test_its_parameters_are_those_that_the_official_network_uses(network: Any) -> None:
    """VGG-16-BN's convolutions (14,714,688) and normalisations (8,448), two 1×1, one 3×3, and two branches of three 3×3.

    The official network has 21,579,344; 3,606,272 of them, in P3, the second of P5 and two more in each branch, are never used.
    """
    level, convolution = 512 * 256 + 256, 9 * 256 * 256 + 256
    branch = 2 * convolution + 9 * 256 * 8 + 8
    assert 14_714_688 + 8_448 + 2 * level + convolution + 2 * branch == 21_579_344 - 3_606_272 == 17_973_072
    assert sum(math.prod(weight.shape) for weight in network.trainable_weights) == 17_973_072


def test_the_density_counts_the_candidates_that_are_likely_heads(network: Any) -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 80, 3)).astype(np.float32)
    outputs = {name: to_numpy(value) for name, value in network(image).items()}
    assert outputs["points"].shape == (1, 8, 10, 12) and outputs["points"].dtype == np.float32
    likely = outputs["points"][..., 2::3] >= 0.5
    np.testing.assert_array_equal(outputs["density"][..., 0], likely.sum(-1))
    assert likely.any() and not likely.all()


@pytest.mark.parametrize(
    ("variant", "each", "terms"),
    [
        ("k1", 1, {"classes", "points"}),
        ("k8", 8, {"classes", "points"}),
        ("released", 4, {"classes", "points"}),
        ("no_regression", 4, {"classes"}),
    ],
)
def test_variants(variant: str, each: int, terms: set[str]) -> None:
    options = ModelOptions(variant=VARIANTS[variant].options)
    network = METHOD.build(options)
    points = np.ones((2, 8, 4), np.float32)
    points[..., :2] = np.random.default_rng(4).uniform(0, 32, (2, 8, 2))
    batch = Batch(tensor(np.zeros((2, 32, 32, 3), np.float32)), tensor(points))
    outputs = network(batch.image, training=True)
    assert outputs["points"].shape[-1] == 3 * each and outputs["logits"].shape[-1] == 2 * each
    found = METHOD.loss(batch, outputs, options)
    assert set(found) == terms and all(np.isfinite(to_numpy(term)) for term in found.values())
    assert ("points" in terms and float(found["points"]) > 0) == (variant in ("k1", "k8"))
    branches = {layer.name.split("_")[0] for layer in network.layers if layer.name.endswith("_output")}
    assert branches == {"classification"} | ({"regression"} if "points" in terms else set())


def test_the_recipe_is_the_official_codes() -> None:
    recipe = METHOD.recipe
    (stage,) = recipe.stages
    assert (recipe.epochs, recipe.images_per_step, recipe.crops_per_image, recipe.crop) == (3500, 8, 4, 128)
    assert (recipe.scales, recipe.flip, recipe.clip) == ((0.7, 1.3), 0.5, 0.1)
    assert (stage.optimizer, stage.learning_rate, stage.decay, stage.l2) == ("adam", 1e-4, "constant", 0.0)
    assert stage.rates == {"block*": 0.1}  # 1e-5 in the front
