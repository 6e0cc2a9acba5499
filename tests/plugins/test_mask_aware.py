"""Mask-aware networks: sizes, what each solution is trained on and predicts, and the losses by NumPy."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import keras
import numpy as np
import pytest
from compiled import losses_of, outputs_of, to_numpy
from crowd_harness_mask_aware import METHOD, METHOD_CSR, VARIANTS
from stages_on_trial import paper_epochs

from harness.method import Method, ModelOptions, inference_network
from harness.nn.batch import Batch

pytestmark = pytest.mark.backend
not_again_on_jax = pytest.mark.skipif(
    keras.backend.backend() == "jax",
    reason="tried on two backends; test_agreement has its steps, AT-CNN its stages",
)


def count(network: object, prefix: str) -> int:
    layers = [layer for layer in network.layers if layer.name.startswith(prefix)]  # type: ignore[attr-defined]
    return sum(math.prod(weight.shape) for layer in layers for weight in layer.trainable_weights)


def convolutions(*shapes: tuple[int, int, int]) -> int:
    return sum(a * b * area + b for a, b, area in shapes)


def test_parameters_layer_group_by_layer_group() -> None:
    network = METHOD.build(ModelOptions())

    def unit(c: int) -> int:
        r = 160
        return convolutions(
            (c, 64, 1), (c, r, 1), (r, r, 7), (r, 64, 7), (c, r, 1), *[(r, r, 7)] * 3, (r, 64, 7), (c, 64, 1)
        )

    groups = {prefix: count(network, prefix) for prefix in ("backbone", "inception1", "inception2")}
    assert groups == {
        "backbone": convolutions((1, 64, 9), (64, 64, 9), (64, 128, 9), (128, 128, 9), (128, 128, 9)),
        "inception1": unit(128),
        "inception2": unit(256),
    }
    assert count(network, "mask_") == convolutions((256, 256, 9), (256, 1, 1))
    assert count(network, "feedback") == convolutions((1, 256, 9))
    assert count(network, "regressor") == convolutions((512, 256, 9), (256, 256, 9), (256, 1, 1))
    assert 4_600_000 < network.count_params() == 4_664_514 < 5_100_000


def test_the_vgg_part_is_csrnets() -> None:
    from crowd_harness_csrnet import METHOD as CSRNET

    ours, theirs = METHOD_CSR.build(ModelOptions()), CSRNET.build(ModelOptions())
    assert count(ours, "block") == count(theirs, "block")


def make_batch(side: int = 32) -> Batch:
    from keras import ops

    generator = np.random.default_rng(0)
    points = np.ones((2, 16, 4), np.float32)
    points[..., :2] = generator.uniform(0, side, (2, 16, 2))
    points[..., 2], points[1, 3:, 3] = 4.0, 0.0
    images = generator.uniform(0, 255, (2, side, side, 1)).astype(np.float32)
    return Batch(ops.convert_to_tensor(images), ops.convert_to_tensor(points))


@pytest.mark.parametrize("stride", [1, 4])
def test_the_true_mask_is_blocks_cut_at_the_border(stride: int) -> None:
    from keras import ops

    from harness.nn.targets import head_blocks

    points = np.ones((1, 4, 4), np.float32)
    points[0, :, :2] = [(0.2, 39.9), (20.5, 20.5), (22.0, 20.0), (50.0, 3.0)]
    points[0, 3, 3] = 0  # padding
    batch = Batch(ops.zeros((1, 40, 64, 1)), ops.convert_to_tensor(points))
    full = np.zeros((40, 64))
    for x, y in ((0, 39), (20, 20), (22, 20)):
        full[max(0, y - 7) : y + 8, max(0, x - 7) : x + 8] = 1
    expected = full.reshape(40 // stride, stride, 64 // stride, stride).max(axis=(1, 3))
    np.testing.assert_array_equal(to_numpy(head_blocks(batch, 15, stride))[0, :, :, 0], expected)


def test_the_foreground_is_as_wide_as_the_kernels() -> None:
    """Twice the sigma, twice the side: 15 pixels at sigma 4, 30 at 8, and each head its own."""
    from crowd_harness_mask_aware import teach
    from keras import ops

    points = np.ones((1, 2, 4), np.float32)
    points[0, :, :3] = [(20.5, 20.5, 4.0), (60.5, 40.5, 8.0)]
    batch = Batch(ops.zeros((1, 80, 96, 1)), ops.convert_to_tensor(points))
    full = np.zeros((80, 96))
    full[13:28, 13:28] = 1  # 20.5 ± 7.5
    full[25:56, 45:76] = 1  # 40.5 ± 15 meets pixels 25 to 55, 60.5 ± 15 pixels 45 to 75
    expected = full.reshape(20, 4, 24, 4).max(axis=(1, 3))
    np.testing.assert_array_equal(to_numpy(teach(batch, ModelOptions())["true_mask"])[0, :, :, 0], expected)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_the_focal_loss_by_numpy(gamma: float) -> None:
    from crowd_harness_mask_aware.losses import focal
    from keras import ops

    generator = np.random.default_rng(0)
    logits = np.concatenate([generator.normal(0, 3, 34), [-120, -50, 0, 50, 80, 120]]).reshape(2, 4, 5, 1)
    mask = generator.integers(0, 2, logits.shape)
    signed = np.where(mask == 1, logits, -logits)
    expected = np.exp(-gamma * np.logaddexp(0, signed)) * np.logaddexp(0, -signed)
    tensors = [ops.convert_to_tensor(values.astype(np.float32)) for values in (logits, mask)]
    assert float(to_numpy(focal(*tensors, gamma))) == pytest.approx(expected.mean(), rel=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_confidently_wrong_cells_are_learned_from(gamma: float) -> None:
    """The derivative by the logit, by hand: −1 where a true foreground is given −50, 1 the other way round; 0 where right."""
    from crowd_harness_mask_aware.losses import focal

    start = np.array([[-50.0, 50.0, -120.0, 120.0, 50.0, -120.0, 0.0]], np.float32)
    mask = np.array([[1, 0, 1, 0, 1, 0, 1]], np.float32)
    by_logit = [-1, 1, -1, 1, 0, 0, -(0.5**gamma) * (gamma * 0.5 * math.log(2) + 0.5)]
    source = keras.layers.Embedding(1, start.size, name="source")
    entry = keras.Input((), dtype="int32")
    model = keras.Model(entry, source(entry))
    source.set_weights([start])
    total = float(mask.size)
    model.compile(optimizer=keras.optimizers.SGD(1.0), loss=lambda m, x: total * focal(x, m, gamma), jit_compile=False)
    model.train_on_batch(np.zeros((1,), np.int32), mask)
    np.testing.assert_allclose((start - source.get_weights()[0])[0], by_logit, atol=2e-5)


@pytest.mark.parametrize("method", [METHOD, METHOD_CSR], ids=lambda method: method.name)
def test_both_losses_are_means_over_cells_in_one_unit(method: Method) -> None:
    """By NumPy: of densities in heads a pixel × 100 whatever the stride and the recipe, and of the mask; α = 1."""
    from keras import ops

    batch, side = make_batch(), 32 // method.stride
    generator = np.random.default_rng(1)
    found = {
        "density": generator.uniform(0, 0.2, (2, side, side, 1)).astype(np.float32),
        "auxiliary": generator.uniform(0, 0.2, (2, side, side, 1)).astype(np.float32),
        "mask_logits": generator.normal(0, 2, (2, side, side, 1)).astype(np.float32),
    }
    options = ModelOptions(variant={"gamma": 0.0}, density_scale=7.0)
    tensors = {name: ops.convert_to_tensor(values) for name, values in found.items()}
    terms = losses_of(method, batch, tensors, options)
    target = to_numpy(batch.density(method.stride))
    mask = to_numpy(head_blocks_of(batch, method.stride))
    signed = np.where(mask == 1, found["mask_logits"], -found["mask_logits"]).astype(np.float64)
    expected = {
        name: ((100 * (found[name] - target) / method.stride**2) ** 2).mean() for name in ("density", "auxiliary")
    } | {"mask": np.logaddexp(0, -signed).mean()}
    assert {name: float(to_numpy(term)) for name, term in terms.items()} == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("method", [METHOD, METHOD_CSR], ids=lambda method: method.name)
@pytest.mark.parametrize("density_scale", [1.0, 100.0])
def test_the_last_layer_predicts_heads_a_pixel_times_the_scale(method: Method, density_scale: float) -> None:
    network = method.build(ModelOptions(density_scale=density_scale))
    last = network.get_layer("regressor_output").output
    image = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, method.channels)).astype(np.float32)
    both = keras.Model(network.input, [last, network.output["density"]])
    scaled, density = map(to_numpy, outputs_of(both, image))
    np.testing.assert_allclose(density, scaled * method.stride**2 / density_scale, rtol=1e-5)


def head_blocks_of(batch: Batch, stride: int) -> object:
    from harness.nn.targets import head_blocks

    return head_blocks(batch, 15, stride)


def trained_outputs(variant: str) -> tuple[object, dict[str, object], ModelOptions]:
    options = ModelOptions(variant=VARIANTS[variant].options)
    network = METHOD.build(options)
    batch = make_batch()
    inputs = {"image": batch.image}
    if isinstance(network.input, dict):
        inputs |= METHOD.taught(batch, options)
    outputs = outputs_of(network, inputs if len(inputs) > 1 else batch.image)
    return network, dict(outputs), options


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_every_variant_predicts_without_the_truth(variant: str) -> None:
    """The inference network has the image for its only input, and gives the density of the training network."""
    network, outputs, options = trained_outputs(variant)
    inference = inference_network(network)
    assert len(inference.inputs) == 1 and not isinstance(inference.input, dict)
    again = to_numpy(outputs_of(inference, make_batch().image))
    np.testing.assert_allclose(again, to_numpy(outputs["density"]), rtol=1e-4, atol=1e-6)
    terms = losses_of(METHOD, make_batch(), outputs, options)
    assert ("mask" in terms) == ("baseline" not in variant) and np.isfinite([to_numpy(t) for t in terms.values()]).all()


@pytest.mark.parametrize("variant", ["solution1", "solution4"])
def test_the_true_mask_reaches_the_trained_density_alone(variant: str) -> None:
    from keras import ops

    ones, zeros = ops.ones((2, 8, 8, 1)), ops.zeros((2, 8, 8, 1))
    options = ModelOptions(variant=VARIANTS[variant].options)
    network = METHOD.build(options)
    image = make_batch().image
    with_ones = {k: to_numpy(v) for k, v in outputs_of(network, {"image": image, "true_mask": ones}).items()}
    with_zeros = {k: to_numpy(v) for k, v in outputs_of(network, {"image": image, "true_mask": zeros}).items()}
    np.testing.assert_array_equal(with_ones["density"], with_zeros["density"])
    assert not np.allclose(with_ones["taught"], with_zeros["taught"])
    if variant == "solution1":
        assert not with_zeros["taught"].any()


def test_solutions_1_to_3_multiply() -> None:
    for variant, binary in (("solution1", True), ("solution2", False), ("solution3", True)):
        network, outputs, _ = trained_outputs(variant)
        image = network.input["image"] if isinstance(network.input, dict) else network.input  # type: ignore[attr-defined]
        unmasked = keras.Model(image, network.get_layer("unmasked").output)  # type: ignore[attr-defined]
        logits = to_numpy(outputs["mask_logits"])
        mask = logits > 0 if binary else 1 / (1 + np.exp(-logits))
        expected = to_numpy(outputs_of(unmasked, make_batch().image)) * mask
        np.testing.assert_allclose(to_numpy(outputs["density"]), expected, rtol=1e-3, atol=1e-6, err_msg=variant)


def test_the_straight_through_gradient_is_one() -> None:
    """A dense layer behind the hard mask: the gradient into its input is that of the mask taken as the input itself."""
    from crowd_harness_mask_aware.model import Binary

    start = np.array([[0.2, 0.4, 0.6, 0.9]], np.float32)
    factors = np.array([3.0, -2.0, 5.0, 0.5], np.float32)
    source = keras.layers.Embedding(1, 4, embeddings_initializer=keras.initializers.Constant(0), name="source")
    entry = keras.Input((), dtype="int32")
    hard = Binary()(source(entry))
    model = keras.Model(entry, keras.layers.Dense(1, use_bias=False, trainable=False, name="sum")(hard))
    source.set_weights([start])
    model.get_layer("sum").set_weights([factors[:, None]])
    index = np.zeros((1,), np.int32)
    assert to_numpy(model(index))[0, 0] == pytest.approx(5.5)  # the last two are above 0.5
    model.compile(optimizer=keras.optimizers.SGD(1.0), loss=lambda _, y: keras.ops.sum(y), jit_compile=False)
    model.train_on_batch(index, np.zeros((1, 1), np.float32))
    np.testing.assert_allclose(start - source.get_weights()[0], factors[None], rtol=1e-5)


def test_the_paper_switches_from_adam_to_sgd_before_epoch_11() -> None:
    from harness.training.fit import stage_ends

    ends = stage_ends(METHOD.recipe.stages, 60)
    assert ends == [10, 20, 40, 60]
    assert [stage.optimizer for stage in METHOD.recipe.stages] == ["adam", "sgd", "sgd", "sgd"]
    assert [stage.learning_rate for stage in METHOD.recipe.stages] == [1e-5, 1e-5, 1e-6, 1e-7]


@not_again_on_jax
def test_the_four_stages(tmp_path: Path) -> None:
    """Run for real: every stage has an optimiser of its own, starts where the last ended, and trains the whole network."""
    start, *epochs = paper_epochs("mask_aware", tmp_path, epochs=6)
    assert [epoch.stage for epoch in epochs] == ["adam", "sgd", *["sgd, rate × 0.1"] * 2, *["sgd, rate × 0.01"] * 2]
    assert [epoch.optimizer for epoch in epochs] == ["Adam", "SGD", "SGD", "SGD", "SGD", "SGD"]
    assert all(math.isfinite(epoch.loss) for epoch in epochs)
    steps = [  # how far the output layer went
        max(np.abs(after.weights[path] - before.weights[path]).max() for path in start.weights if "regressor" in path)
        for before, after in itertools.pairwise([start, *epochs])
    ]
    assert steps[0] == pytest.approx(1e-5, rel=0.01)  # Adam's first step is its rate
    assert all(0 < step < 1e-3 for step in steps)  # no jump where the optimiser changes
    layers = {path.split("/")[0] for path in start.weights}
    assert epochs[0].moved(start) == epochs[1].moved(epochs[0]) == layers


def test_sixty_epochs_of_the_papers_crops() -> None:
    """200 crops of each image an epoch, 60 on UCF_CC_50."""
    for benchmark, crops in (("shtech_a", 200), ("shtech_b", 200), ("ucf_cc_50", 60)):
        recipe = METHOD.recipe_for(benchmark)
        assert recipe.epochs * recipe.crops_per_image == 60 * crops
        assert (recipe.crop, recipe.name) == ((160, 192), "paper")


def test_on_vgg_the_optimiser_is_sgd_where_sizes_differ() -> None:
    found = {
        benchmark: [stage.optimizer for stage in METHOD_CSR.recipe_for(benchmark).stages]
        for benchmark in ("shtech_a", "ucf_cc_50", "shtech_b", "worldexpo10")
    }
    assert found == {"shtech_a": ["sgd"], "ucf_cc_50": ["sgd"], "shtech_b": ["adam"], "worldexpo10": ["adam"]}


def test_on_vgg_whole_images_but_sixty_patches_on_ucf_cc_50() -> None:
    """Section III-F: "original images … unless otherwise stated". IV-B: "60 patches from each image to train both methods"."""
    whole, patches = METHOD_CSR.recipe_for("shtech_a"), METHOD_CSR.recipe_for("ucf_cc_50")
    assert (whole.crop, whole.crop_share, whole.crops_per_image, whole.flip) == (None, 1.0, 1, 0.0)
    assert patches.epochs * patches.crops_per_image == 60 * 60 and patches.crop == (160, 192) and patches.flip == 0.0


@not_again_on_jax
@pytest.mark.parametrize("method", [METHOD, METHOD_CSR], ids=lambda method: method.name)
def test_sgd_at_the_papers_rate_is_stable_from_the_start(method: Method) -> None:
    """Steps beyond 2 / curvature of a crop of the paper's size would double the loss, again and again."""
    from harness.training import backend
    from harness.training.network import PointTrainer

    backend.prepare(0)
    options = ModelOptions(density_scale=method.recipe.density_scale)
    generator = np.random.default_rng(0)
    points = np.ones((1, 32, 4), np.float32)
    points[0, :, :2], points[..., 2] = generator.uniform(0, 160, (32, 2)), 4.0
    image = generator.uniform(0, 255, (1, 160, 192, method.channels)).round().astype(np.uint8)
    trainer = PointTrainer(method.build(options), method, options)
    trainer.start(next(stage for stage in method.recipe.stages if stage.optimizer == "sgd"), backend.jit_compile())
    losses = [trainer.train(image, points) for _ in range(5)]
    assert np.isfinite(losses).all() and losses == sorted(losses, reverse=True), losses


@not_again_on_jax
@pytest.mark.parametrize("solution", ["solution1", "solution4"])
def test_solutions_with_the_true_mask_take_a_step_in_half_precision(solution: str) -> None:
    """On TensorFlow the one failed as its loss was computed, the other as its mask was made."""
    from harness.recipe import Stage
    from harness.training import backend
    from harness.training.network import PointTrainer

    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        options, batch = ModelOptions(VARIANTS[solution].options), make_batch()
        trainer = PointTrainer(METHOD.build(options), METHOD, options, ("density", "mask"))
        trainer.start(Stage(), backend.jit_compile())
        measured = trainer.step(to_numpy(batch.image).astype(np.uint8), to_numpy(batch.points))
    finally:
        keras.mixed_precision.set_dtype_policy(before)
    assert all(math.isfinite(value) for value in measured.values()) and measured["density_loss"] > 0
