"""Pretrained weights of `harness.nn.vgg`'s networks, from Keras or torchvision, in the convention of `vgg.normalize`.

Weights trained on another convention are folded into the first convolution, and Keras' scaled (`harness.nn.vgg_scale`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import HarnessError
from harness.nn import pretrained
from harness.nn.every_layer import every_layer
from harness.nn.vgg import BATCH_NORMALIZATION_EPSILON, FILTERS, MEAN, STANDARD_DEVIATION, Vgg
from harness.nn.vgg_scale import unit_scaled

if TYPE_CHECKING:
    import keras

CAFFE_MEAN = (123.68, 116.779, 103.939)  # RGB: what `keras.applications` takes off for these networks
Weights = dict[str, tuple[np.ndarray, ...]]


def load_pretrained(vgg: Vgg, network: keras.Model, source: str, last: str = "") -> None:
    """Sets the layers of `vgg` in `network` from `source`: "none", "imagenet", or a weights file's path.

    A network with batch normalisation takes plain weights too. Untrained, it then is VGG in test, but not in training, where
    its normalisation is by batches from the first step on. One without takes weights with it: folded into the convolutions.

    Args:
        last: the last convolution that is set; all of them where empty.

    Raises:
        HarnessError: the weights cannot be had or do not fit.
    """
    if source == "none":
        return
    weights = imagenet(vgg) if source == "imagenet" else read(vgg, Path(source))
    names = vgg.layer_names()
    wanted = set(names[: names.index(last or names[-1]) + 1])
    if f"{names[0]}_bn" not in {layer.name for layer in every_layer(network)}:
        weights = _without_normalisation(weights)
    weights = {name: arrays for name, arrays in weights.items() if name.removesuffix("_bn") in wanted}
    pretrained.set_layers(network, weights, source, vgg.title)


def check(vgg: Vgg, source: str) -> None:
    """Raises `HarnessError` unless the weights that `source` names can be had; call before any training."""
    if source == "imagenet":
        imagenet(vgg)
    elif source != "none":
        read(vgg, Path(source))


def read(vgg: Vgg, path: Path) -> Weights:
    """Layer name → arrays in Keras order and in this module's convention, from either kind of file.

    Keras (`.h5`, `.weights.h5`): the network of `keras.applications`, which expects BGR values 0–255 less the mean; folded to
    normalised RGB, and to features of order 1. torchvision (`.safetensors` of a state dict): the plain network, or the one
    with batch normalisation, as they are.

    Raises:
        HarnessError: no such file, of no known kind, layers missing, of other shapes, or not finite.
    """
    pretrained.require_file(path, vgg.title)
    if path.suffix == ".safetensors":
        return _read_torchvision(vgg, path)
    return unit_scaled(vgg, _from_caffe(_read_keras(vgg, path)))


def imagenet(vgg: Vgg) -> Weights:
    """Keras' own ImageNet weights, downloaded once.

    Raises:
        HarnessError: they cannot be downloaded.
    """
    source = pretrained.imagenet(vgg.name.upper(), vgg.title)
    found = {layer.name: tuple(layer.get_weights()) for layer in source.layers if layer.get_weights()}
    return unit_scaled(vgg, _from_caffe({name: (found[name][0], found[name][1]) for name in vgg.layer_names()}))


def _read_keras(vgg: Vgg, path: Path) -> Weights:
    import h5py

    if not h5py.is_hdf5(path):
        raise HarnessError(
            f"{path}: not an HDF5 file; expected Keras {vgg.title} weights (.h5, .weights.h5) or a torchvision state dict "
            f"saved as .safetensors"
        )
    arrays: dict[str, dict[int, np.ndarray]] = {}

    def visit(name: str, item: Any) -> None:
        # `.weights.h5` of Keras 3 files a layer under its class and number; its name is an attribute of what holds its arrays.
        layer = next((part for part in (*name.split("/"), item.parent.attrs.get("name")) if part in known), None)
        if layer and hasattr(item, "shape") and len(item.shape) in (1, 4):
            arrays.setdefault(layer, {})[len(item.shape)] = np.asarray(item)

    known = set(vgg.layer_names())
    with h5py.File(path) as file:
        file.visititems(visit)
    missing = [name for name in vgg.layer_names() if set(arrays.get(name, {})) != {1, 4}]
    if missing:
        raise HarnessError(
            f"{path}: no weights for {', '.join(missing)}; expected the layers of keras.applications' {vgg.name.upper()}"
        )
    return _checked(path, {name: (arrays[name][4], arrays[name][1]) for name in vgg.layer_names()})


def _checked(path: Path, weights: Weights) -> Weights:
    """`weights` of shapes that are VGG's, and finite; raises `HarnessError`."""
    inputs = 3
    for name, arrays in weights.items():
        filters = FILTERS[int(name[len("block")]) - 1]
        convolution = not name.endswith("_bn")
        for number, array in enumerate(arrays):
            kernel = convolution and number == 0
            shape: tuple[int, ...] = (3, 3, inputs, filters) if kernel else (filters,)
            if array.shape != shape:
                what = "the kernel" if kernel else "an array"
                raise HarnessError(f"{path}: {what} of {name} has shape {array.shape}; expected {shape}")
            if not np.isfinite(array).all():
                raise HarnessError(f"{path}: {name} has values that are no finite numbers; get the file anew")
        inputs = filters
    return weights


