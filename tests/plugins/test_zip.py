"""ZIP's network and losses against what is printed, NumPy and SciPy."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from compiled import to_numpy
from crowd_harness_zip import METHOD, VARIANTS

from harness.method import ModelOptions
from harness.nn.batch import Batch

on_every_backend = pytest.mark.backend  # not for whole networks, whose layers JAX compiles one by one


def tensors(*values: np.ndarray) -> list[Any]:
    from keras import ops

    return [ops.convert_to_tensor(value.astype(np.float32)) for value in values]


def softmax(values: np.ndarray) -> np.ndarray:
    exponential = np.exp(values - values.max(-1, keepdims=True))
    return exponential / exponential.sum(-1, keepdims=True)


@pytest.mark.parametrize(
    ("variant", "parameters", "printed"), [({}, 817_887, 0.81), (VARIANTS["n"].options, 3_370_079, 3.36)]
)
def test_parameters_are_those_printed(variant: dict, parameters: int, printed: float) -> None:
    """In millions, cut after two digits, for Part B's ten classes: the authors measured a network trained there."""
    network = METHOD.build(ModelOptions(variant=variant))
    trained = sum(math.prod(weight.shape) for weight in network.trainable_weights)
    assert trained == parameters
    (head,) = {network.get_layer("class_logits_conv").kernel.shape[2] + 1}
    on_part_b = trained - 4 * head  # nine classes beside the empty one, four fewer than on Part A
    assert math.floor(on_part_b / 1e4) / 100 == printed


def test_size_t_is_built_of_the_medium_network() -> None:
    network = METHOD.build(ModelOptions(variant=VARIANTS["t"].options))
    trained = sum(math.prod(weight.shape) for weight in network.trainable_weights)
    assert trained == 10_534_847 and round(trained / 1e6, 2) == 10.53
    assert network.get_layer("stage3_3_start_conv").kernel_size == (3, 3)
    assert network.get_layer("stage3_10_project_conv").filters == 256


@on_every_backend
def test_the_density_is_what_the_heads_expect() -> None:
    """(1 − π) λ, λ the mean of the centres of the classes, from the scores of drawn features."""
    import keras
    from crowd_harness_zip.model import CENTRES, FLOORS, heads

    features = keras.Input((None, None, 12))
    network = keras.Model(features, heads(features, zero_inflated=True))
    given = np.random.default_rng(0).normal(0, 2, (2, 4, 6, 12)).astype(np.float32)
    outputs = {name: to_numpy(value) for name, value in network(given).items()}
    rate = (softmax(outputs["class_logits"]) * np.array(CENTRES[1:])).sum(-1, keepdims=True)
    expected = softmax(outputs["zero_logits"])[..., 1:] * rate
    assert outputs["density"].shape == (2, 4, 6, 1) and rate.min() >= 1
    np.testing.assert_allclose(outputs["rate"], rate, rtol=1e-5)
    np.testing.assert_allclose(outputs["density"], expected, rtol=1e-5)
    tops = (*FLOORS[1:], math.inf)
    assert all(floor <= centre < top for floor, centre, top in zip(FLOORS, CENTRES, tops, strict=True))


