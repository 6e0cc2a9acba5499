"""CSRNet's sizes, its pretrained part and its input convention."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from crowd_harness_csrnet import METHOD, model

from harness.budgets import BUDGETS, plan
from harness.data.crops import CropSize, shared_size, shares
from harness.errors import HarnessError
from harness.method import ModelOptions
from harness.nn import vgg16
from harness.recipe import COMMON

VGG = (
    (3, 64),
    (64, 64),
    (64, 128),
    (128, 128),
    (128, 256),
    (256, 256),
    (256, 256),
    (256, 512),
    (512, 512),
    (512, 512),
)
DILATED = ((512, 512), (512, 512), (512, 512), (512, 256), (256, 128), (128, 64))


def test_parameters_layer_group_by_layer_group() -> None:
    network = METHOD.build(ModelOptions())
    groups = {"block": 0, "dilated": 0, "output": 0}
    for layer in network.layers:
        for name in groups:
            if layer.name.startswith(name):
                groups[name] += layer.count_params()
    assert groups == {
        "block": sum(9 * a * b + b for a, b in VGG),
        "dilated": sum(9 * a * b + b for a, b in DILATED),
        "output": 65,
    }
    assert network.count_params() == sum(groups.values()) == 16_263_489
    assert [network.get_layer(f"dilated_conv{n}").dilation_rate for n in range(1, 7)] == [(2, 2)] * 6


PAPER_SCALE = METHOD.recipe.density_scale


@pytest.mark.parametrize(
    ("pretrained", "scale", "expected"),
    [("imagenet", PAPER_SCALE, 0.0043), ("imagenet", COMMON.density_scale, 1.0), ("none", PAPER_SCALE, 1.0)],
)
def test_how_much_of_a_signal_the_dilated_layers_hand_on(pretrained: str, scale: float, expected: float) -> None:
    """Each layer of N(0, s²) weights multiplies the second moment by fan-in · s² / 2, He's by 1."""
    import keras

    keras.utils.set_random_seed(0)
    features = keras.Input((None, None, 512))
    names = [str(number) for number in range(6)]
    options = ModelOptions(pretrained=pretrained, density_scale=scale)
    network = keras.Model(features, model.dilated(features, zip(names, model.BACKEND_FILTERS, strict=True), options))
    given = np.maximum(np.random.default_rng(0).normal(size=(1, 40, 40, 512)), 0).astype(np.float32)
    found = keras.ops.convert_to_numpy(network(given))[:, 14:-14, 14:-14]  # clear of the zeros beyond the border
    gain = np.sqrt((found**2).mean() / (given**2).mean())
    assert expected / 2 < gain < 2 * expected


@pytest.mark.backend
def test_the_papers_steps_are_the_official_codes() -> None:
    """Ten steps of recipe `paper` against PyTorch's: the plain sum of squares in heads a cell, its rate, momentum and decay."""
    torch = pytest.importorskip("torch")
    import keras

    from harness.training import backend
    from harness.training.network import PointTrainer

    faster = 1e4  # both rates, to have the decay seen in float32
    image = keras.Input((None, None, 3))
    layer = keras.layers.Conv2D(1, 1, name="output")
    mean = keras.layers.AveragePooling2D(8)(keras.layers.Rescaling(1 / 255)(image))
    trainer = PointTrainer(keras.Model(image, layer(mean)), METHOD, ModelOptions(density_scale=PAPER_SCALE))
    (stage,) = METHOD.recipe.stages
    trainer.start(replace(stage, learning_rate=faster * stage.learning_rate), backend.jit_compile())
    start = np.array([0.5, -2.0, 3.0], np.float32).reshape(1, 1, 3, 1)
    layer.set_weights([start, np.array([0.25], np.float32)])
    pixels = np.random.default_rng(0).integers(0, 256, (1, 16, 24, 3)).astype(np.uint8)
    head = np.array([[[20.0, 4.0, 0.05, 1.0]]], np.float32)  # all of it in the first row's third cell
    target = torch.zeros(1, 1, 2, 3)
    target[0, 0, 0, 2] = 1.0
    inputs = torch.tensor(pixels[0].astype(np.float32) / 255).permute(2, 0, 1)[None]
    theirs = torch.nn.Conv2d(3, 1, 1)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(start).permute(3, 2, 0, 1))
        theirs.bias.fill_(0.25)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=faster * 1e-7, momentum=0.95, weight_decay=5e-4)
    for _ in range(10):
        optimizer.zero_grad()
        loss = torch.nn.MSELoss(reduction="sum")(theirs(torch.nn.functional.avg_pool2d(inputs, 8)), target)
        loss.backward()
        decayed = (
            0.5 * 5e-4 * sum((value.detach() ** 2).sum().item() for value in theirs.parameters())
        )  # part of our loss
        optimizer.step()
        assert trainer.train(pixels, head) == pytest.approx(loss.item() + decayed, rel=1e-4)
    kernel, bias = layer.get_weights()
    np.testing.assert_allclose(kernel[0, 0, :, 0], theirs.weight.detach()[0, :, 0, 0], rtol=1e-5)
    np.testing.assert_allclose(bias, theirs.bias.detach(), rtol=1e-5)


