"""The convolutional MobileNetV4 (Qin et al., ECCV 2024) without its classifier, as timm builds it: stride 32.

Layers are called `stage{0..4}_{block}_{part}`. Convolutions of stride 2 pad both sides alike, as PyTorch's do; Keras' "same"
does not.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import initializers, layers

STEM = 32  # filters, at any width


class Plain(NamedTuple):
    """A convolution of `size` × `size` to `filters`, normalised, ReLU."""

    size: int
    filters: int
    stride: int = 1


class Fused(NamedTuple):
    """A 3×3 convolution to `expansion` times as many channels, ReLU, and a linear 1×1 to `filters`."""

    filters: int
    expansion: int
    stride: int = 1


class Inverted(NamedTuple):
    """The universal inverted bottleneck; a side of 0 leaves that depthwise convolution out.

    Depthwise `start` × `start`, linear; 1×1 to `expansion` times as many channels, ReLU; depthwise `middle` × `middle`, ReLU;
    linear 1×1 to `filters`. The input is added where shapes allow. The stride is the middle's where there is one, else the
    start's.
    """

    filters: int
    expansion: int
    start: int = 0
    middle: int = 0
    stride: int = 1


Stages = tuple[tuple[Plain | Fused | Inverted, ...], ...]

SMALL: Stages = (
    (Plain(3, 32, 2), Plain(1, 32)),
    (Plain(3, 96, 2), Plain(1, 64)),
    (Inverted(96, 3, 5, 5, 2), *(Inverted(96, 2, 0, 3),) * 4, Inverted(96, 4, 3, 0)),
    (
        Inverted(128, 6, 3, 3, 2),
        Inverted(128, 4, 5, 5),
        Inverted(128, 4, 0, 5),
        Inverted(128, 3, 0, 5),
        *(Inverted(128, 4, 0, 3),) * 2,
    ),
    (Plain(1, 960),),
)

MEDIUM: Stages = (
    (Fused(48, 4, 2),),
    (Inverted(80, 4, 3, 5, 2), Inverted(80, 2, 3, 3)),
    (
        Inverted(160, 6, 3, 5, 2),
        *(Inverted(160, 4, 3, 3),) * 2,
        Inverted(160, 4, 3, 5),
        Inverted(160, 4, 3, 3),
        Inverted(160, 4, 3, 0),
        Inverted(160, 2, 0, 0),
        Inverted(160, 4, 3, 0),
    ),
    (
        Inverted(256, 6, 5, 5, 2),
        Inverted(256, 4, 5, 5),
        *(Inverted(256, 4, 3, 5),) * 2,
        Inverted(256, 4, 0, 0),
        Inverted(256, 4, 3, 0),
        Inverted(256, 2, 3, 5),
        Inverted(256, 4, 5, 5),
        *(Inverted(256, 4, 0, 0),) * 2,
        Inverted(256, 2, 5, 0),
    ),
    (Plain(1, 960),),
)


def features(x: Any, stages: Stages, width: float = 1.0) -> Any:
    """[B, H, W, 3] normalised RGB → [B, H/32, W/32, 960 · width]; every block's filters are multiplied with `width`."""
    x = convolution(x, 3, STEM, "stem", stride=2)
    for number, stage in enumerate(stages):
        for place, block in enumerate(stage):
            x = _block(x, block, int(block.filters * width), f"stage{number}_{place}")
    return x


def _block(x: Any, block: Plain | Fused | Inverted, filters: int, name: str) -> Any:
    if isinstance(block, Plain):
        return convolution(x, block.size, filters, name, stride=block.stride)
    wide = x.shape[-1] * block.expansion
    if isinstance(block, Fused):
        expanded = convolution(x, 3, wide, f"{name}_expand", stride=block.stride)
        return convolution(expanded, 1, filters, f"{name}_project", activate=False)
    inner = x
    if block.start:
        stride = 1 if block.middle else block.stride
        inner = depthwise(inner, block.start, f"{name}_start", stride=stride, activate=False)
    inner = convolution(inner, 1, wide, f"{name}_expand", shifted=bool(block.middle))
    if block.middle:
        inner = depthwise(inner, block.middle, f"{name}_middle", stride=block.stride)
    inner = convolution(inner, 1, filters, f"{name}_project", activate=False)
    return layers.Add(name=f"{name}_add")([inner, x]) if block.stride == 1 and x.shape[-1] == filters else inner


def convolution(
    x: Any, size: int, filters: int, name: str, stride: int = 1, activate: bool = True, shifted: bool = False
) -> Any:
    """A convolution without bias, batch normalisation, and ReLU where `activate`.

    `shifted`: the normalisation's shifts start from 0.1 and not from 0. Before a depthwise convolution, which is
    normalised again by channel, ReLU(scale · x) has the scale normalised away: without a shift it begins without gradient.
    """
    x, padding = _padded(x, size, stride, name)
    x = layers.Conv2D(
        filters,
        size,
        strides=stride,
        padding=padding,
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    return _normalised(x, name, activate, shifted)


def depthwise(x: Any, size: int, name: str, stride: int = 1, activate: bool = True) -> Any:
    """A depthwise convolution without bias, batch normalisation, and ReLU where `activate`."""
    x, padding = _padded(x, size, stride, name)
    x = layers.DepthwiseConv2D(
        size,
        strides=stride,
        padding=padding,
        use_bias=False,
        # He's distribution for one input channel; Keras would count all of them.
        depthwise_initializer=initializers.RandomNormal(stddev=(2 / size**2) ** 0.5),
        name=f"{name}_conv",
    )(x)
    return _normalised(x, name, activate)


def _padded(x: Any, size: int, stride: int, name: str) -> tuple[Any, str]:
    return (x, "same") if stride == 1 else (layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x), "valid")


def _normalised(x: Any, name: str, activate: bool, shifted: bool = False) -> Any:
    start = initializers.Constant(0.1) if shifted else "zeros"
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, beta_initializer=start, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if activate else x
