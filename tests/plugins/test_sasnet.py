"""SASNet's parts and losses against NumPy written from the paper's equations."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from compiled import computed, losses_of, outputs_of, to_numpy
from crowd_harness_sasnet import METHOD, VARIANTS

from harness.method import ModelOptions, inference_network
from harness.nn import vgg16

pytestmark = pytest.mark.backend


def trainable(layers: list) -> int:
    return sum(math.prod(weight.shape) for layer in layers for weight in layer.trainable_weights)


@pytest.fixture(scope="module")
def network() -> object:
    return METHOD.build(ModelOptions(density_scale=1000.0))


def test_parameters_layer_group_by_layer_group(network: object) -> None:
    groups = {
        name: trainable([layer for layer in network.layers if layer.name.startswith(name)])  # type: ignore[attr-defined]
        for name in ("block", "decoder", "density", "confidence")
    }
    vgg = ((3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256), (256, 512), *[(512, 512)] * 5)
    decoder = [(512, 1024), (1024, 512), (1024, 512), (512, 256), (512, 256), (256, 128), (256, 128), (128, 64)]
    decoder += [(128, 64), (64, 64)]
    levels = (64, 64, 128, 256, 512)

    def head(c: int) -> int:
        half = c // 2
        return 3 * (c * half + 2 * half) + (1 + 9 + 25) * half * c + 3 * 2 * c + 4 * c + 1

    assert groups == {
        "block": sum(9 * a * b + b + 2 * b for a, b in vgg),
        "decoder": sum(9 * a * b + b for a, b in decoder),
        "density": sum(head(c) for c in levels),
        "confidence": sum(c * (c // 2) + c // 2 + c // 2 + 1 for c in levels),
    }
    assert sum(groups.values()) == trainable(network.layers) == 38_898_698  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [(32, 64), (96, 32)])
def test_shapes_and_fusing(network: object, size: tuple[int, int]) -> None:
    """The final map is Eq. 5 of the level maps and the confidence, by NumPy."""
    image = np.random.default_rng(0).uniform(0, 255, (2, *size, 3)).astype(np.float32)
    outputs = {name: to_numpy(value) for name, value in outputs_of(network, image).items()}
    assert outputs["levels"].shape == (2, *size, 5)
    assert outputs["confidence_logits"].shape == (2, size[0] // 32, size[1] // 32, 5)
    expected = fused(outputs["levels"], outputs["confidence_logits"], 32)
    np.testing.assert_allclose(outputs["density"], expected, rtol=1e-4, atol=1e-7)
    assert inference_network(network).output.shape[-1] == 1


def fused(levels: np.ndarray, logits: np.ndarray, patch: int) -> np.ndarray:
    """Eq. 5 by NumPy: the levels, weighed in each patch by the softmax of the confidence."""
    weights = np.exp(1 / (1 + np.exp(-logits)))
    weights = np.kron(weights / weights.sum(-1, keepdims=True), np.ones((1, patch, patch, 1)))
    return (weights[:, : levels.shape[1], : levels.shape[2]] * levels).sum(-1, keepdims=True)


def test_patches_that_reach_beyond_the_image_see_what_lies_inside() -> None:
    """Patches of 64 in an image of 96×160: confidence, labels and selection all count them from the upper left corner."""
    import keras
    from crowd_harness_sasnet.losses import confidence_labels

    network = METHOD.build(ModelOptions(variant=VARIANTS["patch64"].options))
    features = [network.get_layer(f"decoder{level}_conv2").output for level in range(1, 6)]
    image = np.random.default_rng(0).uniform(0, 255, (1, 96, 160, 3)).astype(np.float32)
    outputs, decoded = outputs_of(keras.Model(network.input, [network.output, features]), image)
    outputs = {name: to_numpy(value) for name, value in outputs.items()}
    logits = np.zeros((1, 2, 3, 5))
    for (m, n), (level, cells) in itertools.product(np.ndindex(2, 3), enumerate(map(to_numpy, decoded), 1)):
        side = 64 // 2 ** (level - 1)
        mean = cells[0, m * side : (m + 1) * side, n * side : (n + 1) * side].mean(axis=(0, 1))
        hidden, last = (network.get_layer(f"confidence{level}_{part}").get_weights() for part in ("conv", "output"))
        score = np.maximum(mean @ hidden[0][0, 0] + hidden[1], 0) @ last[0][0, 0] + last[1]
        logits[0, m, n, level - 1] = score[0]
    np.testing.assert_allclose(outputs["confidence_logits"], logits, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(
        outputs["density"], fused(outputs["levels"], logits, 64), rtol=1e-3, atol=1e-6 * outputs["levels"].max()
    )
    labels = computed(confidence_labels, outputs["levels"], np.zeros((1, 96, 160, 1), np.float32), 64)
    for m, n in np.ndindex(2, 3):
        counts = outputs["levels"][0, 64 * m : 64 * m + 64, 64 * n : 64 * n + 64].sum(axis=(0, 1))
        assert (labels[0, m, n].argmax(), labels[0, m, n].tolist().index(0)) == (counts.argmin(), counts.argmax())


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 4)])
def test_aligned_upsampling_is_linear_interpolation_between_corners(size: tuple[int, int]) -> None:
    from scipy.interpolate import interp1d

    from harness.nn.resizing import AlignedUpsampling

    x = np.random.default_rng(0).normal(0, 1, (1, *size, 2)).astype(np.float32)
    expected = x[0]
    for axis in (0, 1):
        n = expected.shape[axis]
        if n == 1:
            expected = np.repeat(expected, 2, axis)
        else:
            expected = interp1d(np.arange(n), expected, axis=axis)(np.linspace(0, n - 1, 2 * n))
    np.testing.assert_allclose(computed(AlignedUpsampling(), x)[0], expected, rtol=1e-4, atol=1e-5)


def test_confidence_labels_by_arg_min_and_arg_max() -> None:
    """Two patches of 4×4: errors 3, 1, 2 and then an empty patch on which all levels agree."""
    from crowd_harness_sasnet.losses import confidence_labels

    levels = np.zeros((1, 4, 8, 3), np.float32)
    target = np.zeros((1, 4, 8, 1), np.float32)
    target[0, 1, 1] = 5
    levels[0, 2, 3] = (8, 4, 3)
    labels = computed(confidence_labels, levels, target, 4)
    assert labels.shape == (1, 1, 2, 3)
    assert labels[0, 0, 0].tolist() == [0, 1, -1]
    assert labels[0, 0, 1].tolist() == [-1, -1, -1]


def test_confidence_labels_equal_loops() -> None:
    from crowd_harness_sasnet.losses import confidence_labels

    generator = np.random.default_rng(0)
    levels = generator.uniform(0, 1, (2, 64, 96, 5)).astype(np.float32)
    target = generator.uniform(0, 1, (2, 64, 96, 1)).astype(np.float32)
    labels = computed(confidence_labels, levels, target, 32)
    for b, m, n in np.ndindex(2, 2, 3):
        rows, columns = slice(32 * m, 32 * m + 32), slice(32 * n, 32 * n + 32)
        errors = [abs(levels[b, rows, columns, i].sum() - target[b, rows, columns].sum()) for i in range(5)]
        expected = np.full(5, -1.0)
        expected[np.argmax(errors)] = 0
        expected[np.argmin(errors)] = 1
        assert labels[b, m, n].tolist() == expected.tolist()


def test_confidence_loss_ignores_what_has_no_label() -> None:
    from crowd_harness_sasnet.losses import confidence_loss

    logits = np.log(np.array([9, 0.25, 1], np.float32)).reshape(1, 1, 1, 3)  # of 0.9, 0.2 and 0.5
    labels = np.array([1, 0, -1], np.float32).reshape(1, 1, 1, 3)
    expected = -(math.log(0.9) + math.log(0.8)) / 2
    assert float(computed(confidence_loss, logits, labels)) == pytest.approx(expected, rel=1e-5)
    assert float(computed(confidence_loss, logits, -np.ones_like(labels))) == 0


def test_confidence_that_is_surely_wrong_is_learned_from() -> None:
    """The loss by NumPy at logits whose sigmoid rounds to 0 and 1, and its derivative by the wrong ones: −1 and 1."""
    import keras
    from crowd_harness_sasnet.losses import confidence_loss

    logits = np.array([-50, 50, 50, -50, 120], np.float32).reshape(1, 1, 5)
    labels = np.array([1, 0, 1, 0, -1], np.float32).reshape(1, 1, 5)
    assert float(computed(confidence_loss, logits, labels)) == pytest.approx(np.logaddexp(0, [50, 50, -50, -50]).mean())
    source = keras.layers.Embedding(1, 5, name="source")
    entry = keras.Input((1,), dtype="int32")
    model = keras.Model(entry, source(entry))
    source.set_weights([logits[0]])
    model.compile(optimizer=keras.optimizers.SGD(4.0), loss=lambda y, x: confidence_loss(x, y), jit_compile=False)
    model.train_on_batch(np.zeros((1, 1), np.int32), labels)
    np.testing.assert_allclose((logits[0] - source.get_weights()[0])[0], [-1, 1, 0, 0, 0], atol=1e-5)


def recursive_hard_pixels(difference: np.ndarray) -> set[tuple[int, int]]:
    """The paper's search, written as it is told: divide in four, go on where the part errs as its parent does."""
    chosen: set[tuple[int, int]] = set()

    def search(top: int, left: int, height: int, width: int, over: bool) -> None:
        total = difference[top : top + height, left : left + width].sum()
        if total == 0 or (total > 0) != over:
            return
        if height == width == 1:
            chosen.add((top, left))
            return
        for row in (0, height // 2):
            for column in (0, width // 2):
                search(top + row, left + column, height // 2, width // 2, over)

    total = difference.sum()
    if total:
        search(0, 0, *difference.shape, over=total > 0)
    return chosen


def test_hard_pixels_of_a_hand_made_map() -> None:
    """8×8, over-estimated by 4: the upper left quarter over, the upper right under; inside them both kinds."""
    from crowd_harness_sasnet.losses import hard_pixels

    difference = np.zeros((8, 8), np.float32)
    difference[0, 0], difference[1, 1] = 6, -1  # one 2×2 part, over by 5: pixel (0, 0) is hard, (1, 1) is not
    difference[0, 2], difference[0, 3] = 1, -3  # a 2×2 part that is under: (0, 2) is not hard
    difference[0, 7], difference[1, 6] = -5, 4  # a quarter that is under: (1, 6) is not hard
    difference[6, 6] = 2  # a quarter that is over: hard
    difference = difference[None, :, :, None]
    chosen = computed(hard_pixels, difference, np.zeros_like(difference))[0, :, :, 0]
    assert {tuple(place) for place in np.argwhere(chosen).tolist()} == {(0, 0), (6, 6)}
    flipped = computed(hard_pixels, -difference, np.zeros_like(difference))[0, :, :, 0]
    np.testing.assert_array_equal(flipped, chosen)


@pytest.mark.parametrize("seed", range(6))
def test_hard_pixels_equal_the_recursion(seed: int) -> None:
    from crowd_harness_sasnet.losses import hard_pixels

    difference = np.random.default_rng(seed).integers(-3, 4, (2, 16, 16, 1)).astype(np.float32)
    chosen = computed(hard_pixels, difference, np.zeros_like(difference))
    for image in range(2):
        places = {tuple(place) for place in np.argwhere(chosen[image, :, :, 0]).tolist()}
        assert places == recursive_hard_pixels(difference[image, :, :, 0])


def test_sides_that_are_no_power_of_two_end_in_pixels() -> None:
    from crowd_harness_sasnet.losses import hard_pixels

    difference = np.random.default_rng(0).integers(-3, 4, (1, 12, 24, 1)).astype(np.float32)
    chosen = computed(hard_pixels, difference, np.zeros_like(difference))[0, :, :, 0]
    d = difference[0, :, :, 0]
    sign = np.sign(d.sum())
    expected = np.sign(d) == sign
    for rows, columns in ((6, 12), (3, 6)):
        sums = d.reshape(12 // rows, rows, 24 // columns, columns).sum(axis=(1, 3))
        expected &= np.kron(np.sign(sums), np.ones((rows, columns))) == sign
    np.testing.assert_array_equal(chosen.astype(bool), expected)


def test_pra_loss_by_hand() -> None:
    from crowd_harness_sasnet.losses import pra_loss

    predicted = np.zeros((1, 2, 2, 1), np.float32)
    predicted[0, :, :, 0] = [[3, -1], [0, 0]]
    zero = np.zeros_like(predicted)
    # The whole is over by 2, so pixel 3 is hard and pixel −1 is not: (9 + 1 + 9) / 4.
    assert float(computed(pra_loss, predicted, zero)) == pytest.approx(19 / 4)
    assert float(computed(pra_loss, predicted, zero, gamma=0.0)) == pytest.approx(10 / 4)


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_variants_build_and_have_a_finite_loss(variant: str) -> None:
    from keras import ops

    from harness.nn.batch import Batch

    options = ModelOptions(variant=VARIANTS[variant].options, density_scale=1000.0)
    network = METHOD.build(options)
    generator = np.random.default_rng(0)
    images = generator.uniform(0, 255, (1, 64, 32, 3)).astype(np.float32)
    points = np.ones((1, 16, 4), np.float32)
    points[..., :2] = generator.uniform(0, 32, (1, 16, 2))
    outputs = outputs_of(network, images)
    batch = Batch(ops.convert_to_tensor(images), ops.convert_to_tensor(points))
    terms = losses_of(METHOD, batch, outputs, options)
    assert ("pra" in terms) == VARIANTS[variant].options.get("pra", True)
    assert all(np.isfinite(to_numpy(term)) for term in terms.values())
    patch = VARIANTS[variant].options.get("patch", 32)
    if "confidence_logits" in outputs:
        assert outputs["confidence_logits"].shape[1:3] == (-(-64 // patch), -(-32 // patch))


def test_the_network_has_its_own_unit() -> None:
    """Where its last ReLUs speak in densities × 100, as the common recipe asks, they are dead after fifteen steps."""
    from harness.training import backend

    image, found = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype(np.float32), []
    for density_scale in (1.0, 100.0):
        backend.prepare(0)
        network = METHOD.build(ModelOptions(density_scale=density_scale))
        found.append(to_numpy(outputs_of(network, image)["levels"]))
    assert found[0].sum() > 0
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("density_scale", [1.0, 100.0, 1000.0])
def test_the_balance_of_the_loss_is_the_papers_under_every_recipe(density_scale: float) -> None:
    """λ = 10 weighs the confidence against densities × 1000, whatever the last layers' own scale."""
    from keras import ops

    from harness.nn.batch import Batch

    generator = np.random.default_rng(0)
    points = np.array([[[8.0, 8.0, 4.0, 1.0], [40.0, 20.0, 4.0, 1.0]]], np.float32)
    batch = Batch(ops.zeros((1, 32, 64, 3)), ops.convert_to_tensor(points))
    levels = generator.uniform(0, 0.01, (1, 32, 64, 5)).astype(np.float32)
    confidence = generator.uniform(0.1, 0.9, (1, 1, 2, 5)).astype(np.float32)
    logits = np.log(confidence / (1 - confidence))
    outputs = {"levels": levels, "confidence_logits": logits, "density": levels.mean(-1, keepdims=True)}
    tensors = {name: ops.convert_to_tensor(values) for name, values in outputs.items()}
    terms = losses_of(METHOD, batch, tensors, ModelOptions(density_scale=density_scale))
    squared = (1000 * (levels - to_numpy(batch.density(1)))) ** 2
    assert float(terms["levels"]) == pytest.approx(squared.mean(axis=(0, 1, 2)).sum(), rel=1e-4)
    errors = np.abs((levels - to_numpy(batch.density(1))).reshape(1, 32, 2, 32, 5).sum(axis=(1, 3)))
    entropy = [
        -math.log(confidence[0, 0, patch, errors[0, patch].argmin()])
        - math.log(1 - confidence[0, 0, patch, errors[0, patch].argmax()])
        for patch in range(2)
    ]
    assert float(terms["confidence"]) == pytest.approx(10 * sum(entropy) / 4, rel=1e-4)


def test_kernels_are_geometry_adaptive_on_ucf_cc_50_alone() -> None:
    points = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 20.0], [30.0, 0.0]])
    found = {name: METHOD.recipe_for(name).sigma.of(points)[0] for name in ("shtech_a", "ucf_qnrf", "ucf_cc_50")}
    assert found == pytest.approx({"shtech_a": 4.0, "ucf_qnrf": 4.0, "ucf_cc_50": 0.3 * (10 + 20 + 30) / 3})


def test_torchvision_weights_with_normalisation_are_read(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    generator = np.random.default_rng(0)
    state, place, inputs = {}, 0, 3
    for name in vgg16.layer_names():
        filters = {"1": 64, "2": 128, "3": 256, "4": 512, "5": 512}[name[5]]
        if name.endswith("conv1") and place:
            place += 1
        state[f"features.{place}.weight"] = generator.normal(0, 0.01, (filters, inputs, 3, 3)).astype("f4")
        state[f"features.{place}.bias"] = generator.normal(0, 1, filters).astype("f4")
        for part in ("weight", "bias", "running_mean", "running_var"):
            state[f"features.{place + 1}.{part}"] = generator.uniform(0.5, 1.5, filters).astype("f4")
        place, inputs = place + 3, filters
    save_file(state, tmp_path / "vgg16_bn.safetensors")
    network = METHOD.build(ModelOptions(pretrained=str(tmp_path / "vgg16_bn.safetensors")))
    kernel, bias = network.get_layer("block5_conv3").get_weights()
    np.testing.assert_array_equal(kernel.transpose(3, 2, 0, 1), state["features.40.weight"])  # as in torchvision
    np.testing.assert_array_equal(bias, state["features.40.bias"])
    for found, part in zip(
        network.get_layer("block2_conv1_bn").get_weights(),
        ("weight", "bias", "running_mean", "running_var"),
        strict=True,
    ):
        np.testing.assert_array_equal(found, state[f"features.8.{part}"])
