"""HSRNet's modules and losses against NumPy and SciPy written from the paper's equations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from compiled import computed, losses_of, outputs_of, to_numpy
from crowd_harness_hsrnet import METHOD, VARIANTS
from crowd_harness_hsrnet.model import GROUPS

from harness.method import ModelOptions, inference_network

pytestmark = pytest.mark.backend


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
        "log_variance": 6,
    }
    assert sum(groups.values()) == network.count_params()  # type: ignore[attr-defined]
    inference = inference_network(network)
    assert inference.count_params() == network.count_params() - 6  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [(16, 48), (64, 32)])
def test_shapes(network: object, size: tuple[int, int]) -> None:
    outputs = outputs_of(network, np.zeros((2, *size, 3), np.float32))
    assert tuple(outputs["density"].shape) == (2, *size, 1)
    assert tuple(outputs["scales"].shape) == (2, *size, 5)
    assert tuple(outputs["log_variance"].shape) == (2, 6)


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
    np.testing.assert_allclose(to_numpy(outputs_of(model, x)), focused * spatial[..., None], rtol=1e-4, atol=1e-5)


def test_scales_are_made_of_the_groups_under_equation_6(network: object) -> None:
    import keras

    scores = {stage: network.get_layer(f"score{stage}_enlarge").output for stage in range(2, 6)}  # type: ignore[attr-defined]
    model = keras.Model(network.input, {**{str(s): v for s, v in scores.items()}, **network.output})  # type: ignore[attr-defined]
    image = np.random.default_rng(0).uniform(0, 255, (1, 32, 48, 3))
    outputs = {name: to_numpy(value) for name, value in outputs_of(model, image).items()}
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

    target = np.random.default_rng(0).uniform(0, 1, (2, 32, 48, 1)).astype(np.float32)
    pyramid = computed(consistency_targets, target)
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


def test_the_loss_weighs_the_final_map_and_every_scale_with_learned_weights() -> None:
    """In units of scaled density, by NumPy."""
    from keras import ops

    from harness.nn.batch import Batch

    generator = np.random.default_rng(0)
    options = ModelOptions(density_scale=100.0)
    points = np.full((1, 16, 4), 8.0, np.float32)
    batch = Batch(ops.zeros((1, 16, 32, 3)), ops.convert_to_tensor(points))
    target = 100 * to_numpy(batch.density(1)).astype(float)
    s = generator.normal(0, 1, 6).astype(np.float32)
    outputs = {
        "density": ops.convert_to_tensor(generator.uniform(0, 0.01, (1, 16, 32, 1)).astype(np.float32)),
        "scales": ops.zeros((1, 16, 32, 5)),
        "log_variance": ops.convert_to_tensor(s[None]),
    }
    terms = {name: float(to_numpy(term)) for name, term in losses_of(METHOD, batch, outputs, options).items()}
    final = 0.5 * ((100 * to_numpy(outputs["density"]) - target) ** 2).mean()
    assert terms["density"] == pytest.approx(np.exp(-s[0]) * final + s[0], rel=1e-4)
    blocks = [target[0, :, :, 0].reshape(16 // p, p, 32 // p, p).mean(axis=(1, 3)) for p in (1, 2, 4, 8, 16)]
    pyramid = [
        linear_enlarge(linear_enlarge(block, p, 0), p, 1) for block, p in zip(blocks, (1, 2, 4, 8, 16), strict=True)
    ]
    each = np.array([0.5 * (level**2).mean() for level in pyramid])
    assert terms["scales"] == pytest.approx((np.exp(-s[1:]) * each + s[1:]).sum(), rel=1e-4)


def test_scales_learn_nothing_outside_a_region() -> None:
    """Section 4.2: they do not work there. Pooling carries a head beside the border beyond it."""
    from keras import ops

    from harness.nn.batch import Batch

    region = np.zeros((1, 16, 32, 1), np.float32)
    region[:, :, :16] = 1
    batch = Batch(
        ops.zeros((1, 16, 32, 3)),
        ops.convert_to_tensor(np.array([[[15.5, 8.0, 2.0, 1.0]]], np.float32)),
        {"region": ops.convert_to_tensor(region)},
    )
    options = ModelOptions(density_scale=100.0, variant=METHOD.variants["fixed_weights"].options)
    scales = np.random.default_rng(0).uniform(0, 0.1, (1, 16, 32, 5)).astype(np.float32)

    def loss(given: np.ndarray) -> float:
        outputs = {"density": ops.zeros((1, 16, 32, 1)), "scales": ops.convert_to_tensor(given)}
        return float(to_numpy(losses_of(METHOD, batch, outputs, options)["scales"]))

    outside, inside = scales.copy(), scales.copy()
    outside[:, :, 16:], inside[:, :, :16] = 9.0, 9.0
    assert loss(outside) == pytest.approx(loss(scales), rel=1e-6) and loss(inside) > 2 * loss(scales)


def log_variances(network: object, value: float) -> float:
    """−ln λ where the layer's own variable is `value`."""
    layer = network.get_layer("log_variance")  # type: ignore[attr-defined]
    layer.set_weights([np.full_like(layer.get_weights()[0], value)])
    outputs = outputs_of(network, np.zeros((1, 16, 16, 3), np.float32))
    return float(to_numpy(outputs["log_variance"])[0, 0])


