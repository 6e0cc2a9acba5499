"""HSRNet: VGG-16 without its last pool, scale focus on conv2 … conv5, scale recalibration into five maps and their fusion."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import keras
from keras import layers, ops

from harness.nn import vgg16
from harness.nn.resizing import Enlarge

if TYPE_CHECKING:
    from harness import ModelOptions

RATIO = 64
SCALES = 5
# The sets listed under Eq. 6: (stage, channel) of the score maps E2 … E5 that make up each scale, counted from 1.
GROUPS = (
    ((2, 1), (3, 1), (4, 1), (5, 1)),
    ((2, 2), (3, 2), (4, 2), (5, 2)),
    ((3, 3), (4, 3), (5, 3)),
    ((4, 4), (5, 4)),
    ((5, 5),),
)
# Where −ln w of the learned loss weights starts, and how much faster than other weights it moves: it settles at ln L, which
# Adam's steps of 1e-5 would not reach. In crops of ShanghaiTech A the mean loss of an empty map, density × 100, is exp(−2.6);
# sparser benchmarks' and a trained network's are smaller.
START, REACH = -3.0, 300.0


def gaussian() -> keras.initializers.Initializer:
    """N(0, 0.01), a new one for each layer: one initializer gives the same values each time."""
    return keras.initializers.RandomNormal(stddev=0.01)


def mean(count: int) -> keras.initializers.Initializer:
    """A convolution that starts as the mean of so many maps."""
    return keras.initializers.Constant(1 / count)


def build(options: ModelOptions) -> keras.Model:
    """float32 [B, H, W, 3] RGB values 0–255, H and W multiples of 16 → a dict of

    "density" [B, H, W, 1]: D0, whose sum is the count;
    "scales" [B, H, W, 5]: D1 … D5, in heads;
    "log_variance" [B, 6]: −ln w of the losses of D0 … D5, the same in every row (where weights are learned).
    """
    variant = options.variant
    image = keras.Input((None, None, 3), name="image")
    stages = vgg16.levels(vgg16.normalize(image), he_start=options.pretrained == "none")
    if not variant.get("recalibration", True):
        network = keras.Model(image, {"density": _baseline(stages[-1], options)}, name="hsrnet")
    else:
        network = _recalibrated(image, stages, options)
    vgg16.load_pretrained(network, options.pretrained, last="block4_conv3")
    if options.pretrained != "none":
        for number in (1, 2, 3):
            kernel = network.get_layer(f"block5_conv{number}").kernel
            kernel.assign(gaussian()(kernel.shape))
    return network


def _baseline(features: Any, options: ModelOptions) -> Any:
    """Table 5, first row: a 1×1 convolution behind the backbone, enlarged to full size."""
    x = layers.Conv2D(1, 1, kernel_initializer=gaussian(), name="output")(features)
    x = Enlarge(16, name="enlarge")(x)
    return layers.Rescaling(options.heads_a_cell(1), dtype="float32", name="density")(x)


def _recalibrated(image: Any, stages: list[Any], options: ModelOptions) -> keras.Model:
    scores = {}
    for stage in range(2, 6):
        focused = scale_focus(stages[stage - 1], stage, options)
        x = layers.Conv2D(stage, 1, kernel_initializer=gaussian(), name=f"score{stage}")(focused)
        stride = 2 ** (stage - 1)
        scores[stage] = layers.Conv2DTranspose(
            stage,
            2 * stride,
            strides=stride,
            padding="same",
            kernel_initializer=Bilinear(),
            name=f"score{stage}_enlarge",
        )(x)
    # Each scale starts as the mean of its maps. From N(0, 0.01), behind a layer of the same, densities start at a 300th of
    # their size, and steps of 1e-5 bring them up by bending VGG instead.
    maps = []
    for scale, members in enumerate(GROUPS, 1):
        slices = [Channel(channel - 1, name=f"slice{stage}_{channel}")(scores[stage]) for stage, channel in members]
        stack = layers.Concatenate(name=f"stack{scale}")(slices) if len(slices) > 1 else slices[0]
        maps.append(layers.Conv2D(1, 1, kernel_initializer=mean(len(members)), name=f"scale{scale}")(stack))
    joined = layers.Concatenate(name="scales_scaled")(maps)
    fused = layers.Conv2D(1, 1, kernel_initializer=mean(SCALES), name="fuse")(joined)
    outputs = {
        "density": layers.Rescaling(options.heads_a_cell(1), dtype="float32", name="density")(fused),
        "scales": layers.Rescaling(options.heads_a_cell(1), dtype="float32", name="scales")(joined),
    }
    if options.variant.get("consistency", True) and "scale_weight" not in options.variant:
        outputs["log_variance"] = LogVariance(1 + SCALES, name="log_variance", dtype="float32")(outputs["scales"])
    return keras.Model(image, outputs, name="hsrnet")


def scale_focus(x: Any, stage: int, options: ModelOptions) -> Any:
    """The scale focus module on the features of one stage, as the variant orders its two parts."""
    order = options.variant.get("focus", "channel+spatial")
    ratio = options.variant.get("ratio", RATIO)
    if order == "none":
        return x
    if order == "channel":
        return channel_focus(x, stage, ratio)
    if order == "spatial":
        return spatial_focus(x, stage)
    if order == "channel+spatial":
        return spatial_focus(channel_focus(x, stage, ratio), stage)
    if order == "spatial+channel":
        return channel_focus(spatial_focus(x, stage), stage, ratio)
    both = [channel_focus(x, stage, ratio), spatial_focus(x, stage)]
    if order == "average":
        return layers.Average(name=f"focus{stage}_average")(both)
    if order == "conv":
        stack = layers.Concatenate(name=f"focus{stage}_stack")(both)
        return layers.Conv2D(x.shape[-1], 1, kernel_initializer=gaussian(), name=f"focus{stage}_conv")(stack)
    raise ValueError(f"focus: expected none, channel, spatial, an order of both, average or conv, found {order!r}")


def channel_focus(x: Any, stage: int, ratio: int) -> Any:
    """Eq. 1–3: global average → FC C/r, ReLU → FC C, sigmoid → multiplied into the channels.

    Hidden units start as positive sums of the channels, which lie behind a ReLU: all of them are on. Of two that start with
    either sign both are off for every image, and stay so, in a quarter of the starts. Weights up to 1/√C (as PyTorch's layers
    have them) keep them on: a few hundred steps of 1e-5 would undo weights of the size of a mean, 1/C.
    """
    channels = x.shape[-1]
    positive = keras.initializers.RandomUniform(0.0, channels**-0.5)
    z = layers.GlobalAveragePooling2D(keepdims=True, name=f"channel{stage}_pool")(x)
    reduced = max(1, channels // ratio)
    z = layers.Dense(
        reduced, activation="relu", use_bias=False, kernel_initializer=positive, name=f"channel{stage}_reduce"
    )(z)
    z = layers.Dense(channels, activation="sigmoid", use_bias=False, name=f"channel{stage}_weights")(z)
    return layers.Multiply(name=f"channel{stage}")([x, z])


def spatial_focus(x: Any, stage: int) -> Any:
    """Eq. 4–5: mean over channels → 7×7 convolution, sigmoid → multiplied into every channel."""
    mean = ChannelMean(name=f"spatial{stage}_mean")(x)
    weights = layers.Conv2D(
        1, 7, padding="same", activation="sigmoid", kernel_initializer=gaussian(), name=f"spatial{stage}_weights"
    )(mean)
    return layers.Multiply(name=f"spatial{stage}")([x, weights])


class ChannelMean(layers.Layer):
    """[B, h, w, C] → [B, h, w, 1]."""

    def call(self, x: Any) -> Any:
        return ops.mean(x, axis=-1, keepdims=True)

    def multiply_adds(self, *_input_shapes: tuple) -> int:
        return 0  # a mean

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (*input_shape[:-1], 1)


class Channel(layers.Layer):
    """[B, h, w, C] → [B, h, w, 1]: one channel."""

    def __init__(self, number: int, **options: Any) -> None:
        super().__init__(**options)
        self.number = number

    def call(self, x: Any) -> Any:
        return x[..., self.number : self.number + 1]

    def multiply_adds(self, *_input_shapes: tuple) -> int:
        return 0  # a slice

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (*input_shape[:-1], 1)


class LogVariance(layers.Layer):
    """Learned −ln w, one a loss: `START` + `REACH` · a weight. Its input only says how large the batch is."""

    def __init__(self, count: int, **options: Any) -> None:
        super().__init__(**options)
        self.count = count

    def build(self, _input_shape: Any) -> None:
        self.value = self.add_weight(shape=(self.count,), initializer="zeros", name="value")

    def call(self, x: Any) -> Any:
        return ops.zeros_like(x[:, 0, 0, :1]) + self.log_variances()

    def log_variances(self) -> Any:
        """float32 [count]."""
        return START + REACH * self.value

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], self.count)


def learned_weights(network: keras.Model) -> list[float]:
    """The weight of each scale's loss relative to that of the final map; empty where they are not learned."""
    found = [layer for layer in network.layers if isinstance(layer, LogVariance)]
    if not found:
        return []
    values = ops.convert_to_numpy(found[0].log_variances())
    return [math.exp(values[0] - value) for value in values[1:]]


class Bilinear(keras.initializers.Initializer):
    """A transposed convolution that enlarges each channel by itself, bilinearly, until it learns otherwise."""

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        size, _, outputs, inputs = shape
        factor = size // 2
        ramp = 1 - ops.abs((ops.arange(size, dtype="float32") + 0.5) / factor - 1)
        kernel = ramp[:, None] * ramp[None, :]
        return ops.cast(kernel[:, :, None, None] * ops.eye(outputs, inputs)[None, None], dtype or "float32")
