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
from harness.nn import vgg16, vgg_scale, vgg_weights
from harness.nn.vgg import VGG16, VGG19, Vgg, normalize


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


def written(path: Path, vgg: Vgg) -> Path:
    """Kernels and biases in the layout of `keras.applications`, drawn so that features grow from layer to layer."""
    generator, inputs = np.random.default_rng(0), 3
    with h5py.File(path, "w") as file:
        for name in vgg.layer_names():
            filters = (64, 128, 256, 512, 512)[int(name[5]) - 1]
            spread = 1.5 * np.sqrt(2 / (9 * inputs))
            file[f"{name}/{name}/kernel"] = spread * generator.standard_normal((3, 3, inputs, filters), "f4")
            file[f"{name}/{name}/bias"] = 10 * generator.standard_normal(filters, "f4")
            inputs = filters
    return path


@pytest.mark.parametrize("vgg", [VGG16, VGG19], ids=lambda vgg: vgg.name)
def test_a_keras_file_is_that_network_but_for_a_power_of_two_a_layer(vgg: Vgg, tmp_path: Path) -> None:
    """Keras' own network, on what its own preprocessing makes, beside ours on RGB, layer by layer.

    Where borders are not seen: outside of them zeros are Keras' mean there, and torchvision's here.
    """
    path = written(tmp_path / "vgg.h5", vgg)
    theirs = getattr(keras.applications, vgg.name.upper())(weights=None, include_top=False)
    with h5py.File(path) as file:
        for name in vgg.layer_names():
            theirs.get_layer(name).set_weights([file[f"{name}/{name}/{part}"][()] for part in ("kernel", "bias")])
    image = keras.Input((None, None, 3))
    ours = keras.Model(image, vgg.blocks(normalize(image)))
    vgg_weights.load_pretrained(vgg, ours, str(path))
    photo = np.random.default_rng(1).integers(0, 256, (1, 320, 320, 3)).astype(np.float32)
    bgr = keras.applications.vgg16.preprocess_input(photo.copy())
    levels = [
        keras.Model(network.input, [network.get_layer(name).output for name in vgg.layer_names()])(values)
        for network, values in ((theirs, bgr), (ours, photo))
    ]
    seen, stride, block = 0, 1, "block1"  # pixels that a cell sees beyond its own
    for name, *both in zip(vgg.layer_names(), *levels, strict=True):
        if not name.startswith(block):
            seen, stride, block = seen + stride, 2 * stride, name[:6]
        seen += stride
        edge = -(-seen // stride)
        expected, found = (level[:, edge:-edge, edge:-edge] for level in both)
        assert min(expected.shape) > 0
        factor = keras.ops.convert_to_numpy(keras.ops.sum(expected) / keras.ops.sum(found))
        power = 2.0 ** np.round(np.log2(factor))
        assert factor == pytest.approx(power, rel=1e-3), name
        values = [keras.ops.convert_to_numpy(level) for level in (found * power, expected)]
        np.testing.assert_allclose(*values, rtol=1e-3, atol=1e-4 * values[1].max(), err_msg=name)


def test_the_features_of_a_keras_file_are_of_order_one(tmp_path: Path) -> None:
    """Keras' own layers, with what is read, on the noise that it is scaled for: the files' features come to thousands."""
    path = written(tmp_path / "vgg16.h5", VGG16)
    weights = vgg_weights.read(VGG16, path)
    assert list(weights) == VGG16.layer_names()
    network = keras.applications.VGG16(weights=None, include_top=False)
    for name, arrays in weights.items():
        network.get_layer(name).set_weights(list(arrays))
    noise = vgg_scale.probe()
    assert (
        noise.shape == (128, 128, 3) and noise.mean() == pytest.approx(0, abs=1e-4) and noise.std() == pytest.approx(1)
    )
    outputs = keras.Model(network.input, [network.get_layer(name).output for name in weights])(noise[None])
    for name, output in zip(weights, outputs, strict=True):
        assert 0.7 < np.sqrt(np.mean(keras.ops.convert_to_numpy(output) ** 2)) < 1.42, name
    with h5py.File(path) as file:  # no bit of a weight is lost
        for name in VGG16.layer_names()[1:]:
            kernel = file[f"{name}/{name}/kernel"][()]
            power = np.abs(weights[name][0]).max() / np.abs(kernel).max()
            assert np.log2(power) == np.round(np.log2(power)), name
            np.testing.assert_array_equal(weights[name][0], kernel * power)


def test_weights_that_keras_saves_are_read(tmp_path: Path) -> None:
    """By `save_weights` of Keras 3 itself, with and without the top's layers, which are not wanted."""
    for top in (False, True):
        theirs = keras.applications.VGG16(weights=None, include_top=top, input_shape=(32, 32, 3), classes=2)
        path = tmp_path / "vgg16.weights.h5"
        theirs.save_weights(path)
        found = vgg_weights.read(VGG16, path)
        assert list(found) == VGG16.layer_names()
        for name in VGG16.layer_names()[1:]:  # the first is folded
            kernel, _ = theirs.get_layer(name).get_weights()
            power = np.abs(found[name][0]).max() / np.abs(kernel).max()
            np.testing.assert_array_equal(found[name][0], kernel * power)


def test_weights_of_the_other_network_are_refused_before_training(tmp_path: Path) -> None:
    """As the bench checks them: each method's file against the network that it names."""
    path = written(tmp_path / "vgg16.h5", VGG16)

    def cell(pretrained: str) -> SimpleNamespace:
        method, options = SimpleNamespace(pretrained=pretrained), SimpleNamespace(pretrained=str(path))
        return SimpleNamespace(run=SimpleNamespace(method=method, options=options))

    _check_pretrained([cell("vgg16")])
    with pytest.raises(HarnessError, match=r"no weights for block3_conv4, .*expected the layers of .* VGG19"):
        _check_pretrained([cell("vgg16"), cell("vgg19")])
    with h5py.File(path, "a") as file:
        del file["block2_conv1"]
        file["block2_conv1/block2_conv1/kernel"] = np.zeros((3, 3, 3, 128), "f4")
        file["block2_conv1/block2_conv1/bias"] = np.zeros(128, "f4")
    with pytest.raises(
        HarnessError, match=r"vgg16\.h5: the kernel of block2_conv1 has shape \(3, 3, 3, 128\); expected \(3, 3, 64"
    ):
        _check_pretrained([cell("vgg16")])
    path = written(tmp_path / "broken.h5", VGG16)
    with h5py.File(path, "a") as file:
        file["block3_conv2/block3_conv2/bias"][7] = np.nan
    with pytest.raises(HarnessError, match=r"broken\.h5: block3_conv2 has values that are no finite numbers"):
        vgg_weights.check(VGG16, str(path))
    with pytest.raises(HarnessError, match=r"gone\.h5: no such file; expected VGG-19 weights"):
        vgg_weights.check(VGG19, str(tmp_path / "gone.h5"))


def test_a_pretrained_part_of_a_plugin_s_own_is_not_taken_for_vgg(tmp_path: Path) -> None:
    """Before, the bench looked for VGG-16 in it, or downloaded VGG-16, before the first cell."""
    own = tmp_path / "resnet50.pt"
    own.write_bytes(b"what only its build can read")
    method, options = SimpleNamespace(pretrained="resnet50"), SimpleNamespace(pretrained=str(own))
    _check_pretrained([SimpleNamespace(run=SimpleNamespace(method=method, options=options))])


def torchvision_with_normalisation(path: Path, vgg: Vgg) -> dict[str, np.ndarray]:
    """A state dict of torchvision's VGG with batch normalisation, drawn so that its features stay of order 1."""
    from safetensors.numpy import save_file

    generator, state, place, inputs = np.random.default_rng(0), {}, 0, 3
    for name in vgg.layer_names():
        filters = (64, 128, 256, 512, 512)[int(name[5]) - 1]
        place += name.endswith("conv1") and bool(place)
        state[f"features.{place}.weight"] = generator.normal(0, 0.01, (filters, inputs, 3, 3)).astype("f4")
        state[f"features.{place}.bias"] = generator.normal(0, 0.1, filters).astype("f4")
        for part, (low, high) in {
            "weight": (0.5, 1.5),
            "bias": (-0.2, 0.2),
            "running_mean": (-0.1, 0.1),
            "running_var": (0.5e-4 * 9 * inputs, 2e-4 * 9 * inputs),
        }.items():
            state[f"features.{place + 1}.{part}"] = generator.uniform(low, high, filters).astype("f4")
        place, inputs = place + 3, filters
    save_file(state, path)
    return state


def test_normalisation_is_folded_into_a_network_without_it(tmp_path: Path) -> None:
    """The two networks of one file with batch normalisation, that with it and that without, are one function in test."""
    path = tmp_path / "vgg16_bn.safetensors"
    torchvision_with_normalisation(path, VGG16)
    image = keras.Input((None, None, 3))
    photo = np.random.default_rng(1).integers(0, 256, (1, 32, 48, 3)).astype(np.float32)
    outputs = []
    for levels in (VGG16.levels(normalize(image), batch_normalization=True), [VGG16.blocks(normalize(image))]):
        network = keras.Model(image, levels[-1])
        vgg_weights.load_pretrained(VGG16, network, str(path))
        outputs.append(keras.ops.convert_to_numpy(network(photo, training=False)))
    assert outputs[0].std() > 0.05
    np.testing.assert_allclose(outputs[1], outputs[0], rtol=1e-3, atol=1e-4 * outputs[0].max())


@pytest.mark.parametrize("part", ["27.weight", "27.bias", "28.running_var"])
@pytest.mark.parametrize("wrong", ["not a number", "another shape"])
def test_what_is_wrong_with_a_torchvision_file_is_said_before_any_training(
    tmp_path: Path, part: str, wrong: str
) -> None:
    from safetensors.numpy import save_file

    state = torchvision_with_normalisation(tmp_path / "good.safetensors", VGG16)
    vgg_weights.check(VGG16, str(tmp_path / "good.safetensors"))
    name = next(key for key in state if key == f"features.{part}")
    if wrong == "not a number":
        state[name].flat[3] = np.nan
    else:
        state[name] = state[name][:3].copy()
    save_file(state, tmp_path / "bad.safetensors")
    with pytest.raises(HarnessError, match=r"bad\.safetensors: .*(no finite numbers|has shape)"):
        vgg_weights.check(VGG16, str(tmp_path / "bad.safetensors"))


def test_a_front_within_a_network_is_loaded_and_one_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Before, a nested one began at random, and its row said "pretrained"."""
    path = written(tmp_path / "vgg16.h5", VGG16)
    image, picture = keras.Input((None, None, 3)), keras.Input((None, None, 3))
    front = keras.Model(image, VGG16.blocks(image))
    whole = keras.Model(picture, keras.layers.Conv2D(1, 1)(front(normalize(picture))))
    vgg_weights.load_pretrained(VGG16, whole, str(path))
    expected = vgg_weights.read(VGG16, path)
    for name in VGG16.layer_names():
        for array, weight in zip(expected[name], front.get_layer(name).get_weights(), strict=True):
            np.testing.assert_allclose(weight, array, rtol=1e-6)
    other = keras.Model(picture, keras.layers.Conv2D(64, 3, name="conv1_1")(picture))
    with pytest.raises(HarnessError, match=r"vgg16\.h5: none of VGG-16's layers \(block1_conv1, …\) is in network"):
        vgg_weights.load_pretrained(VGG16, other, str(path))