@pytest.mark.parametrize("pretrained", ["none", "imagenet"])
@pytest.mark.parametrize("logarithm", [-9.0, -6.0, -2.0])
def test_adam_brings_the_learned_weights_to_one_over_the_loss(
    network: object, logarithm: float, pretrained: str
) -> None:
    """Adam by its equations, on a loss of exp(logarithm): 6,000 steps of `common`, as `standard` has them."""
    from harness.recipe import COMMON, FINE_TUNING
    from harness.training.network import learning_rate

    stage, steps = (COMMON if pretrained == "none" else FINE_TUNING).stages[0], 6000
    start, reach = log_variances(network, 0.0), log_variances(network, 0.01) * 100 - log_variances(network, 0.0) * 100
    value = first = second = 0.0
    for step in range(1, steps + 1):
        gradient = reach * (1 - math.exp(logarithm - (start + reach * value)))
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        rate = learning_rate(stage, step - 1, steps, 0)
        value -= rate * (first / (1 - 0.9**step)) / (math.sqrt(second / (1 - 0.999**step)) + 1e-7)
    log_variances(network, 0.0)
    assert start + reach * value == pytest.approx(logarithm, abs=0.1)


def test_the_record_gets_the_weights_of_equation_9(network: object) -> None:
    """Relative to the final map's own, which Eq. 9 has as 1."""
    layer = network.get_layer("log_variance")  # type: ignore[attr-defined]
    before = layer.get_weights()
    assert METHOD.learned(network) == {f"lambda{i}": 1.0 for i in range(1, 6)}  # type: ignore[misc]
    layer.set_weights([np.array([0.01, 0.0, 0.01, 0.02, -0.01, 0.03], np.float32)])
    s = to_numpy(outputs_of(network, np.zeros((1, 16, 16, 3), np.float32))["log_variance"])[0]
    found = METHOD.learned(network)  # type: ignore[misc]
    assert found == pytest.approx({f"lambda{i}": math.exp(s[0] - s[i]) for i in range(1, 6)}, rel=1e-4)
    assert found["lambda1"] > 1 > found["lambda3"]
    layer.set_weights(before)
    fixed = METHOD.build(ModelOptions(variant=VARIANTS["fixed_weights"].options))
    assert METHOD.learned(fixed) == {}  # type: ignore[misc]


def test_the_papers_recipe() -> None:
    """Section 4.1 mirrors nothing; section 4.2 crops TRANCOS otherwise, at 115 pixels (the network wants multiples of 16)."""
    recipe, trancos = METHOD.recipe, METHOD.recipe_for("trancos")
    assert (recipe.flip, recipe.scales, recipe.crop_share, recipe.density_scale) == (0.0, (0.8, 1.2), 0.5, 100.0)
    assert (trancos.crop, trancos.sigma.neighbours, trancos.flip) == (112, 0, 0.0)
    assert METHOD.recipe_for("shtech_a") == recipe


