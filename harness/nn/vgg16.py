"""The VGG-16 convolutions that many counting methods start from, and their pretrained weights.

Layers are called `block{1..5}_conv{1..3}` as in `keras.applications`. Input is normalised as torchvision's VGG-16 expects
(mean and standard deviation of ImageNet); weights trained on another convention are folded into the first convolution.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import HarnessError

if TYPE_CHECKING:
    import keras

MEAN = (0.485, 0.456, 0.406)  # RGB of ImageNet, as a share of 255
STANDARD_DEVIATION = (0.229, 0.224, 0.225)
_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


def layer_names() -> list[str]:
    """The thirteen convolutions in order."""
    return [
        f"block{block}_conv{number}" for block, (_, count) in enumerate(_BLOCKS, 1) for number in range(1, count + 1)
    ]


def normalize(image: Any) -> Any:
    """RGB values 0–255 → ImageNet-normalised RGB."""
    from keras import layers

    return layers.Normalization(
        mean=[255 * mean for mean in MEAN],
        variance=[(255 * deviation) ** 2 for deviation in STANDARD_DEVIATION],
        name="imagenet_normalization",
    )(image)


def blocks(x: Any, last: str = "block5_conv3", he_start: bool = False) -> Any:
    """The output of convolution `last` (behind its ReLU); a 2×2 max-pool stands between blocks.

    Args:
        he_start: start from He's distribution (for training from scratch) instead of Keras' Glorot.
    """
    if last not in layer_names():
        raise ValueError(f"last: expected one of {', '.join(layer_names())}, found {last!r}")
    for block, (filters, count) in enumerate(_BLOCKS, 1):
        for number in range(1, count + 1):
            name = f"block{block}_conv{number}"
            x = _convolution(x, filters, name, he_start, batch_normalization=False)
            if name == last:
                return x
        x = _pool(x, block)
    return x


def levels(x: Any, he_start: bool = False, batch_normalization: bool = False) -> list[Any]:
    """The outputs of the five blocks, strides 1, 2, 4, 8, 16; 64, 128, 256, 512, 512 channels.

    Args:
        batch_normalization: between each convolution and its ReLU, as in VGG-16-BN.
    """
    outputs: list[Any] = []
    for block, (filters, count) in enumerate(_BLOCKS, 1):
        if outputs:
            x = _pool(x, block - 1)
        for number in range(1, count + 1):
            x = _convolution(x, filters, f"block{block}_conv{number}", he_start, batch_normalization)
        outputs.append(x)
    return outputs


def _convolution(x: Any, filters: int, name: str, he_start: bool, batch_normalization: bool) -> Any:
    from keras import layers

    x = layers.Conv2D(
        filters,
        3,
        padding="same",
        activation=None if batch_normalization else "relu",
        kernel_initializer="he_normal" if he_start else "glorot_uniform",
        name=name,
    )(x)
    if batch_normalization:
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
        x = layers.ReLU(name=f"{name}_relu")(x)
    return x


def _pool(x: Any, block: int) -> Any:
    from keras import layers

    return layers.MaxPooling2D(name=f"block{block}_pool")(x)


def load_pretrained(network: keras.Model, source: str, last: str = "block5_conv3") -> None:
    """Sets the VGG-16 layers of `network` up to `last` from `source`: "none", "imagenet", or a weights file's path.

    A network with batch normalisation takes plain VGG-16 weights too. Untrained, it then is VGG-16 in test, but not in
    training, where its normalisation is by batches from the first step on.

    Raises:
        HarnessError: the weights cannot be had or do not fit.
    """
    if source == "none":
        return
    weights = _imagenet() if source == "imagenet" else read(Path(source))
    names = layer_names()
    wanted = set(names[: names.index(last) + 1])
    for layer in network.layers:
        if layer.name not in weights or layer.name.removesuffix("_bn") not in wanted:
            continue
        found = [tuple(array.shape) for array in weights[layer.name]]
        expected = [tuple(variable.shape) for variable in layer.weights]
        if found != expected:
            raise HarnessError(f"{source}: {layer.name} has shapes {found}; expected {expected}")
        layer.set_weights(list(weights[layer.name]))


def check(source: str) -> None:
    """Raises `HarnessError` unless the weights that `source` names can be had; call before any training."""
    if source == "imagenet":
        _imagenet()
    elif source != "none":
        read(Path(source))


Weights = dict[str, tuple[np.ndarray, ...]]


def read(path: Path) -> Weights:
    """Layer name → arrays in Keras order and in this module's convention, from either kind of file.

    Keras (`.h5`, `.weights.h5`): VGG-16 of `keras.applications`, which expects BGR values 0–255 less the mean; folded to
    normalised RGB. torchvision (`.safetensors` of a state dict): VGG-16 or VGG-16-BN.

    Raises:
        HarnessError: no such file, of no known kind, or VGG-16 layers missing.
    """
    if not path.is_file():
        raise HarnessError(f"{path}: no such file; expected VGG-16 weights, or --pretrained none, or imagenet")
    if path.suffix == ".safetensors":
        return _read_torchvision(path)
    return _from_caffe(_read_keras(path))


def _read_keras(path: Path) -> Weights:
    import h5py

    if not h5py.is_hdf5(path):
        raise HarnessError(
            f"{path}: not an HDF5 file; expected Keras VGG-16 weights (.h5, .weights.h5) or a torchvision state dict "
            f"saved as .safetensors"
        )
    arrays: dict[str, dict[int, np.ndarray]] = {}

    def visit(name: str, item: Any) -> None:
        layer = next((part for part in name.split("/") if part in known), None)
        if layer and hasattr(item, "shape") and len(item.shape) in (1, 4):
            arrays.setdefault(layer, {})[len(item.shape)] = np.asarray(item)

    known = set(layer_names())
    with h5py.File(path) as file:
        file.visititems(visit)
    missing = [name for name in layer_names() if set(arrays.get(name, {})) != {1, 4}]
    if missing:
        raise HarnessError(
            f"{path}: no weights for {', '.join(missing)}; expected the layers of keras.applications' VGG16"
        )
    return {name: (arrays[name][4], arrays[name][1]) for name in layer_names()}


def _read_torchvision(path: Path) -> Weights:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        state = load_file(path)
    except SafetensorError as error:
        raise HarnessError(f"{path}: not a safetensors file ({error})") from None
    normalised = "features.1.running_mean" in state
    weights: Weights = {}
    place = 0
    for block, (_, count) in enumerate(_BLOCKS, 1):
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
                    f"{path}: no {error.args[0]}; expected a state dict of torchvision's VGG-16"
                ) from None
            place += 3 if normalised else 2
        place += 1  # the pool
    return weights


def _from_caffe(weights: Weights) -> Weights:
    """BGR, 0–255 less mean → RGB, divided by the standard deviation: reorder and scale the first kernel."""
    folded = dict(weights)
    kernel, bias = folded["block1_conv1"]
    scale = 255 * np.asarray(STANDARD_DEVIATION, kernel.dtype)
    folded["block1_conv1"] = (kernel[:, :, ::-1] * scale[None, None, :, None], bias)
    return folded


def _imagenet() -> Weights:
    import keras

    try:
        source = keras.applications.VGG16(weights="imagenet", include_top=False)
    except Exception as error:
        raise HarnessError(
            f"the ImageNet weights of VGG-16 cannot be downloaded ({error}). Connect once, or give --pretrained PATH of a "
            f"Keras VGG-16 file, or --pretrained none to train from scratch."
        ) from None
    found = {layer.name: tuple(layer.get_weights()) for layer in source.layers if layer.get_weights()}
    return _from_caffe({name: (found[name][0], found[name][1]) for name in layer_names()})