@on_every_backend
def test_heads_are_counted_in_the_block_they_lie_in() -> None:
    from crowd_harness_zip.losses import block_counts

    generator = np.random.default_rng(1)
    points = np.ones((2, 30, 4), np.float32)
    points[..., :2] = generator.uniform(0, [48, 32], (2, 30, 2))
    points[0, :4, :2] = [[16, 0], [15.999, 15.999], [0, 16], [47.99, 31.99]]
    points[1, 20:, 3] = 0
    expected = np.zeros((2, 2, 3, 1))
    for batch, x, y in ((b, x, y) for b in range(2) for x, y, _, valid in points[b] if valid):
        expected[batch, int(y // 16), int(x // 16)] += 1
    batch = Batch(*tensors(np.zeros((2, 32, 48, 3)), points))
    np.testing.assert_array_equal(to_numpy(block_counts(batch, 16)), expected)


@on_every_backend
def test_the_likelihood_is_that_of_a_zero_inflated_poisson() -> None:
    from crowd_harness_zip.losses import poisson_nll, zero_inflated_nll
    from scipy.stats import poisson

    generator = np.random.default_rng(2)
    counts = generator.integers(0, 4, (2, 3, 5, 1)) * generator.integers(0, 2, (2, 3, 5, 1))
    rate = generator.uniform(0.5, 9, counts.shape)
    logits = generator.normal(0, 3, (2, 3, 5, 2))
    zero = softmax(logits)[..., :1]
    likelihood = zero * (counts == 0) + (1 - zero) * poisson.pmf(counts, rate)
    constant = np.vectorize(math.lgamma)(counts + 1.0)  # log y!
    expected = (-np.log(likelihood) - constant).sum((1, 2, 3)).mean()
    assert to_numpy(zero_inflated_nll(*tensors(logits, rate, counts))) == pytest.approx(expected, rel=1e-5)
    expected = (-poisson.logpmf(counts, rate) - constant).sum((1, 2, 3)).mean()
    assert to_numpy(poisson_nll(*tensors(rate, counts))) == pytest.approx(expected, rel=1e-5)


@on_every_backend
def test_the_likelihood_of_the_surely_wrong_is_finite() -> None:
    """Logits of ±200, whose softmax rounds to 0 and 1: the loss is their difference, where e^−λ does not matter."""
    from crowd_harness_zip.losses import zero_inflated_nll

    logits = np.array([[[[200.0, -200.0], [-200.0, 200.0]]]])
    counts, rate = np.array([[[[2.0], [0.0]]]]), np.full((1, 1, 2, 1), 3.0)
    expected = (400 - 2 * math.log(3) + 3) + 3
    assert to_numpy(zero_inflated_nll(*tensors(logits, rate, counts))) == pytest.approx(expected, rel=1e-5)


@on_every_backend
@pytest.mark.parametrize("classes", [13, 14])
def test_the_classes_of_counts(classes: int) -> None:
    """By hand: 11 and 12 heads are one class, 15 and all above the last; thirteen classes leave empty blocks out."""
    from crowd_harness_zip.losses import classification

    counts = np.array([0, 1, 2, 10, 11, 12, 13, 14, 15, 40])
    labels = np.array([0, 1, 2, 10, 11, 11, 12, 12, 13, 13])
    logits = np.random.default_rng(3).normal(0, 2, (1, 2, 5, classes))
    chances = np.log(softmax(logits)).reshape(10, classes)
    rows = [row for row in range(10) if classes == 14 or counts[row]]
    expected = -sum(chances[row, labels[row] - (14 - classes)] for row in rows)
    found = classification(*tensors(logits, counts.reshape(1, 2, 5, 1)))
    assert to_numpy(found) == pytest.approx(expected, rel=1e-5)


@on_every_backend
@pytest.mark.parametrize(
    "shape", [(8, 12), (5, 7), (3, 2)], ids=["whole squares", "a rest is left out", "smaller than 4 × 4"]
)
def test_errors_at_three_scales(shape: tuple[int, int]) -> None:
    from crowd_harness_zip.losses import count_error, multiscale_error

    generator = np.random.default_rng(4)
    density, counts = generator.uniform(0, 4, (2, *shape, 1)), generator.integers(0, 4, (2, *shape, 1))
    difference, expected = (density - counts)[..., 0], 0.0
    for side, weight in ((1, 0.25), (2, 0.5), (4, 1.0)):
        rows, columns = shape[0] // side, shape[1] // side
        whole = difference[:, : rows * side, : columns * side].reshape(2, rows, side, columns, side)
        expected += weight * np.abs(whole.mean(axis=(2, 4))).sum((1, 2)).mean() if rows and columns else 0.0
    assert to_numpy(multiscale_error(*tensors(density, counts))) == pytest.approx(expected, rel=1e-5)
    count = np.abs(difference.sum((1, 2))).mean()
    assert to_numpy(count_error(*tensors(density, counts))) == pytest.approx(count, rel=1e-4)


@pytest.mark.parametrize(
    ("variant", "terms"),
    [
        ("", {"likelihood", "classes", "scales", "count"}),
        ("poisson", {"likelihood", "classes", "scales", "count"}),
        ("mae", {"blocks", "classes", "scales", "count"}),
        ("no_classes", {"likelihood", "scales", "count"}),
        ("no_scales", {"likelihood", "classes", "count"}),
    ],
)
def test_variants_and_their_terms(variant: str, terms: set[str]) -> None:
    options = ModelOptions(variant=VARIANTS[variant].options if variant else {})
    network = METHOD.build(options)
    assert network.get_layer("class_logits_conv").filters == (14 if variant in ("poisson", "mae") else 13)
    points = np.ones((2, 8, 4))
    points[..., :2] = np.random.default_rng(5).uniform(0, 64, (2, 8, 2))
    batch = Batch(*tensors(np.random.default_rng(6).integers(0, 256, (2, 64, 64, 3)), points))
    found = METHOD.loss(batch, network(batch.image, training=True), options)
    assert set(found) == terms and all(np.isfinite(to_numpy(term)) for term in found.values())


@on_every_backend
@pytest.mark.parametrize("variant", ["", "poisson", "mae"])
def test_what_is_learned_in_a_region_is_what_the_test_counts(variant: str) -> None:
    """The left half of the first block lies in the region and holds one head: of all densities there the loss is least at two,
    half of which the test counts."""
    options = ModelOptions(variant=VARIANTS[variant].options if variant else {})
    region = np.ones((1, 16, 32, 1))
    region[:, :, 8:16] = 0
    heads = np.array([[[3.0, 5.0, 4.0, 1.0]]])
    batch = Batch(*tensors(np.zeros((1, 16, 32, 3)), heads), {"region": tensors(region)[0]})
    totals = {}
    for heads in (0.5, 1.0, 1.5, 2.0, 2.5, 3.0):
        density = np.array([[[[heads], [0.0]]]])
        logits = np.zeros((1, 1, 2, 14 if variant else 13))
        outputs = {"density": density, "class_logits": logits}
        if not variant:
            outputs |= {"rate": np.maximum(density, 1e-3), "zero_logits": np.array([[[[-9.0, 9.0], [9.0, -9.0]]]])}
        found = METHOD.loss(batch, {name: tensors(value)[0] for name, value in outputs.items()}, options)
        totals[heads] = sum(float(to_numpy(term)) for name, term in found.items() if name != "classes")
        one = -np.log(1 / 14) if variant else 0.0  # the whole empty block has a class where there is one of none
        assert float(to_numpy(found["classes"])) == pytest.approx(one, abs=1e-5), "a part of a block has no class"
    assert min(totals, key=totals.__getitem__) == 2.0


def test_the_schedule_is_the_official_codes() -> None:
    """25 epochs of warm-up, then cosines of 5 · 2ⁿ; of 1,300 epochs the last checkpoint is chosen from the 100th on."""
    from harness.training.fit import stage_ends
    from harness.training.network import learning_rate

    stages = METHOD.recipe.stages
    for epochs in range(len(stages), 200):  # each stage has an epoch, where there are as many
        some = [0, *stage_ends(stages, epochs)]
        assert all(first < second for first, second in pairwise(some)) and some[-1] == epochs
    ends = stage_ends(stages, METHOD.recipe.epochs)
    assert ends == [25, 30, 40, 60, 100, 180, 340, 660, 1300]
    assert [stage.selects for stage in stages] == [end > 100 for end in ends]
    steps = 1000
    for step in (0, 300, 999):  # of a cosine: η_min is 1e-6 there and 0 here
        theirs = 1e-6 + (1e-4 - 1e-6) * (1 + math.cos(math.pi * step / steps)) / 2
        assert learning_rate(stages[3], step, steps, 0) == pytest.approx(theirs, abs=1.1e-6)
    assert {(stage.l2, stage.optimizer) for stage in stages} == {(1e-4, "adam")}
