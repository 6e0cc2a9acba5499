"""SSR-HEF: sizes, losses by NumPy, what each variant leaves out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from compiled import losses_of, outputs_of, tensor, to_numpy
from crowd_harness_ssr_hef import METHOD, VARIANTS, losses
from crowd_harness_ssr_hef import UNIT as METHOD_UNIT
from scipy.optimize import minimize_scalar
from scipy.special import expit

from harness.method import ModelOptions, inference_network
from harness.nn.batch import Batch
from harness.training import backend

pytestmark = pytest.mark.backend


def build(variant: str = "") -> Any:
    return METHOD.build(ModelOptions(variant=VARIANTS[variant].options if variant else {}))


def count(network: Any, prefix: str) -> int:
    layers = [layer for layer in network.layers if layer.name.startswith(prefix)]
    return sum(math.prod(weight.shape) for layer in layers for weight in layer.trainable_weights)


def convolutions(*shapes: tuple[int, int, int]) -> int:
    return sum(a * b * area + b for a, b, area in shapes)


def test_parameters_layer_group_by_layer_group() -> None:
    network = build()
    assert count(network, "dilated_conv") == 4 * convolutions((3, 16, 9))
    assert count(network, "scale1") == convolutions((64, 32, 9))
    assert count(network, "scale2") == convolutions((32, 64, 9), (64, 64, 9))
    assert count(network, "scale3") == convolutions((64, 96, 9), (96, 96, 9))
    assert count(network, "segmentation") == convolutions((32, 1, 1), (64, 1, 1), (96, 1, 1))
    assert count(network, "fusion") == convolutions((32 + 64 + 96, 128, 9))
    assert count(network, "enhance") == convolutions((128, 48, 9), (2, 1, 49))
    assert count(network, "output") == convolutions((48, 16, 9), (16, 1, 1))
    assert count(network, "class") == convolutions((16 * 16 * 128, 64, 1), (64, 15, 1))
    rates = [network.get_layer(f"dilated_conv{rate}").dilation_rate for rate in (1, 2, 3, 4)]
    assert rates == [(1, 1), (2, 2), (3, 3), (4, 4)]


def test_two_megabytes_without_the_classifier() -> None:
    """Table IX: 2 M, which are megabytes of float32."""
    inference = inference_network(build())
    assert inference.count_params() == 498_007
    assert 1.8 <= 4 * inference.count_params() / 1e6 <= 2.2
    assert not [layer.name for layer in inference.layers if layer.name.startswith(("class", "pyramid"))]


def test_dice_by_numpy() -> None:
    generator = np.random.default_rng(0)
    predicted = generator.uniform(0, 1, (3, 6, 5, 1)).astype(np.float32)
    mask = generator.integers(0, 2, predicted.shape).astype(np.float32)
    mask[2] = 0
    each = [1 - 2 * (p * s).sum() / ((p**2).sum() + (s**2).sum()) for p, s in zip(predicted, mask, strict=True)]
    assert float(to_numpy(losses.dice(tensor(predicted), tensor(mask)))) == pytest.approx(np.mean(each), rel=1e-4)
    assert each[2] == 1
    assert float(to_numpy(losses.dice(tensor(mask[:2]), tensor(mask[:2])))) == pytest.approx(0, abs=1e-5)
    nothing = tensor(np.zeros((1, 4, 4, 1), np.float32))
    assert np.isfinite(float(to_numpy(losses.dice(nothing, nothing))))


def test_cross_entropy_by_numpy() -> None:
    logits = np.random.default_rng(0).normal(0, 2, (4, 15)).astype(np.float32)
    classes = np.array([0, 14, 3, 3], np.int32)
    chance = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.log(chance[np.arange(4), classes]).mean()
    assert float(to_numpy(losses.cross_entropy(tensor(logits), tensor(classes)))) == pytest.approx(expected, rel=1e-5)


def focusing(predicted: np.ndarray, target: np.ndarray, gamma: float = 2.0) -> np.ndarray:
    """Eq. 4 at each cell, in float64."""
    return expit(-predicted.astype(float)) ** gamma * (predicted.astype(float) - target) ** 2


@pytest.mark.parametrize("unit", [1e-3, 1.0, 10.0])
def test_hard_example_focusing_by_numpy(unit: float) -> None:
    generator = np.random.default_rng(0)
    predicted, target = unit * generator.uniform(-0.2, 1, (2, 2, 4, 5, 1)).astype(np.float32)
    found = float(to_numpy(losses.hard_example_focusing(tensor(predicted), tensor(target), 2.0)))
    assert found == pytest.approx(focusing(predicted, target).mean(), rel=1e-4)
    if unit == 1e-3:  # unscaled densities: no focusing at all, a quarter of the squared error
        assert found == pytest.approx(0.25 * ((predicted - target) ** 2).mean(), rel=2e-3)


@pytest.mark.parametrize("literal", [False, True])
def test_the_gradient_of_hard_example_focusing(literal: bool) -> None:
    """A step of plain descent on the predicted map moves it by Eq. 4's difference quotient, its factor a constant or not."""
    import keras

    generator = np.random.default_rng(0)
    predicted = generator.uniform(0, 2, (1, 3, 4, 1)).astype(np.float32)
    target = generator.uniform(3, 9, predicted.shape).astype(np.float32)
    image = keras.Input((3, 4, 1))
    layer = keras.layers.Conv2D(1, 1, use_bias=False)  # d loss / d weight = Σ x · d loss / d predicted, at weight 1
    model = keras.Model(image, layer(image))
    layer.set_weights([np.ones((1, 1, 1, 1), np.float32)])
    model.compile(
        optimizer=keras.optimizers.SGD(1.0),
        loss=lambda y, found: losses.hard_example_focusing(found, y, 2.0, literal),
        jit_compile=backend.jit_compile(),
    )
    model.train_on_batch(predicted, target)
    step = 1e-5
    weight = expit(-predicted.astype(float)) ** 2
    upper, lower = (predicted.astype(float) * (1 + sign * step) for sign in (1, -1))
    if literal:
        difference = focusing(upper, target).mean() - focusing(lower, target).mean()
    else:
        difference = (weight * ((upper - target) ** 2 - (lower - target) ** 2)).mean()
    assert 1 - float(layer.get_weights()[0].item()) == pytest.approx(difference / (2 * step), rel=1e-3)


