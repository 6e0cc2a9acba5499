"""AT-CNN: sizes, targets and losses by NumPy, what each variant trains, the three stages."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from compiled import losses_of, outputs_of, to_numpy
from crowd_harness_at_cnn import METHOD_CFCN, METHOD_CSRNET, UNIT
from stages_on_trial import paper_epochs

from harness.method import Method, ModelOptions, inference_network
from harness.nn.batch import Batch

pytestmark = pytest.mark.backend
METHODS = {method.name: method for method in (METHOD_CFCN, METHOD_CSRNET)}


def options_of(method: Method, variant: str) -> ModelOptions:
    return ModelOptions(variant=method.variants[variant].options if variant else {}, density_scale=100.0)


def count(network: Any, prefix: str) -> int:
    layers = [layer for layer in network.layers if layer.name.startswith(prefix)]
    return sum(math.prod(weight.shape) for layer in layers for weight in layer.trainable_weights)


def convolutions(*shapes: tuple[int, int, int]) -> int:
    return sum(a * b * area + b for a, b, area in shapes)


def test_what_predicts_is_csrnet_weight_for_weight() -> None:
    from crowd_harness_csrnet import METHOD as CSRNET

    theirs, ours = CSRNET.build(ModelOptions()), METHOD_CSRNET.build(ModelOptions())
    inference = inference_network(ours)
    assert inference.count_params() == 16_263_489
    shapes = [{weight.path: tuple(weight.shape) for weight in each.weights} for each in (theirs, inference)]
    assert shapes[0] == shapes[1]
    inference.set_weights(theirs.get_weights())
    image = np.random.default_rng(0).uniform(0, 255, (1, 40, 56, 3)).astype(np.float32)
    # CSRNet's last layer predicts heads a pixel × density_scale (1 here), this one's heads per 640 pixels.
    np.testing.assert_allclose(
        to_numpy(outputs_of(inference, image)) * UNIT, to_numpy(outputs_of(theirs, image)), rtol=1e-4, atol=1e-7
    )


@pytest.mark.parametrize("scale", [1.0, 100.0, 640.0])
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_the_last_layer_predicts_heads_per_640_pixels_under_every_recipe(method: Method, scale: float) -> None:
    """1 everywhere is as many heads as the image has times 640 pixels; λ must not depend on the recipe's density_scale."""
    network = inference_network(method.build(ModelOptions(density_scale=scale)))
    last = network.get_layer("output" if method is METHOD_CSRNET else "density_output")
    last.set_weights([np.zeros_like(last.get_weights()[0]), np.ones(1, np.float32)])
    density = to_numpy(outputs_of(network, np.zeros((1, 64, 80, 3), np.float32)))
    assert density.sum() == pytest.approx(64 * 80 / UNIT, rel=1e-5)


def test_parameters_of_the_light_network() -> None:
    network = METHOD_CFCN.build(ModelOptions())
    decoder = convolutions((128, 64, 25), (64, 32, 1), (32, 1, 1))
    assert count(network, "encoder") == convolutions((3, 32, 49), (32, 64, 49), (64, 128, 25))
    for task in ("density", "depth", "segment"):
        assert count(network, task) == decoder
    assert count(network, "count") == convolutions((128, 64, 49), (64, 32, 1), (32, 1, 1))


def test_parameters_of_the_auxiliary_decoders_on_csrnet() -> None:
    network = METHOD_CSRNET.build(ModelOptions())
    for task in ("depth", "segment"):
        assert count(network, task) == convolutions((512, 256, 9), (256, 128, 9), (128, 64, 9), (64, 1, 1))
    assert count(network, "count") == convolutions(
        (512, 512, 49), (512, 256, 1), (256, 128, 1), (128, 64, 1), (64, 1, 1)
    )


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="names and shapes of weights; nothing is computed")
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_every_variant_predicts_with_the_base_network(method: Method) -> None:
    base = inference_network(method.build(options_of(method, "base")))
    shapes = [(weight.path, tuple(weight.shape)) for weight in base.weights]
    for variant in ("", *method.variants):
        network = method.build(options_of(method, variant))
        inference = inference_network(network)
        assert [(weight.path, tuple(weight.shape)) for weight in inference.weights] == shapes
        assert (len(network.weights) == len(inference.weights)) == (variant == "base")


