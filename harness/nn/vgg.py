"""The VGG convolutions that many counting methods start from: `VGG16` and `VGG19`.

Layers are called `block{1..5}_conv{1..4}` as in `keras.applications`. Input is normalised as torchvision's networks expect
(mean and standard deviation of ImageNet). Pretrained weights: `harness.nn.vgg_weights`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MEAN = (0.485, 0.456, 0.406)  # RGB of ImageNet, as a share of 255
STANDARD_DEVIATION = (0.229, 0.224, 0.225)
FILTERS = (64, 128, 256, 512, 512)
BATCH_NORMALIZATION_EPSILON = 1e-5  # as in torchvision


@dataclass(frozen=True)
class Vgg:
    """One of Simonyan and Zisserman's networks (ICLR 2015), as far as its last convolution.

    Attributes:
        name: what `Method.pretrained` calls it ("vgg16").
        title: what messages call it ("VGG-16").
        depths: convolutions in each of its five blocks.
    """

    name: str
    title: str
    depths: tuple[int, ...]

    def layer_names(self) -> list[str]:
        """The convolutions in order."""
        return [
            f"block{block}_conv{number}" for block, depth in enumerate(self.depths, 1) for number in range(1, depth + 1)
        ]

    def blocks(self, x: Any, last: str = "", he_start: bool = False) -> Any:
        """The output of convolution `last` (behind its ReLU); a 2×2 max-pool stands between blocks.

        Args:
            last: the name of a convolution; that of the fifth block's last where empty.
            he_start: start from He's distribution (for training from scratch) instead of Keras' Glorot.
        """
        names = self.layer_names()
        last = last or names[-1]
        if last not in names:
            raise ValueError(f"last: expected one of {', '.join(names)}, found {last!r}")
        outputs = self._convolutions(x, he_start, batch_normalization=False)
        return next(x for name, x in outputs if name == last)

    def levels(self, x: Any, he_start: bool = False, batch_normalization: bool = False) -> list[Any]:
        """The outputs of the five blocks, strides 1, 2, 4, 8, 16; 64, 128, 256, 512, 512 channels.

        Args:
            batch_normalization: between each convolution and its ReLU, as in VGG-16-BN.
        """
        ends = {f"block{block}_conv{depth}" for block, depth in enumerate(self.depths, 1)}
        return [x for name, x in self._convolutions(x, he_start, batch_normalization) if name in ends]

    def _convolutions(self, x: Any, he_start: bool, batch_normalization: bool) -> Iterator[tuple[str, Any]]:
        """The name and output of each convolution in order, built as it is asked for."""
        for block, (filters, depth) in enumerate(zip(FILTERS, self.depths, strict=True), 1):
            if block > 1:
                x = _pool(x, block - 1)
            for number in range(1, depth + 1):
                name = f"block{block}_conv{number}"
                x = _convolution(x, filters, name, he_start, batch_normalization)
                yield name, x


VGG16 = Vgg("vgg16", "VGG-16", (2, 2, 3, 3, 3))
VGG19 = Vgg("vgg19", "VGG-19", (2, 2, 4, 4, 4))
BY_NAME = {network.name: network for network in (VGG16, VGG19)}


def normalize(image: Any) -> Any:
    """RGB values 0–255 → ImageNet-normalised RGB."""
    from keras import layers

    return layers.Normalization(
        mean=[255 * mean for mean in MEAN],
        variance=[(255 * deviation) ** 2 for deviation in STANDARD_DEVIATION],
        name="imagenet_normalization",
    )(image)


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
        x = layers.BatchNormalization(momentum=0.9, epsilon=BATCH_NORMALIZATION_EPSILON, name=f"{name}_bn")(x)
        x = layers.ReLU(name=f"{name}_relu")(x)
    return x


def _pool(x: Any, block: int) -> Any:
    from keras import layers

    return layers.MaxPooling2D(name=f"block{block}_pool")(x)