def test_the_papers_epochs_are_the_official_codes() -> None:
    """400 epochs, each of four passes over whole images, one a step; Part B's kernels are fixed, Part A's are not."""
    recipe = METHOD.recipe_for("shtech_a")
    length = plan(recipe, BUDGETS["paper"], 300)
    assert length.epochs * length.steps_per_epoch == 400 * 4 * 300
    assert recipe.crops_per_image == 1 and recipe.flip == 0
    assert recipe.crop is None and shared_size(*shares(recipe), (768, 1020, 3), METHOD.stride) == CropSize(768, 1016)
    close = np.array([[10.0, 10.0], [20.0, 10.0], [30.0, 10.0]])
    assert recipe.sigma.of(close)[1] == pytest.approx(0.3 * 10)
    assert METHOD.recipe_for("shtech_b").sigma.of(close).tolist() == [15, 15, 15]
    assert replace(METHOD.recipe_for("shtech_b"), sigma=recipe.sigma) == recipe


@pytest.fixture
def keras_file(tmp_path: Path) -> Path:
    """VGG-16 weights in the layout of keras.applications: HWIO, BGR, 0–255 less the mean."""
    generator = np.random.default_rng(0)
    path = tmp_path / "vgg16.h5"
    with h5py.File(path, "w") as file:
        inputs = 3
        for name in vgg16.layer_names():
            filters = {"1": 64, "2": 128, "3": 256, "4": 512, "5": 512}[name[5]]
            file[f"{name}/{name}/kernel"] = generator.normal(0, 0.01, (3, 3, inputs, filters)).astype("f4")
            file[f"{name}/{name}/bias"] = generator.normal(0, 0.01, filters).astype("f4")
            inputs = filters
    return path


def test_pretrained_weights_keep_their_function(keras_file: Path) -> None:
    """Our first convolution on normalised RGB is the file's on BGR less its mean × a power of two, away from the border."""
    import keras

    network = METHOD.build(ModelOptions(pretrained=str(keras_file)))
    image = np.random.default_rng(1).integers(0, 255, (1, 16, 16, 3)).astype(np.float32)
    first = keras.Model(network.input, network.get_layer("block1_conv1").output)
    ours = np.asarray(first(image))[0, 2:-2, 2:-2]
    with h5py.File(keras_file) as file:
        kernel = file["block1_conv1/block1_conv1/kernel"][()].astype(float)
        bias = file["block1_conv1/block1_conv1/bias"][()].astype(float)
        second = file["block2_conv1/block2_conv1/kernel"][()]
    bgr = image[0, :, :, ::-1] - np.array([103.939, 116.779, 123.68])  # as `keras.applications` preprocesses for VGG
    windows = np.lib.stride_tricks.sliding_window_view(bgr, (3, 3), axis=(0, 1))[1:-1, 1:-1]
    expected = np.maximum(np.einsum("hwcij,ijco->hwo", windows, kernel) + bias, 0)
    power = 2.0 ** np.round(np.log2(expected.sum() / ours.sum()))
    np.testing.assert_allclose(ours * power, expected, rtol=1e-3, atol=1e-3)
    found = network.get_layer("block2_conv1").get_weights()[0]
    np.testing.assert_array_equal(found, second * (found[0, 0, 0, 0] / second[0, 0, 0, 0]))


def test_pretrained_files_that_do_not_fit_are_named(tmp_path: Path, keras_file: Path) -> None:
    with pytest.raises(HarnessError, match=r"gone\.h5: no such file"):
        vgg16.check(str(tmp_path / "gone.h5"))
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(HarnessError, match="not an HDF5 file"):
        vgg16.check(str(tmp_path / "text.h5"))
    with h5py.File(keras_file, "a") as file:
        del file["block3_conv2"]
    with pytest.raises(HarnessError, match="no weights for block3_conv2"):
        vgg16.check(str(keras_file))


@pytest.mark.parametrize("pretrained", [False, True])
def test_layers_of_one_shape_start_apart_and_follow_the_seed(pretrained: bool) -> None:
    """The paper's own start, N(0, 0.01) behind a pretrained front, and He's."""
    import keras
    from crowd_harness_csrnet import model

    options = ModelOptions(pretrained="somewhere" if pretrained else "none", density_scale=64.0)
    kernels = []
    for seed in (0, 0, 1):
        keras.utils.set_random_seed(seed)
        features = keras.Input((None, None, 512))
        network = keras.Model(features, model.dilated(features, [("a", 512), ("b", 512)], options))
        kernels.append([keras.ops.convert_to_numpy(network.get_layer(name).kernel) for name in "ab"])
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[0][0], kernels[0][1])
    assert not np.array_equal(kernels[0][0], kernels[2][0])
