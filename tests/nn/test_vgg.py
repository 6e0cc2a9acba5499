"""VGG-19 beside VGG-16: its layers, and its weights from the files of Keras and torchvision."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import h5py
import keras
import numpy as np
import pytest

from harness.commands.bench import _check_pretrained
from harness.errors import HarnessError
from harness.nn import vgg16, vgg_weights
from harness.nn.vgg import VGG16, VGG19, normalize


def test_its_layers_are_those_of_keras() -> None:
    """Names and shapes of `keras.applications.VGG19`, which has 20,024,384 parameters without its top."""
    image = keras.Input((None, None, 3))
    ours = keras.Model(image, VGG19.blocks(image))
    theirs = keras.applications.VGG19(weights=None, include_top=False)
    named = {layer.name: [weight.shape for weight in layer.weights] for layer in theirs.layers if layer.weights}
    assert {layer.name: [weight.shape for weight in layer.weights] for layer in ours.layers if layer.weights} == named
    assert list(named) == VGG19.layer_names() and ours.count_params() == 20_024_384
    assert ours.compute_output_shape((1, 64, 96, 3)) == (1, 4, 6, 512)
    assert [tuple(level.shape) for level in VGG19.levels(keras.Input((64, 96, 3)))] == [
        (None, 64 // stride, 96 // stride, filters)
        for stride, filters in ((1, 64), (2, 128), (4, 256), (8, 512), (16, 512))
    ]
    assert VGG16.layer_names() == vgg16.layer_names() == [name for name in VGG19.layer_names() if name[-1] != "4"]


def written(path: Path, names: list[str]) -> Path:
    """Tiny kernels [3, 3, 3, 2] and biases in the layout of `keras.applications`."""
    generator = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for name in names:
            file[f"{name}/{name}/kernel"] = generator.normal(0, 1, (3, 3, 3, 2)).astype("f4")
            file[f"{name}/{name}/bias"] = generator.normal(0, 1, 2).astype("f4")
    return path


def test_a_keras_file_is_folded_to_normalised_rgb(tmp_path: Path) -> None:
    """One output of the first kernel on one window: BGR less its mean in the file, our normalised RGB in what is read."""
    path = written(tmp_path / "vgg19.h5", VGG19.layer_names())
    weights = vgg_weights.read(VGG19, path)
    assert list(weights) == VGG19.layer_names()
    with h5py.File(path) as file:
        kernel = file["block1_conv1/block1_conv1/kernel"][()].astype(float)
        np.testing.assert_array_equal(weights["block5_conv4"][0], file["block5_conv4/block5_conv4/kernel"][()])
    window = np.random.default_rng(1).integers(0, 256, (3, 3, 3)).astype(np.float32)
    seen = keras.ops.convert_to_numpy(normalize(window[None]))[0]
    bgr = window[..., ::-1] - 255 * np.array([0.406, 0.456, 0.485])
    found = np.einsum("hwc,hwco->o", seen, weights["block1_conv1"][0])
    np.testing.assert_allclose(found, np.einsum("hwc,hwco->o", bgr, kernel), rtol=1e-4)


def test_weights_that_keras_saves_are_read(tmp_path: Path) -> None:
    """By `save_weights` of Keras 3 itself, with and without the top's layers, which are not wanted."""
    for top in (False, True):
        theirs = keras.applications.VGG16(weights=None, include_top=top, input_shape=(32, 32, 3), classes=2)
        path = tmp_path / "vgg16.weights.h5"
        theirs.save_weights(path)
        found = vgg_weights.read(VGG16, path)
        assert list(found) == VGG16.layer_names()
        for name in VGG16.layer_names()[1:]:  # the first is folded
            for ours, saved in zip(found[name], theirs.get_layer(name).get_weights(), strict=True):
                np.testing.assert_array_equal(ours, saved)


def test_weights_of_the_other_network_are_refused_before_training(tmp_path: Path) -> None:
    """As the bench checks them: each method's file against the network that it names."""
    path = written(tmp_path / "vgg16.h5", VGG16.layer_names())

    def cell(pretrained: str) -> SimpleNamespace:
        method, options = SimpleNamespace(pretrained=pretrained), SimpleNamespace(pretrained=str(path))
        return SimpleNamespace(run=SimpleNamespace(method=method, options=options))

    _check_pretrained([cell("vgg16")])
    with pytest.raises(HarnessError, match=r"no weights for block3_conv4, .*expected the layers of .* VGG19"):
        _check_pretrained([cell("vgg16"), cell("vgg19")])
    with pytest.raises(HarnessError, match=r"gone\.h5: no such file; expected VGG-19 weights"):
        vgg_weights.check(VGG19, str(tmp_path / "gone.h5"))
