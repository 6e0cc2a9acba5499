"""MCNN layer by layer against SciPy, and the published weights."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from crowd_harness_mcnn import METHOD
from crowd_harness_mcnn.checkpoint import read
from scipy.signal import correlate2d

from harness.budgets import BUDGETS, plan
from harness.data.crops import CropSize, shared_size, shares
from harness.errors import HarnessError
from harness.host.plugins import load_host
from harness.method import ModelOptions
from harness.recipe import COMMON
from harness.training.weights import load_network

KERNELS = ((9, 7, 7, 7), (7, 5, 5, 5), (5, 3, 3, 3))
FILTERS = ((16, 32, 16, 8), (20, 40, 20, 10), (24, 48, 24, 12))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A file in the published format with small random weights."""
    generator = np.random.default_rng(5)
    path = tmp_path / "published.h5"

    def convolution(file: h5py.File, key: str, out: int, inputs: int, size: int) -> None:
        file[f"{key}.conv.weight"] = generator.normal(0, 1 / np.sqrt(inputs) / size, (out, inputs, size, size)).astype(
            "f4"
        )
        file[f"{key}.conv.bias"] = generator.normal(0.05, 0.05, out).astype("f4")

    with h5py.File(path, "w") as file:
        for branch, (kernels, filters) in enumerate(zip(KERNELS, FILTERS, strict=True), 1):
            inputs = 1
            for position, kernel, out in zip((0, 2, 4, 5), kernels, filters, strict=True):
                convolution(file, f"DME.branch{branch}.{position}", out, inputs, kernel)
                inputs = out
        convolution(file, "DME.fuse.0", 1, 30, 1)
    return path


def convolve(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """OIHW cross-correlation with zero padding, then ReLU; x is [channels, H, W]."""
    maps = [
        sum(correlate2d(channel, weights, mode="same") for channel, weights in zip(x, filters, strict=True)) + offset
        for filters, offset in zip(kernel, bias, strict=True)
    ]
    return np.maximum(np.stack(maps), 0)


def pool(x: np.ndarray) -> np.ndarray:
    channels, height, width = x.shape
    return x.reshape(channels, height // 2, 2, width // 2, 2).max(axis=(2, 4))


def oracle(file: h5py.File, image: np.ndarray) -> dict[str, np.ndarray]:
    """Every layer of the published network in float64 on raw grey values."""
    layers, columns = {}, []
    for branch in (1, 2, 3):
        x = image[None].astype(float)
        for number, position in enumerate((0, 2, 4, 5), 1):
            key = f"DME.branch{branch}.{position}.conv"
            x = convolve(x, file[f"{key}.weight"][()].astype(float), file[f"{key}.bias"][()].astype(float))
            layers[f"column{branch}_conv{number}"] = x
            if number <= 2:
                x = pool(x)
        columns.append(x)
    fuse = "DME.fuse.0.conv"
    layers["fuse"] = convolve(np.concatenate(columns), file[f"{fuse}.weight"][()], file[f"{fuse}.bias"][()])
    return layers


@pytest.mark.backend
def test_every_layer_equals_scipy(checkpoint: Path) -> None:
    import keras

    network = load_network(load_host(), METHOD, checkpoint)
    image = np.random.default_rng(0).integers(0, 255, (24, 32)).astype(np.float32)
    with h5py.File(checkpoint) as file:
        expected = oracle(file, image)
    outputs = {name: network.get_layer(name).output for name in expected}
    found = keras.Model(network.input, outputs)(image[None, :, :, None])
    density = keras.ops.convert_to_numpy(network(image[None, :, :, None]))[0, :, :, 0]
    np.testing.assert_allclose(density, expected["fuse"][0], rtol=2e-4, atol=2e-4 * expected["fuse"].max())
    for name, value in expected.items():
        ours = keras.ops.convert_to_numpy(found[name])[0].transpose(2, 0, 1)
        np.testing.assert_allclose(ours, value, rtol=2e-4, atol=2e-4 * value.max(), err_msg=name)


def test_parameters() -> None:
    network = METHOD.build(ModelOptions())
    expected = 0
    for kernels, filters in zip(KERNELS, FILTERS, strict=True):
        inputs = 1
        for kernel, count in zip(kernels, filters, strict=True):
            expected += kernel * kernel * inputs * count + count
            inputs = count
    assert network.count_params() == expected + 30 + 1


def test_the_density_scale_only_divides() -> None:
    plain, scaled = METHOD.build(ModelOptions()), METHOD.build(ModelOptions(density_scale=100.0))
    scaled.set_weights(plain.get_weights())
    image = np.random.default_rng(0).uniform(0, 255, (1, 16, 16, 1)).astype(np.float32)
    np.testing.assert_allclose(100 * np.asarray(scaled(image)), np.asarray(plain(image)), rtol=1e-5)


@pytest.mark.parametrize("scale", [METHOD.recipe.density_scale, COMMON.density_scale])
def test_the_map_starts_alive_and_no_larger_than_densities_are(scale: float) -> None:
    import keras

    image = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 1)).astype(np.float32)
    for seed in range(6):
        keras.utils.set_random_seed(seed)
        pixels = keras.ops.convert_to_numpy(METHOD.build(ModelOptions(density_scale=scale))(image)) / METHOD.stride**2
        assert (pixels > 0).mean() > 0.5, f"seed {seed}"
        assert 0.0001 < pixels.mean() < 0.003, f"seed {seed}"


def test_the_papers_patches_are_the_codes() -> None:
    """2,000 epochs of nine patches an image, a quarter of its sides each, one a step, never mirrored."""
    recipe = METHOD.recipe
    length = plan(recipe, BUDGETS["paper"], 300)
    assert length.epochs * length.steps_per_epoch == 2000 * 9 * 300
    assert recipe.crops_per_image == 1 and recipe.flip == 0
    assert recipe.crop is None and shared_size(*shares(recipe), (768, 1024, 3), METHOD.stride) == CropSize(192, 256)
    close = np.array([[10.0, 10.0], [20.0, 10.0], [30.0, 10.0]])
    assert recipe.sigma.of(close)[1] == pytest.approx(0.3 * 10)
    assert METHOD.recipe_for("shtech_b").sigma.of(close).tolist() == [4, 4, 4]


def test_other_files_are_not_ours(tmp_path: Path) -> None:
    text = tmp_path / "x.h5"
    text.write_text("no")
    assert read(text) is None
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["conv.weight"] = np.zeros(3)
    assert read(tmp_path / "other.h5") is None


def test_a_checkpoint_of_other_shapes_is_refused(checkpoint: Path) -> None:
    with h5py.File(checkpoint, "a") as file:
        del file["DME.branch1.0.conv.weight"]
        file["DME.branch1.0.conv.weight"] = np.zeros((16, 1, 7, 7), "f4")
    with pytest.raises(HarnessError, match=r"published\.h5: layer column1_conv1 of mcnn has shapes .*9, 9"):
        load_network(load_host(), METHOD, checkpoint)


@pytest.mark.real_data
def test_the_published_weights_are_read(checkpoints: Path) -> None:
    network = load_network(load_host(), METHOD, checkpoints / "mcnn_shtechB_110.h5")
    with h5py.File(checkpoints / "mcnn_shtechB_110.h5") as file:
        expected = file["DME.branch2.2.conv.weight"][()]
    kernel = network.get_layer("column2_conv2").get_weights()[0]
    np.testing.assert_array_equal(kernel.transpose(3, 2, 0, 1), expected)
