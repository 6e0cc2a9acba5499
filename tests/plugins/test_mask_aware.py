"""Mask-aware networks: sizes, what each solution is trained on and predicts, and the losses by NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from crowd_harness_mask_aware import METHOD, METHOD_CSR, VARIANTS

from harness.method import ModelOptions, inference_network
from harness.nn.batch import Batch

pytestmark = pytest.mark.backend


def to_numpy(value: object) -> np.ndarray:
    from keras import ops

    return ops.convert_to_numpy(value)


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


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_the_focal_loss_by_numpy(gamma: float) -> None:
    from crowd_harness_mask_aware.losses import focal
    from keras import ops

    generator = np.random.default_rng(0)
    p = generator.uniform(0.05, 0.95, (2, 4, 5, 1)).astype(np.float32)
    mask = generator.integers(0, 2, p.shape).astype(np.float32)
    expected = np.where(mask == 1, -((1 - p) ** gamma) * np.log(p), -(p**gamma) * np.log(1 - p)).mean()
    found = focal(ops.convert_to_tensor(p), ops.convert_to_tensor(mask), gamma)
    assert float(to_numpy(found)) == pytest.approx(expected, rel=1e-4)


def outputs_of(variant: str) -> tuple[object, dict[str, object], ModelOptions]:
    options = ModelOptions(variant=VARIANTS[variant].options)
    network = METHOD.build(options)
    batch = make_batch()
    inputs = {"image": batch.image}
    if isinstance(network.input, dict):
        inputs |= METHOD.taught(batch, options)
    outputs = network(inputs if len(inputs) > 1 else batch.image)
    return network, dict(outputs), options


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_every_variant_predicts_without_the_truth(variant: str) -> None:
    """The inference network has the image for its only input, and gives the density of the training network."""
    network, outputs, options = outputs_of(variant)
    inference = inference_network(network)
    assert len(inference.inputs) == 1 and not isinstance(inference.input, dict)
    again = to_numpy(inference(make_batch().image))
    np.testing.assert_allclose(again, to_numpy(outputs["density"]), rtol=1e-4, atol=1e-6)
    terms = METHOD.loss(make_batch(), outputs, options)
    assert ("mask" in terms) == ("baseline" not in variant) and np.isfinite([to_numpy(t) for t in terms.values()]).all()


@pytest.mark.parametrize("variant", ["solution1", "solution4"])
def test_the_true_mask_reaches_the_trained_density_alone(variant: str) -> None:
    from keras import ops

    ones, zeros = ops.ones((2, 8, 8, 1)), ops.zeros((2, 8, 8, 1))
    options = ModelOptions(variant=VARIANTS[variant].options)
    network = METHOD.build(options)
    image = make_batch().image
    with_ones = {k: to_numpy(v) for k, v in network({"image": image, "true_mask": ones}).items()}
    with_zeros = {k: to_numpy(v) for k, v in network({"image": image, "true_mask": zeros}).items()}
    np.testing.assert_array_equal(with_ones["density"], with_zeros["density"])
    assert not np.allclose(with_ones["taught"], with_zeros["taught"])
    if variant == "solution1":
        assert not with_zeros["taught"].any()


def test_solutions_1_to_3_multiply() -> None:
    import keras

    for variant, binary in (("solution1", True), ("solution2", False), ("solution3", True)):
        network, outputs, _ = outputs_of(variant)
        image = network.input["image"] if isinstance(network.input, dict) else network.input  # type: ignore[attr-defined]
        unmasked = keras.Model(image, network.get_layer("unmasked").output)  # type: ignore[attr-defined]
        mask = to_numpy(outputs["mask"])
        mask = mask > 0.5 if binary else mask
        expected = to_numpy(unmasked(make_batch().image)) * mask
        np.testing.assert_allclose(to_numpy(outputs["density"]), expected, rtol=1e-3, atol=1e-6, err_msg=variant)


def test_the_straight_through_gradient_is_one() -> None:
    """A dense layer behind the hard mask: the gradient into its input is that of the mask taken as the input itself."""
    import keras
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


def test_the_paper_switches_from_adam_to_sgd_at_epoch_11() -> None:
    from harness.training.fit import stage_ends

    ends = stage_ends(METHOD.recipe.stages, 60)
    assert ends == [11, 20, 40, 60]
    assert [stage.optimizer for stage in METHOD.recipe.stages] == ["adam", "sgd", "sgd", "sgd"]
    assert [stage.learning_rate for stage in METHOD.recipe.stages] == [1e-5, 1e-5, 1e-6, 1e-7]
