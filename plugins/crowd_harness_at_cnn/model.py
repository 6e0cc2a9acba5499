"""AT-CNN: an encoder, a decoder for density, and in training three more for crowd, depth and count (Fig. 2, Table 1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
from keras import layers

from crowd_harness_at_cnn import UNIT
from harness.nn import vgg16
from harness.nn.resizing import Enlarge, GridPooling

if TYPE_CHECKING:
    from harness import ModelOptions

TASKS = ("depth", "segment", "count")
GRID = 7  # cells a side that features are pooled to for the count: the paper's N×N kernel fits one crop size alone
ENCODED, DECODED = (512, 512, 512), (256, 128, 64)  # dilated filters of CSRNet before and behind the fork


def build_csrnet(options: ModelOptions) -> keras.Model:
    """AT-CSRNet: float32 [B, H, W, 3] RGB values 0–255, H and W multiples of 8 → see `_fork`, maps at 1/8.

    The layers that predict density are CSRNet's in name, shape and number, 16,263,489 parameters.
    """
    image = keras.Input((None, None, 3), name="image")
    x = vgg16.blocks(vgg16.normalize(image), last="block4_conv3", he_start=options.pretrained == "none")
    names = [f"dilated_conv{number}" for number in range(1, 7)]
    features = _dilated(x, names[:3], ENCODED)

    def decode(task: str) -> Any:
        own = names[3:] if task == "density" else [f"{task}_conv{number}" for number in (1, 2, 3)]
        return _last(_dilated(features, own, DECODED), "output" if task == "density" else f"{task}_output")

    def count() -> Any:
        x = layers.Conv2D(512, GRID, activation="relu", kernel_initializer="he_normal", name="count_conv1")(
            GridPooling(GRID, name="count_pool")(features)
        )
        x = layers.Dropout(0.5, name="count_dropout")(x)
        for number, filters in enumerate((256, 128, 64), 2):
            x = _convolve(x, filters, 1, f"count_conv{number}")
        return x

    network = _fork(image, decode, count, 8, options, "at_csrnet")
    vgg16.load_pretrained(network, options.pretrained)
    return network


def build_cfcn(options: ModelOptions) -> keras.Model:
    """AT-CFCN: float32 [B, H, W, 3] RGB values 0–255, H and W multiples of 4 → see `_fork`, maps of the image's size."""
    image = keras.Input((None, None, 3), name="image")
    x = layers.Rescaling(1 / 64.0, -110.0 / 64.0, name="centred")(image)
    x = _convolve(x, 32, 7, "encoder_conv1", strides=2)
    x = _convolve(x, 64, 7, "encoder_conv2", strides=2)
    features = _convolve(x, 128, 5, "encoder_conv3")

    def decode(task: str) -> Any:
        # The fixed bilinear "deconvolutions" mix no channels: a 1×1 convolution before each does.
        x = _convolve(features, 64, 5, f"{task}_conv1")
        x = Enlarge(2, name=f"{task}_enlarge1")(_convolve(x, 32, 1, f"{task}_conv2"))
        return Enlarge(2, name=f"{task}_enlarge2")(_last(x, f"{task}_output"))

    def count() -> Any:
        x = layers.Conv2D(64, GRID, activation="relu", kernel_initializer="he_normal", name="count_conv1")(
            GridPooling(GRID, name="count_pool")(features)
        )
        return _convolve(x, 32, 1, "count_conv2")

    return _fork(image, decode, count, 1, options, "at_cfcn")


def _fork(
    image: Any,
    decode: Callable[[str], Any],
    count: Callable[[], Any],
    stride: int,
    options: ModelOptions,
    name: str,
) -> keras.Model:
    """The decoders of the chosen tasks. A dict of

    "density" [B, h, w, 1];
    "depth" [B, h, w, 1]: distilled depth, 0–1;
    "segment" [B, h, w, 1]: logits of the crowd;
    "count" [B]: heads a `UNIT` of pixels, averaged over the crop.

    All but the density are trained alone and absent from the inference network.
    """
    tasks = options.variant.get("tasks", TASKS)
    outputs = {"density": layers.Rescaling(stride**2 / UNIT, dtype="float32", name="density")(decode("density"))}
    for task in ("depth", "segment"):
        if task in tasks:
            outputs[task] = layers.Activation("linear", dtype="float32", name=task)(decode(task))
    if "count" in tasks:
        outputs["count"] = layers.Reshape((), dtype="float32", name="count")(_last(count(), "count_output"))
    return keras.Model(image, outputs, name=name)


def _dilated(x: Any, names: list[str], filters: tuple[int, ...]) -> Any:
    """3×3 convolutions of dilation 2, each with ReLU."""
    for name, width in zip(names, filters, strict=True):
        x = layers.Conv2D(
            width, 3, padding="same", dilation_rate=2, activation="relu", kernel_initializer="he_normal", name=name
        )(x)
    return x


def _last(x: Any, name: str) -> Any:
    """The 1×1 convolution to one map."""
    return layers.Conv2D(1, 1, kernel_initializer=keras.initializers.RandomNormal(stddev=0.01), name=name)(x)


def _convolve(x: Any, filters: int, size: int, name: str, strides: int = 1) -> Any:
    return layers.Conv2D(
        filters,
        size,
        strides=strides,
        padding="same",
        activation="relu",
        kernel_initializer="he_normal",
        name=name,
    )(x)