@pytest.mark.parametrize(("stage", "channels", "ratio"), [(2, 128, 64), (2, 128, 128), (3, 256, 64)])
def test_channel_focus_never_starts_dead(stage: int, channels: int, ratio: int) -> None:
    """On features behind a ReLU every hidden unit is on, so that the focus and its gradients depend on the image."""
    import keras
    from crowd_harness_hsrnet.model import channel_focus

    generator = np.random.default_rng(0)
    features = np.maximum(generator.normal(0, 1, (4, 5, 5, channels)), 0).astype(np.float32)
    for seed in range(50):
        keras.utils.set_random_seed(seed)
        image = keras.Input((None, None, channels))
        model = keras.Model(image, channel_focus(image, stage, ratio))
        reduce, weights = (model.get_layer(f"channel{stage}_{name}").get_weights()[0] for name in ("reduce", "weights"))
        hidden = features.mean(axis=(1, 2)) @ reduce
        assert hidden.shape == (4, channels // ratio) and (hidden > 0).all(), seed
        assert np.abs(hidden @ weights).max() < 3, seed  # nor saturated
        # A quarter of the 0.03 that a weight of `common` can travel behind published weights, all of it downwards.
        assert (features.mean(axis=(1, 2)) @ (reduce - 0.0075) > 0).all(), seed


def spread(network: object, *names: str) -> float:
    kernels = [network.get_layer(name).get_weights()[0].ravel() for name in names]  # type: ignore[attr-defined]
    return float(np.sqrt(np.mean(np.concatenate(kernels) ** 2)))


def test_behind_pretrained_layers_the_rest_starts_as_the_paper_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Section 4.1: ten convolutions from VGG-16, the others from N(0, 0.01) – but for those that start as means."""
    from harness.nn import vgg16, vgg_weights

    sides = {1: 64, 2: 128, 3: 256, 4: 512, 5: 512}
    given, inputs = {}, 3
    for name in vgg16.layer_names():
        outputs = sides[int(name[5])]
        given[name] = (np.full((3, 3, inputs, outputs), 0.5, np.float32), np.zeros(outputs, np.float32))
        inputs = outputs
    monkeypatch.setattr(vgg_weights, "imagenet", lambda vgg: given)
    network = METHOD.build(ModelOptions(pretrained="imagenet"))
    names = vgg16.layer_names()
    assert all(spread(network, name) == 0.5 for name in names[:10])
    assert spread(network, *names[10:]) == pytest.approx(0.01, rel=0.01)
    assert spread(network, *[f"score{stage}" for stage in range(2, 6)]) == pytest.approx(0.01, rel=0.1)
    assert spread(network, *[f"spatial{stage}_weights" for stage in range(2, 6)]) == pytest.approx(0.01, rel=0.2)
    for name, members in (("scale1", 4), ("scale2", 4), ("scale3", 3), ("scale4", 2), ("scale5", 1), ("fuse", 5)):
        kernel = network.get_layer(name).get_weights()[0]
        assert kernel.shape == (1, 1, members, 1) and np.allclose(kernel, 1 / members), name


def test_the_start_follows_the_seed_and_differs_from_layer_to_layer() -> None:
    import keras

    kernels = []
    for seed in (0, 0, 1):
        keras.utils.set_random_seed(seed)
        network = METHOD.build(ModelOptions())
        kernels.append([network.get_layer(f"spatial{stage}_weights").get_weights()[0] for stage in (2, 3)])
    assert np.array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[0][0], kernels[2][0]) and not np.array_equal(kernels[0][0], kernels[0][1])


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
    outputs = outputs_of(network, images)
    assert tuple(outputs["density"].shape) == (1, 32, 16, 1)
    batch = Batch(ops.convert_to_tensor(images), ops.convert_to_tensor(points))
    terms = losses_of(METHOD, batch, outputs, options)
    assert all(np.isfinite(to_numpy(term)) for term in terms.values())
    assert ("scales" in terms) == (
        VARIANTS[variant].options.get("consistency", True) and VARIANTS[variant].options.get("recalibration", True)
    )
    assert ("log_variance" in outputs) == ("scales" in terms and variant != "fixed_weights")