def _without_normalisation(weights: Weights) -> Weights:
    """Each convolution with the normalisation behind it as one: what it is in test, by the statistics of the file."""
    folded = {name: arrays for name, arrays in weights.items() if not name.endswith("_bn")}
    for name, (kernel, bias) in folded.items():
        if f"{name}_bn" in weights:
            gamma, beta, mean, variance = weights[f"{name}_bn"]
            scale = gamma / np.sqrt(variance + BATCH_NORMALIZATION_EPSILON)
            folded[name] = (kernel * scale, (bias - mean) * scale + beta)
    return folded


def _read_torchvision(vgg: Vgg, path: Path) -> Weights:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        state = load_file(path)
    except SafetensorError as error:
        raise HarnessError(f"{path}: not a safetensors file ({error})") from None
    normalised = "features.1.running_mean" in state
    weights: Weights = {}
    place = 0
    for block, count in enumerate(vgg.depths, 1):
        for number in range(1, count + 1):
            name = f"block{block}_conv{number}"
            try:
                kernel, bias = state[f"features.{place}.weight"], state[f"features.{place}.bias"]
                weights[name] = (kernel.transpose(2, 3, 1, 0), bias)
                if normalised:
                    parts = ("weight", "bias", "running_mean", "running_var")
                    weights[f"{name}_bn"] = tuple(state[f"features.{place + 1}.{part}"] for part in parts)
            except KeyError as error:
                raise HarnessError(
                    f"{path}: no {error.args[0]}; expected a state dict of torchvision's {vgg.title}"
                ) from None
            place += 3 if normalised else 2
        place += 1  # the pool
    return _checked(path, weights)


def _from_caffe(weights: Weights) -> Weights:
    """BGR, 0–255 less their mean → RGB less ours, divided by the standard deviation.

    The first kernel in another order and scaled, and in its bias what lies between the two means. At the border zeros then
    stand for our mean, half a grey value from theirs.
    """
    folded = dict(weights)
    kernel, bias = folded["block1_conv1"]
    of_rgb = kernel[:, :, ::-1]
    scale = 255 * np.asarray(STANDARD_DEVIATION, kernel.dtype)
    between = 255 * np.asarray(MEAN, kernel.dtype) - np.asarray(CAFFE_MEAN, kernel.dtype)
    shift = (of_rgb * between[None, None, :, None]).sum(axis=(0, 1, 2))
    folded["block1_conv1"] = (of_rgb * scale[None, None, :, None], bias + shift)
    return folded
