"""The VGG-16 convolutions that many counting methods start from, and their pretrained weights.

Layers are called `block{1..5}_conv{1..3}` as in `keras.applications`. Input is normalised as torchvision's VGG-16 expects
(mean and standard deviation of ImageNet); weights trained on another convention are folded into the first convolution.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    """The convolutions up to and including `last`, a 2×2 max-pool between blocks.

    Args:
        he_start: start from He's distribution (for training from scratch) instead of Keras' Glorot.
    """
    from keras import layers

    for block, (filters, count) in enumerate(_BLOCKS, 1):
        for number in range(1, count + 1):
            name = f"block{block}_conv{number}"
            x = layers.Conv2D(
                filters,
                3,
                padding="same",
                activation="relu",
                kernel_initializer="he_normal" if he_start else "glorot_uniform",
                name=name,
            )(x)
            if name == last:
                return x
        x = layers.MaxPooling2D(name=f"block{block}_pool")(x)
    raise ValueError(f"last: expected one of {', '.join(layer_names())}, found {last!r}")


def load_pretrained(network: keras.Model, source: str) -> None:
    """Sets the VGG-16 layers of `network` from `source`: "none", "imagenet", or the path of a weights file.

    Raises:
        HarnessError: the weights cannot be had or do not fit.
    """
    if source == "none":
        return
    weights = _imagenet() if source == "imagenet" else read(Path(source))
    for layer in network.layers:
        if layer.name in weights:
            kernel, bias = weights[layer.name]
            if tuple(layer.kernel.shape) != kernel.shape:
                raise HarnessError(
                    f"{source}: {layer.name} has shape {kernel.shape}; expected {tuple(layer.kernel.shape)}"
                )
            layer.set_weights([kernel, bias])


def check(source: str) -> None:
    """Raises `HarnessError` unless the weights that `source` names can be had; call before any training."""
    if source == "imagenet":
        _imagenet()
    elif source != "none":
        read(Path(source))


def read(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Layer name → (kernel HWIO, bias) in this module's convention, from a Keras VGG-16 file (`.h5`, `.weights.h5`).

    Keras' weights expect BGR values 0–255 less the mean; they are folded to normalised RGB.

    Raises:
        HarnessError: no such file, not HDF5, or VGG-16 layers missing.
    """
    import h5py

    if not path.is_file():
        raise HarnessError(f"{path}: no such file; expected VGG-16 weights, or --pretrained none, or imagenet")
    if not h5py.is_hdf5(path):
        raise HarnessError(f"{path}: not an HDF5 file; expected Keras VGG-16 weights (.h5 or .weights.h5)")
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
    return _from_caffe({name: (arrays[name][4], arrays[name][1]) for name in layer_names()})


def _from_caffe(
    weights: Mapping[str, tuple[np.ndarray, np.ndarray]],
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """BGR, 0–255 less mean → RGB, divided by the standard deviation: reorder and scale the first kernel."""
    folded = dict(weights)
    kernel, bias = folded["block1_conv1"]
    scale = 255 * np.asarray(STANDARD_DEVIATION, kernel.dtype)
    folded["block1_conv1"] = (kernel[:, :, ::-1] * scale[None, None, :, None], bias)
    return folded


def _imagenet() -> dict[str, tuple[np.ndarray, np.ndarray]]:
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
