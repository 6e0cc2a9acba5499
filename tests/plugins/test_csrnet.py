"""CSRNet's sizes, its pretrained part and its input convention."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from crowd_harness_csrnet import METHOD

from harness.errors import HarnessError
from harness.method import ModelOptions
from harness.nn import vgg16

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
    """Our first convolution on normalised RGB equals the file's on BGR less its mean, away from the border."""
    import keras

    network = METHOD.build(ModelOptions(pretrained=str(keras_file)))
    image = np.random.default_rng(1).integers(0, 255, (1, 16, 16, 3)).astype(np.float32)
    first = keras.Model(network.input, network.get_layer("block1_conv1").output)
    ours = np.asarray(first(image))[0, 2:-2, 2:-2]
    with h5py.File(keras_file) as file:
        kernel = file["block1_conv1/block1_conv1/kernel"][()].astype(float)
        bias = file["block1_conv1/block1_conv1/bias"][()].astype(float)
        second = file["block2_conv1/block2_conv1/kernel"][()]
    bgr = image[0, :, :, ::-1] - 255 * np.array([0.406, 0.456, 0.485])
    windows = np.lib.stride_tricks.sliding_window_view(bgr, (3, 3), axis=(0, 1))[1:-1, 1:-1]
    expected = np.maximum(np.einsum("hwcij,ijco->hwo", windows, kernel) + bias, 0)
    np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(network.get_layer("block2_conv1").get_weights()[0], second)


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
