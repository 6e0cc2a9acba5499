"""HSRNet's modules and losses against NumPy and SciPy written from the paper's equations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from crowd_harness_hsrnet import METHOD, VARIANTS
from crowd_harness_hsrnet.model import GROUPS

from harness.method import ModelOptions, inference_network

pytestmark = pytest.mark.backend


def to_numpy(value: object) -> np.ndarray:
    from keras import ops

    return ops.convert_to_numpy(value)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def count(layers: list) -> int:
    return sum(math.prod(weight.shape) for layer in layers for weight in layer.trainable_weights)


@pytest.fixture(scope="module")
def network() -> object:
    return METHOD.build(ModelOptions())


def test_parameters_layer_group_by_layer_group(network: object) -> None:
    groups = {
        name: count([layer for layer in network.layers if layer.name.startswith(name)])  # type: ignore[attr-defined]
        for name in ("block", "channel", "spatial", "score", "scale", "fuse", "log_variance")
    }
    vgg = ((3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256), (256, 512), *[(512, 512)] * 5)
    stages = {2: 128, 3: 256, 4: 512, 5: 512}
    assert groups == {
        "block": sum(9 * a * b + b for a, b in vgg),
        "channel": sum(2 * c * (c // 64) for c in stages.values()),
        "spatial": 4 * (49 + 1),
        "score": sum(c * s + s + (2 * 2 ** (s - 1)) ** 2 * s * s + s for s, c in stages.items()),
        "scale": sum(len(group) + 1 for group in GROUPS),
        "fuse": 6,
        "log_variance": 5,
    }
    assert sum(groups.values()) == network.count_params()  # type: ignore[attr-defined]
    inference = inference_network(network)
    assert inference.count_params() == network.count_params() - 5  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [(16, 48), (64, 32)])
def test_shapes(network: object, size: tuple[int, int]) -> None:
    outputs = network(np.zeros((2, *size, 3), np.float32))  # type: ignore[operator]
    assert tuple(outputs["density"].shape) == (2, *size, 1)
    assert tuple(outputs["scales"].shape) == (2, *size, 5)
    assert tuple(outputs["log_variance"].shape) == (2, 5)


def test_the_focus_module_by_its_equations() -> None:
    import keras
    from crowd_harness_hsrnet.model import scale_focus

    image = keras.Input((None, None, 128))
    model = keras.Model(image, scale_focus(image, 2, ModelOptions()))
    x = np.random.default_rng(0).normal(0, 1, (2, 9, 11, 128)).astype(np.float32)
    weights = {layer.name: [np.asarray(to_numpy(w.value)) for w in layer.weights] for layer in model.layers}
    z = x.mean(axis=(1, 2))
    s = sigmoid(np.maximum(z @ weights["channel2_reduce"][0], 0) @ weights["channel2_weights"][0])
    focused = x * s[:, None, None]
    kernel, bias = weights["spatial2_weights"]
    padded = np.pad(focused.mean(axis=-1), ((0, 0), (3, 3), (3, 3)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (7, 7), axis=(1, 2))
    spatial = sigmoid(np.einsum("bhwij,ij->bhw", windows, kernel[:, :, 0, 0]) + bias)
    np.testing.assert_allclose(to_numpy(model(x)), focused * spatial[..., None], rtol=1e-4, atol=1e-5)


def test_scales_are_made_of_the_groups_under_equation_6(network: object) -> None:
    import keras

    scores = {stage: network.get_layer(f"score{stage}_enlarge").output for stage in range(2, 6)}  # type: ignore[attr-defined]
    model = keras.Model(network.input, {**{str(s): v for s, v in scores.items()}, **network.output})  # type: ignore[attr-defined]
    outputs = {k: to_numpy(v) for k, v in model(np.random.default_rng(0).uniform(0, 255, (1, 32, 48, 3))).items()}
    listed = [["21", "31", "41", "51"], ["22", "32", "42", "52"], ["33", "43", "53"], ["44", "54"], ["55"]]
    maps = []
    for scale, names in enumerate(listed, 1):
        stack = np.stack([outputs[stage][..., int(channel) - 1] for stage, channel in names], axis=-1)
        kernel, bias = (to_numpy(w) for w in network.get_layer(f"scale{scale}").weights)  # type: ignore[attr-defined]
        maps.append(stack @ kernel[0, 0] + bias)
    expected = np.concatenate(maps, axis=-1)
    np.testing.assert_allclose(outputs["scales"], expected, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(outputs["density"], expected.mean(-1, keepdims=True), rtol=1e-3, atol=1e-6)


def test_the_transposed_convolutions_start_as_bilinear_enlarging() -> None:
    import keras
    from crowd_harness_hsrnet.model import Bilinear

    layer = keras.layers.Conv2DTranspose(2, 8, strides=4, padding="same", kernel_initializer=Bilinear())
    x = np.random.default_rng(0).normal(0, 1, (1, 5, 6, 2)).astype(np.float32)
    expected = to_numpy(keras.layers.UpSampling2D(4, interpolation="bilinear")(x))
    np.testing.assert_allclose(to_numpy(layer(x))[:, 4:-4, 4:-4], expected[:, 4:-4, 4:-4], rtol=1e-4, atol=1e-5)


def linear_enlarge(x: np.ndarray, factor: int, axis: int) -> np.ndarray:
    """Half-pixel linear interpolation along one axis, by np.interp."""
    n = x.shape[axis]
    places = (np.arange(n * factor) + 0.5) / factor - 0.5
    return np.apply_along_axis(lambda row: np.interp(places, np.arange(n), row), axis, x)


def test_the_pyramid_of_ground_truths() -> None:
    from crowd_harness_hsrnet.losses import consistency_targets
    from keras import ops

    target = np.random.default_rng(0).uniform(0, 1, (2, 32, 48, 1)).astype(np.float32)
    pyramid = to_numpy(consistency_targets(ops.convert_to_tensor(target)))
    for level, pool in enumerate((1, 2, 4, 8, 16)):
        for image in range(2):
            blocks = target[image, :, :, 0].reshape(32 // pool, pool, 48 // pool, pool).mean(axis=(1, 3))
            expected = linear_enlarge(linear_enlarge(blocks, pool, 0), pool, 1)
            np.testing.assert_allclose(pyramid[image, :, :, level], expected, rtol=1e-4, atol=1e-5)


def test_losses_by_numpy() -> None:
    from crowd_harness_hsrnet import losses
    from keras.ops import convert_to_tensor as tensor

    generator = np.random.default_rng(0)
    target = generator.uniform(0, 1, (2, 16, 32, 1)).astype(np.float32)
    scales = generator.uniform(0, 1, (2, 16, 32, 5)).astype(np.float32)
    assert float(to_numpy(losses.euclidean(tensor(scales[..., :1]), tensor(target)))) == pytest.approx(
        ((scales[..., :1] - target) ** 2).sum() / (2 * target.size), rel=1e-5
    )
    each = to_numpy(losses.scale_losses(tensor(scales), tensor(target)))
    pyramid = to_numpy(losses.consistency_targets(tensor(target)))
    np.testing.assert_allclose(each, ((scales - pyramid) ** 2).mean(axis=(0, 1, 2)) / 2, rtol=1e-4)
    s = np.array([0.3, -1.0, 0.0, 2.0, 1.0], np.float32)
    expected = (np.exp(-s) * each + s).sum()
    assert float(to_numpy(losses.learned_weighting(tensor(each), tensor(s)))) == pytest.approx(expected, rel=1e-5)


def test_learned_weights_are_least_at_one_over_the_loss() -> None:
    """Unlike Eq. 9 as printed, which has no least value."""
    from crowd_harness_hsrnet.losses import learned_weighting
    from keras.ops import convert_to_tensor as tensor

    each = np.array([0.2, 3.0], np.float32)
    best = float(to_numpy(learned_weighting(tensor(each), tensor(np.log(each)))))
    for change in ([0.3, 0], [-0.3, 0], [0, 0.3], [0, -0.3], [9, 9], [-9, -9]):
        moved = np.log(each) + np.array(change, np.float32)
        assert float(to_numpy(learned_weighting(tensor(each), tensor(moved)))) > best


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_variants_build_and_have_a_finite_loss(variant: str) -> None:
    from keras import ops

    from harness.nn.batch import Batch

    options = ModelOptions(variant=VARIANTS[variant].options, density_scale=100.0)
    network = METHOD.build(options)
    generator = np.random.default_rng(0)
    images = generator.uniform(0, 255, (1, 32, 16, 3)).astype(np.float32)
    points = np.ones((1, 16, 4), np.float32)
    points[..., :2] = generator.uniform(0, 16, (1, 16, 2))
    outputs = network(images)
    assert tuple(outputs["density"].shape) == (1, 32, 16, 1)
    terms = METHOD.loss(Batch(ops.convert_to_tensor(images), ops.convert_to_tensor(points)), outputs, options)
    assert all(np.isfinite(to_numpy(term)) for term in terms.values())
    assert ("scales" in terms) == (
        VARIANTS[variant].options.get("consistency", True) and VARIANTS[variant].options.get("recalibration", True)
    )
    assert ("log_variance" in outputs) == ("scales" in terms and variant != "fixed_weights")