@pytest.mark.parametrize("variant", ["", "literal_hef"])
def test_what_is_predicted_where_two_densities_are_equally_likely(variant: str) -> None:
    """One cell that looks the same in every image and holds 0 in half of them, 1 in the others: the default predicts the mean,
    the literal reading more."""
    import keras

    target = np.array([0.0, 1.0], np.float32).reshape(2, 1, 1, 1)
    image = keras.Input((1, 1, 1))
    layer = keras.layers.Conv2D(1, 1, use_bias=False, kernel_initializer="zeros")
    model = keras.Model(image, layer(image))
    literal = VARIANTS[variant].options["literal"] if variant else False
    model.compile(
        optimizer=keras.optimizers.SGD(1.0),
        loss=lambda y, found: losses.hard_example_focusing(found, y, 2.0, literal),
        jit_compile=backend.jit_compile(),
    )
    for _ in range(60):
        model.train_on_batch(np.ones_like(target), target)
    found = float(layer.get_weights()[0].item())
    best = minimize_scalar(
        lambda d: focusing(np.full(2, d), target[:, 0, 0, 0]).mean(), bounds=(0, 1), method="bounded"
    )
    assert best.x > 1.1 * target.mean()
    assert found == pytest.approx(best.x if literal else target.mean(), rel=1e-2)


def make_batch(side: int = 64) -> Batch:
    generator = np.random.default_rng(0)
    points = np.ones((2, 16, 4), np.float32)
    points[..., :2] = generator.uniform(0, side, (2, 16, 2))
    points[..., 2], points[1, 3:, 3] = 4.0, 0.0
    images = generator.uniform(0, 255, (2, side, side, 3)).astype(np.float32)
    return Batch(tensor(images), tensor(points))