def test_the_enlarging_is_bilinear_and_fixed() -> None:
    from keras import ops

    layer = METHOD_CFCN.build(ModelOptions()).get_layer("density_enlarge1")
    assert not layer.weights
    ramp = np.arange(6, dtype=np.float32)[None, None, :, None] * np.ones((1, 3, 1, 32), np.float32)
    found = to_numpy(layer(ops.convert_to_tensor(ramp)))
    assert found.shape == (1, 6, 12, 32)
    np.testing.assert_allclose(found[0, 2, 1:-1, 7], (np.arange(1, 11) + 0.5) / 2 - 0.5, atol=1e-5)


def make_batch(side: int = 64) -> Batch:
    from keras import ops

    generator = np.random.default_rng(0)
    points = np.ones((2, 16, 4), np.float32)
    points[..., :2] = generator.uniform(0, side, (2, 16, 2))
    points[..., 2], points[1, 3:, 3] = 4.0, 0.0
    images = generator.uniform(0, 255, (2, side, side, 3)).astype(np.float32)
    depth = generator.uniform(0, 1, (2, side, side, 1)).astype(np.float32)
    return Batch(ops.convert_to_tensor(images), ops.convert_to_tensor(points), {"depth": ops.convert_to_tensor(depth)})


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_the_losses_by_numpy(method: Method) -> None:
    """Eq. 1–5 with λ 1, 0.6, 0.04, 1, densities and counts in heads per 640 pixels."""
    batch, options, s = make_batch(), options_of(method, ""), method.stride
    network = method.build(options)
    outputs = outputs_of(network, batch.image)
    found = {name: float(to_numpy(term)) for name, term in losses_of(method, batch, outputs, options).items()}
    own = {name: to_numpy(value).astype(float) for name, value in outputs.items()}
    density = to_numpy(batch.density(s)).astype(float)
    mask = (density / s**2 >= 0.1 / (2 * np.pi * 4.0**2)).astype(float)  # a tenth of the peak of sigma 4
    assert 0.05 < mask.mean() < 0.95
    depth = to_numpy(batch.maps["depth"]).reshape(2, 64 // s, s, 64 // s, s, 1).mean(axis=(2, 4)) * mask
    chance = 1 / (1 + np.exp(-own["segment"]))
    counts = np.array([16, 3]) * UNIT / 64**2
    assert own["count"].shape == (2,)
    assert found == pytest.approx(
        {
            "density": ((UNIT / s**2) ** 2 * (own["density"] - density) ** 2).mean(),
            "segment": 0.04 * -(mask * np.log(chance) + (1 - mask) * np.log(1 - chance)).mean(),
            "depth": 0.6 * ((own["depth"] - depth) ** 2).mean(),
            "count": 1.0 * ((own["count"] - counts) ** 2).mean(),
        },
        rel=1e-3,
    )


@pytest.mark.parametrize(
    ("variant", "tasks"),
    [
        ("base", set()),
        ("de", {"depth"}),
        ("se", {"segment"}),
        ("ct", {"count"}),
        ("de+se", {"depth", "segment"}),
        ("de+ct", {"depth", "count"}),
        ("se+ct", {"segment", "count"}),
        ("", {"depth", "segment", "count"}),
        ("depth_files", {"depth", "segment", "count"}),
    ],
)
def test_the_rows_of_tables_2_and_3(variant: str, tasks: set[str]) -> None:
    for method in METHODS.values():
        options = options_of(method, variant)
        needs = method.maps(options)
        assert set(needs) == tasks & {"depth"}
        batch = make_batch()
        batch = replace(batch, maps={name: batch.maps[name] for name in needs})
        terms = losses_of(method, batch, outputs_of(method.build(options), batch.image), options)
        assert set(terms) == {"density", *tasks}


def test_the_provider_is_the_variants() -> None:
    sources = {
        variant: METHOD_CSRNET.maps(options_of(METHOD_CSRNET, variant))["depth"].source
        for variant in ("", "de", "depth_files", "depth_perspective")
    }
    assert sources == {
        "": "head_spacing",
        "de": "head_spacing",
        "depth_files": "files",
        "depth_perspective": "perspective",
    }


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_the_papers_crops(method: Method) -> None:
    """Section 5.1."""
    sides = {name: method.recipe_for(name).crop for name in ("shtech_a", "shtech_b", "worldexpo10", "mall")}
    assert sides == {"shtech_a": 224, "shtech_b": 224, "worldexpo10": 256, "mall": 160}
    for recipe in (method.recipe, *method.recipes.values()):
        assert replace(recipe, crop=64) == replace(method.recipe, crop=64)
        assert recipe.density_scale == UNIT


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_the_checkpoint_is_one_of_the_joint_stage(method: Method) -> None:
    """The first two stages know no auxiliary task, or leave the base network alone."""
    assert [(stage.name, stage.selects) for stage in method.recipe.stages] == [
        ("base", False),
        ("auxiliary", False),
        ("joint", True),
    ]


def test_two_steps_of_the_recipe_are_pytorchs_sgd() -> None:
    """Momentum and weight decay, on a network of one convolution; the rate is raised so that the decay can be seen."""
    torch = pytest.importorskip("torch")
    import keras

    from harness.training import backend
    from harness.training.network import PointTrainer

    def build(options: ModelOptions) -> Any:
        image = keras.Input((None, None, 3))
        x = keras.layers.Rescaling(1 / 255)(image)
        return keras.Model(image, keras.layers.Conv2D(1, 1, name="output")(x))

    def loss(batch: Batch, outputs: Any, options: ModelOptions) -> dict[str, Any]:
        return {"density": keras.ops.mean(keras.ops.square(outputs["density"] - batch.density(1)))}

    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (2, 16, 16, 3)).astype(np.uint8)
    points = np.ones((2, 4, 4), np.float32)
    points[..., :2] = generator.uniform(0, 16, (2, 4, 2))
    for stage in METHOD_CSRNET.recipe.stages[::2]:
        method = Method("toy", "toy", "toy", build, loss, METHOD_CSRNET.recipe, stride=1)
        trainer = PointTrainer(build(ModelOptions()), method, ModelOptions())
        kernel, bias = (torch.tensor(weights, requires_grad=True) for weights in trainer.network.get_weights())
        rate = 0.5
        optimizer = torch.optim.SGD([kernel, bias], lr=rate, momentum=0.9, weight_decay=5e-4)
        target = torch.tensor(np.array(to_numpy(Batch(images, keras.ops.convert_to_tensor(points)).density(1))))
        trainer.start(replace(stage, learning_rate=rate), backend.jit_compile())
        for _ in range(2):
            trainer.train(images, points)
            optimizer.zero_grad()
            predicted = torch.tensor(images / 255.0, dtype=torch.float32) @ kernel[0, 0] + bias
            ((predicted - target) ** 2).mean().backward()
            optimizer.step()
        found = trainer.network.get_weights()
        np.testing.assert_allclose(found[0], kernel.detach().numpy(), rtol=2e-6, atol=1e-6)
        np.testing.assert_allclose(found[1], bias.detach().numpy(), rtol=2e-6, atol=1e-6)


def test_the_three_stages(tmp_path: Path) -> None:
    """Run for real: the first stage leaves the auxiliary decoders alone, the second everything else, the third nothing."""
    start, *epochs = paper_epochs("at_cfcn", tmp_path, epochs=6)
    moved = [after.moved(before) for before, after in itertools.pairwise([start, *epochs])]
    assert [epoch.stage for epoch in epochs] == ["base", "base", "auxiliary", "joint", "joint", "joint"]
    layers = {path.split("/")[0] for path in start.weights}
    auxiliary = {name for name in layers if name.startswith(("segment", "depth", "count"))}
    base = layers - auxiliary
    assert auxiliary and base
    assert moved[2] <= auxiliary and {"segment_output", "depth_output", "count_output"} <= moved[2]
    assert moved[0] | moved[1] == base
    assert moved[3] | moved[4] | moved[5] >= base | {"segment_output", "depth_output", "count_output"}
