"""DM-Count: optimal transport, its gradient, count and variation against NumPy; its start and its recipes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from compiled import tensor, to_numpy
from crowd_harness_dm_count import METHOD, losses, transport
from gradients import value_and_gradient
from scipy.special import logsumexp

from harness.method import ModelOptions
from harness.nn.batch import Batch
from harness.recipe import COMMON

SIZE, STRIDE = (48, 64), 8
FLOOR = np.log(1e-16)


def drawn() -> tuple[np.ndarray, np.ndarray]:
    """A density [3, 6, 8, 1] with cells of 0, and heads [3, 16, 4]: sixteen, none, and two in one corner (far from most)."""
    generator = np.random.default_rng(0)
    heads = np.zeros((3, 16, 4), np.float32)
    heads[..., :2] = generator.uniform(0, SIZE[::-1], (3, 16, 2))
    heads[2, :2, :2] = [[3.5, 6.25], [9.0, 4.0]]
    heads[0, :, 3] = heads[2, :2, 3] = 1
    density = generator.gamma(0.5, 0.3, (3, 6, 8, 1)).astype(np.float32)
    density[0, 2] = 0
    return density, heads


def solved(shares: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Potentials β [cells], the plan and the costs [P, cells] by Sinkhorn's iterations on logarithms in float64.

    As the official code: 1e-16 is added to each divisor, and iterations end at a squared error of 1e-9, seen at every tenth.
    """
    rows, columns = (STRIDE * (np.arange(side // STRIDE) + 0.5) for side in SIZE)
    centres = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    cost = ((points[:, None] - centres[None]) ** 2).sum(-1)
    with np.errstate(divide="ignore"):
        source, target = np.log(shares.astype(float).ravel()), np.full(len(points), -np.log(len(points)))
    log_u, error = target.copy(), 1.0
    for number in range(1, 101):
        log_v = source - np.logaddexp(logsumexp(log_u[:, None] - cost / 10, axis=0), FLOOR)
        log_u = target - np.logaddexp(logsumexp(log_v[None] - cost / 10, axis=1), FLOOR)
        if number % 10 == 0:
            plan = np.exp(log_u[:, None] + log_v[None] - cost / 10)
            error = ((np.exp(source) - plan.sum(0)) ** 2).sum()
        if error <= 1e-9:
            break
    return 10 * np.logaddexp(log_v, FLOOR), np.exp(log_u[:, None] + log_v[None] - cost / 10), cost


@pytest.mark.backend
def test_transport_and_its_gradient_are_sinkhorns() -> None:
    """Cost ⟨C, P⟩, and ∂⟨D/‖D‖, β⟩/∂D = β/‖D‖ − ⟨D, β⟩/‖D‖² (the paper's Eq. for the gradient), each over three crops."""
    density, heads = drawn()
    cost, gradient = 0.0, np.zeros(density.shape)
    for crop in (0, 2):
        flat, total = density[crop].ravel().astype(float), density[crop].sum() + 1e-6
        beta, plan, costs = solved(density[crop] / total, heads[crop, heads[crop, :, 3] > 0, :2].astype(float))
        cost += (plan * costs).sum() / 3
        gradient[crop] = (beta / total - flat @ beta / total**2).reshape(6, 8, 1) / 3
    assert cost > 10
    value, found = value_and_gradient(lambda x: losses.transport(x, tensor(heads), STRIDE), density)
    assert value == pytest.approx(cost, rel=1e-4)
    np.testing.assert_allclose(found, gradient, rtol=1e-4, atol=1e-4 * np.abs(gradient).max())
    assert (found[1] == 0).all()


@pytest.mark.backend
@pytest.mark.parametrize("total", [0.0, 1e-7, 1e-6, 1e-5, 1e-3, 1.0])
def test_a_map_of_nearly_nothing_has_no_great_gradient(total: float) -> None:
    """(‖D‖ β − ⟨D, β⟩) / (‖D‖² + 1e-8), the official code's guard: ten million and more without it, which stops Adam."""
    density, heads = drawn()
    density = (density * (total / density.sum((1, 2, 3), keepdims=True))).astype(np.float32)
    target = heads[..., 3] / np.maximum(heads[..., 3].sum(-1, keepdims=True), 1)
    source = losses.normalised(tensor(density))[..., 0]
    beta = to_numpy(transport.sinkhorn(tensor(target), source, tensor(heads[..., :2]), STRIDE).beta).astype(float)
    maps = density[..., 0].astype(float)
    sums = maps.sum((1, 2), keepdims=True)
    expected = (sums * beta - (maps * beta).sum((1, 2), keepdims=True)) / (sums**2 + 1e-8) / 3
    expected[1] = 0  # no heads
    _, found = value_and_gradient(lambda x: losses.transport(x, tensor(heads), STRIDE), density)
    np.testing.assert_allclose(found[..., 0], expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max() + 1e-3)
    _, varied = value_and_gradient(lambda x: losses.variation(x, tensor(heads), STRIDE), density)
    assert np.isfinite(varied).all() and np.abs(varied).max() <= 16 * 2 * 48 * 5e3
    if not total:
        assert not found.any() and not varied.any()


@pytest.mark.backend
def test_a_plan_within_reach_has_the_marginals_it_was_given() -> None:
    """Four heads among six cells, all near each other; and a settled crop stays as it is while another is not settled."""
    generator = np.random.default_rng(1)
    points = generator.uniform((6, 4), (18, 12), (1, 4, 2)).astype(np.float32)
    source = generator.uniform(0.5, 1.5, (1, 2, 3)).astype(np.float32)
    source /= source.sum()
    target = np.full((1, 4), 0.25, np.float32)
    plan = transport.sinkhorn(tensor(target), tensor(source), tensor(points), STRIDE)
    u, v, down, across = (to_numpy(part)[0] for part in (plan.u, plan.v, plan.down, plan.across))
    moved = u[:, None, None] * down[:, :, None] * across[:, None, :] * v
    np.testing.assert_allclose(moved.sum((1, 2)), target[0], rtol=1e-4)
    assert 0 < ((moved.sum(0) - source[0]) ** 2).sum() <= transport.ENOUGH
    apart = np.array(
        [[[1, 1], [1, 15], [23, 1], [23, 15]]], np.float32
    )  # one head a corner: mass moves slowly between them
    pair = (tensor(np.concatenate(two)) for two in ((target, target), (source, source[:, :, ::-1]), (points, apart)))
    beside = transport.sinkhorn(*pair, STRIDE)
    np.testing.assert_allclose(to_numpy(beside.v)[0], v, rtol=1e-5)


@pytest.mark.backend
def test_count_and_variation_by_hand() -> None:
    density, heads = drawn()
    counts = np.array([16, 0, 2])
    assert float(losses.count(tensor(density), tensor(heads))) == pytest.approx(
        np.abs(density.sum((1, 2, 3)) - counts).mean(), rel=1e-5
    )
    cells = np.zeros((3, 6, 8))
    for crop, count in enumerate(counts):
        for x, y in heads[crop, :count, :2]:
            cells[crop, int(y) // 8, int(x) // 8] += 1
    np.testing.assert_array_equal(to_numpy(losses.head_counts(tensor(heads), 6, 8, STRIDE)), cells)
    shares = density[..., 0] / density.sum((1, 2, 3), keepdims=True)[..., 0]
    apart = np.abs(shares - cells / np.maximum(counts, 1)[:, None, None]).sum((1, 2))
    assert float(losses.variation(tensor(density), tensor(heads), STRIDE)) == pytest.approx(
        (counts * apart).mean(), rel=1e-4
    )


@pytest.mark.parametrize(
    ("variant", "terms"),
    [
        ("", {"count", "transport", "variation"}),
        ("count", {"count"}),
        ("no_tv", {"count", "transport"}),
        ("no_ot", {"count", "variation"}),
    ],
)
def test_variants_leave_terms_out_and_the_rest_keeps_its_weight(variant: str, terms: set[str]) -> None:
    """λ1 = 0.1, on the sum over the ten crops of a step as the official code adds it up; λ2 = 0.01."""
    density, heads = drawn()
    batch = Batch(np.zeros((3, *SIZE, 3), np.float32), heads)
    found = METHOD.loss(batch, {"density": density}, ModelOptions(METHOD.variants[variant].options if variant else {}))
    assert set(found) == terms
    if "transport" in terms:
        assert float(found["transport"]) == pytest.approx(0.1 * 10 * float(losses.transport(density, heads, STRIDE)))
    if "variation" in terms:
        assert float(found["variation"]) == pytest.approx(0.01 * float(losses.variation(density, heads, STRIDE)))


def test_a_head_in_the_continuation_of_a_crop_is_a_lost_one() -> None:
    """The test drops these cells: a count there is none."""
    heads = np.zeros((1, 4, 4), np.float32)
    heads[0, 0] = [20, 20, 4, 1]
    frame = np.array([0, 0, 48, 24], np.float32).reshape(1, 1, 1, 4)
    batch = Batch(np.zeros((1, *SIZE, 3), np.float32), heads, {"frame": frame})
    density = np.zeros((1, SIZE[0] // STRIDE, SIZE[1] // STRIDE, 1), np.float32)
    found, lost = density.copy(), density.copy()
    found[0, 20 // STRIDE, 20 // STRIDE], lost[0, 24 // STRIDE, 20 // STRIDE] = 1, 1
    right, wrong = (float(METHOD.loss(batch, {"density": one}, ModelOptions())["count"]) for one in (found, lost))
    assert right == pytest.approx(0, abs=1e-6) and wrong > 0.5


@pytest.fixture(scope="module")
def network() -> Any:
    import keras

    keras.utils.set_random_seed(0)
    return METHOD.build(ModelOptions(density_scale=COMMON.density_scale))


def test_its_parameters_are_bayesian_losss(network: Any) -> None:
    assert network.count_params() == 21_499_457
    assert [layer.name for layer in network.layers if layer.weights][-4:] == [
        "block5_conv4",
        "regression_conv1",
        "regression_conv2",
        "output",
    ]


def test_its_relu_starts_alive_at_a_usual_density(network: Any) -> None:
    """About 0.001 heads a pixel in every cell, whatever the seed; 0.064 a cell."""
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 80, 3)).astype(np.float32)
    density = to_numpy(network(image))
    assert density.shape == (1, 8, 10, 1)
    assert density.min() > 0.032 and density.max() < 0.128


def test_recipes_by_benchmark() -> None:
    crops = {name: METHOD.recipe_for(name).crop for name in ("ucf_qnrf", "shtech_b", "shtech_a", "ucf_cc_50")}
    assert crops == {"ucf_qnrf": 512, "shtech_b": 512, "shtech_a": 256, "ucf_cc_50": 256}
    (stage,) = METHOD.recipe.stages
    assert (stage.optimizer, stage.learning_rate, stage.l2, stage.decay) == ("adam", 1e-5, 1e-4, "constant")
    assert (METHOD.recipe.epochs, METHOD.recipe.images_per_step, METHOD.recipe.density_scale) == (1000, 10, 64)