@pytest.mark.parametrize("variant", ["", *VARIANTS])
def test_every_variant_trains_what_its_row_says(variant: str) -> None:
    import keras

    keras.utils.set_random_seed(0)
    chosen = VARIANTS[variant].options if variant else {}
    # In the paper's unit: a start of tens of heads a cell leaves Eq. 4's factor nothing that float32 can hold.
    options = ModelOptions(variant=chosen, largest_count=30.0, density_scale=METHOD.recipe.density_scale)
    network = METHOD.build(options)
    outputs = outputs_of(network, make_batch().image)
    terms = {name: float(to_numpy(term)) for name, term in losses_of(METHOD, make_batch(), outputs, options).items()}
    assert all(np.isfinite(list(terms.values())))
    segmentations = {name for name in terms if name.startswith("segmentation")}
    assert segmentations == (set() if variant == "no_ssr" else {"segmentation2", "segmentation4", "segmentation8"})
    assert ("classes" in terms) == (variant != "classes0")
    if variant.startswith("classes") and variant != "classes0":
        assert outputs["classes"].shape == (2, int(variant[7:]))
    assert (count(network, "enhance") == 0) == (variant == "no_enhancement")
    unit = VARIANTS[variant].options.get("unit", METHOD_UNIT) if variant else METHOD_UNIT
    predicted = unit * to_numpy(outputs["density"])
    target = unit * to_numpy(make_batch().density(8))
    expected = (predicted - target) ** 2 if variant == "no_hef" else focusing(predicted, target)
    assert terms["density"] == pytest.approx(expected.mean(), rel=1e-3)


def test_the_segmentation_maps_multiply_what_comes_behind_them() -> None:
    """With segmentation logits far below zero nothing of that scale is left; far above zero, all of it."""
    import keras

    network = build()
    image = make_batch().image
    for name, filters in (("segmentation2", "scale1_conv1"), ("segmentation8", "scale3_conv2")):
        logits = network.get_layer(f"{name}_logits")
        inside = keras.Model(
            network.input, [network.get_layer(filters).output, network.get_layer(f"{name}_refined").output]
        )
        kernel = np.zeros(logits.kernel.shape, np.float32)
        for bias, share in ((-40.0, 0.0), (40.0, 1.0)):
            logits.set_weights([kernel, np.array([bias], np.float32)])
            plain, refined = inside(image)
            np.testing.assert_allclose(to_numpy(refined), share * to_numpy(plain), atol=1e-6)


@pytest.mark.parametrize("variant", ["", "no_ssr"])
def test_the_enhancement_gate_starts_open(variant: str) -> None:
    """What its sigmoid sees stays where a sigmoid has a slope, from every start."""
    import keras

    image = tensor(np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype(np.float32))
    for seed in range(5):
        keras.utils.set_random_seed(seed)
        network = build(variant)
        gate = to_numpy(outputs_of(keras.Model(network.input, network.get_layer("enhance_weights").output), image))
        assert np.abs(np.log(gate / (1 - gate))).max() < 2, f"seed {seed}"


def test_the_last_layer_predicts_heads_a_cell() -> None:
    import keras

    network = METHOD.build(ModelOptions(density_scale=METHOD.recipe.density_scale))
    both = keras.Model(network.input, [network.get_layer("output").output, network.output["density"]])
    last, density = outputs_of(both, make_batch().image)
    np.testing.assert_allclose(to_numpy(density), to_numpy(last), rtol=1e-6)


def test_the_enhancement_weighs_every_channel_alike() -> None:
    import keras

    network = build()
    nodes = [network.get_layer(name).output for name in ("enhance_conv", "enhance_weights", "enhanced")]
    plain, weights, enhanced = map(to_numpy, outputs_of(keras.Model(network.input, nodes), make_batch().image))
    assert weights.shape[-1] == 1 and (weights > 0).all() and (weights < 1).all()
    np.testing.assert_allclose(enhanced, plain * weights, rtol=1e-4, atol=1e-6)
    pooled = to_numpy(network.get_layer("enhance_pool")(tensor(plain)))
    np.testing.assert_allclose(pooled, np.stack([plain.max(-1), plain.mean(-1)], -1), rtol=1e-4, atol=1e-6)


def test_the_recipe_is_the_papers() -> None:
    recipe = METHOD.recipe
    shares = recipe.crop_share
    assert isinstance(shares, tuple)
    assert [shares.count(share) for share in (0.25, 0.5, 1.0)] == [9, 4, 1]  # sides; 1/16, 1/4 and 1 of the area
    assert recipe.crop is None and recipe.images_per_step == 1
    assert recipe.stages[0].optimizer == "adam" and recipe.stages[0].learning_rate == 3e-5
    assert recipe.flip == 0.5 and recipe.noise > 0
