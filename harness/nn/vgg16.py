"""VGG-16 as functions: `harness.nn.vgg` and `harness.nn.vgg_weights` for that one network.

Layers are called `block{1..5}_conv{1..3}` as in `keras.applications`. Input is normalised as torchvision's VGG-16 expects
(mean and standard deviation of ImageNet); weights trained on another convention are folded into the first convolution.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.nn import vgg_weights
from harness.nn.vgg import MEAN, STANDARD_DEVIATION, VGG16, normalize
from harness.nn.vgg_weights import Weights

if TYPE_CHECKING:
    import keras

__all__ = [
    "MEAN",
    "STANDARD_DEVIATION",
    "Weights",
    "blocks",
    "check",
    "layer_names",
    "levels",
    "load_pretrained",
    "normalize",
    "read",
]


def layer_names() -> list[str]:
    """The thirteen convolutions in order."""
    return VGG16.layer_names()


def blocks(x: Any, last: str = "block5_conv3", he_start: bool = False) -> Any:
    """The output of convolution `last` (behind its ReLU); see `Vgg.blocks`."""
    return VGG16.blocks(x, last, he_start)


def levels(x: Any, he_start: bool = False, batch_normalization: bool = False) -> list[Any]:
    """The outputs of the five blocks, strides 1, 2, 4, 8, 16; see `Vgg.levels`."""
    return VGG16.levels(x, he_start, batch_normalization)


def load_pretrained(network: keras.Model, source: str, last: str = "block5_conv3") -> None:
    """Sets the VGG-16 layers of `network` up to `last` from `source`; see `vgg_weights.load_pretrained`."""
    vgg_weights.load_pretrained(VGG16, network, source, last)


def check(source: str) -> None:
    """Raises `HarnessError` unless the weights that `source` names can be had; call before any training."""
    vgg_weights.check(VGG16, source)


def read(path: Path) -> Weights:
    """Layer name → arrays; see `vgg_weights.read`."""
    return vgg_weights.read(VGG16, path)
