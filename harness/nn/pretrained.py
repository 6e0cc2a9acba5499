"""What networks with pretrained weights share: ImageNet's by Keras, and the file that was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.errors import HarnessError
from harness.nn.every_layer import every_layer

if TYPE_CHECKING:
    import keras


def imagenet(name: str, title: str) -> keras.Model:
    """`keras.applications.NAME` without its top, with Keras' own ImageNet weights, downloaded once.

    Raises:
        HarnessError: they cannot be downloaded; `title` is what the message calls the network.
    """
    import keras

    try:
        return getattr(keras.applications, name)(weights="imagenet", include_top=False, input_shape=(224, 224, 3))
    except Exception as error:
        raise HarnessError(
            f"the ImageNet weights of {title} cannot be downloaded ({error}). Connect once, or give --pretrained PATH of "
            f"a Keras {title} file, or --pretrained none to train from scratch."
        ) from None


def set_layers(network: keras.Model, weights: Mapping[str, Sequence[np.ndarray]], source: str, title: str) -> None:
    """Sets the layers of `network`, and of networks within it, that `weights` has arrays for, in Keras order.

    Raises:
        HarnessError: it has none of them, or one of other shapes. `source` is what `weights` were read from, `title` their
            network.
    """
    known = {layer.name: layer for layer in every_layer(network) if layer.name in weights}
    if not known:
        raise HarnessError(
            f"{source}: none of {title}'s layers ({next(iter(weights))}, …) is in network {network.name!r}"
        )
    for name, layer in known.items():
        found, expected = ([tuple(array.shape) for array in arrays] for arrays in (weights[name], layer.weights))
        if found != expected:
            raise HarnessError(f"{source}: {name} has shapes {found}; expected {expected}")
        layer.set_weights(list(weights[name]))


def require_file(path: Path, title: str) -> None:
    """Raises `HarnessError` where there is no such file."""
    if not path.is_file():
        raise HarnessError(f"{path}: no such file; expected {title} weights, or --pretrained none, or imagenet")
