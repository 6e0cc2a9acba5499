"""The front of MobileNetV2 (Sandler et al., CVPR 2018), for light networks.

It is that of `keras.applications`, with its layers and their names ("Conv1", "block_1_expand", …), and takes images through
`scaled`, as its weights expect. At 512 × 1024 it has 1.2 G multiply-adds to stride 8 and 2.3 G to stride 16; VGG-16 has 146 G
to its block4_conv3.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError, one_line
from harness.nn import pretrained

if TYPE_CHECKING:
    import keras

NAME = "mobilenet_v2"  # what `Method.pretrained` calls it
TITLE = "MobileNetV2"
ENDS = {8: "block_6_expand_relu", 16: "block_13_expand_relu"}  # the last layer of each stride
MOMENTUM = 0.9  # of the running averages; after a short training, Keras' 0.999 would still be mostly their start


def scaled(image: Any) -> Any:
    """RGB values 0–255 → −1 to 1."""
    from keras import layers

    return layers.Rescaling(1 / 127.5, offset=-1, name="mobilenet_scaling")(image)


def front(x: Any, stride: int = 8) -> Any:
    """[B, H, W, 3] of `scaled` → features in 0 to 6: [B, H/8, W/8, 192], or [B, H/16, W/16, 576] at stride 16.

    The last layer is the expansion that the next stride begins with; at stride 16 the paper's detector starts from it too.
    Sides must be multiples of the stride, as the harness makes them (`Method.stride`). A cell depends on pixels up to 29 beyond
    its own at stride 8 and up to 133 at stride 16 (for `Method.margin`).

    Raises:
        ValueError: another stride.
    """
    import keras

    if stride not in ENDS:
        raise ValueError(f"stride: expected one of {', '.join(map(str, ENDS))}, found {stride!r}")
    network = keras.applications.MobileNetV2(input_tensor=x, weights=None, include_top=False)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = MOMENTUM
    return network.get_layer(ENDS[stride]).output


def load_pretrained(network: keras.Model, source: str) -> None:
    """Sets the layers of `front` in `network` from `source`: "none", "imagenet", or a weights file's path; see `read`.

    Raises:
        HarnessError: the weights cannot be had or do not fit.
    """
    if source == "none":
        return
    trained = {layer.name: layer.get_weights() for layer in _trained(source).layers if layer.weights}
    pretrained.set_layers(network, trained, source, TITLE)


def check(source: str) -> None:
    """Raises `HarnessError` unless the weights that `source` names can be had; call before any training."""
    if source != "none":
        _trained(source)


def read(path: Path) -> keras.Model:
    """The network of `keras.applications` without its top, with the weights of a Keras file (`.h5`, `.weights.h5`).

    torchvision's weights are of another network: it pads its strided convolutions on both sides, Keras' below and to the right.

    Raises:
        HarnessError: no such file, or not that network's.
    """
    import keras

    pretrained.require_file(path, TITLE)
    network = keras.applications.MobileNetV2(weights=None, include_top=False, input_shape=(224, 224, 3))
    try:
        network.load_weights(path)
    except Exception as error:  # Keras and HDF5 raise many kinds on files of something else
        raise HarnessError(
            f"{path}: not the weights of keras.applications' {TITLE} without its top ({one_line(error)}); expected them as .h5 "
            f"or .weights.h5"
        ) from None
    return network


def _trained(source: str) -> keras.Model:
    return pretrained.imagenet(TITLE, TITLE) if source == "imagenet" else read(Path(source))
