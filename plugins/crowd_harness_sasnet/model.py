"""SASNet: VGG-16-BN encoder, U-shaped decoder, a density head and a confidence head on each of five levels.

Follows the authors' released code where it differs from the paper: it made the published numbers (see README).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import layers, ops

from harness.nn import vgg16
from harness.nn.activations import recovering_relu
from harness.nn.resizing import AlignedUpsampling

if TYPE_CHECKING:
    from harness import ModelOptions

LEVELS = 5
_DECODER = ((64, 64), (128, 64), (256, 128), (512, 256), (1024, 512))  # the two convolutions of levels 1 … 5
PATCH = 32
# The authors' unit: the last layers give density × 1000 whatever the recipe's density_scale, for they end in ReLUs that
# large steps against small targets kill, and λ of Eq. 7 weighs the confidence against errors in this unit.
UNIT = 1000.0


def build(options: ModelOptions) -> keras.Model:
    """float32 [B, H, W, 3] RGB values 0–255, H and W multiples of 32 → a dict of

    "density" [B, H, W, 1]: the final map (Eq. 5), whose sum is the count;
    "levels" [B, H, W, 5]: the density of each level, in heads;
    "confidence_logits" [B, ceil(H/k), ceil(W/k), 5]: the score of each level for each k×k patch, before its sigmoid.

    38,898,698 trainable parameters.
    """
    variant = options.variant
    image = keras.Input((None, None, 3), name="image")
    encoded = vgg16.levels(vgg16.normalize(image), he_start=options.pretrained == "none", batch_normalization=True)
    decoded = _decode(encoded)
    if variant.get("levels") == "top":
        density = _to_heads(_density_head(decoded[0], 1), "density")
        network = keras.Model(image, {"density": density}, name="sasnet")
    else:
        network = _all_levels(image, decoded, options)
    vgg16.load_pretrained(network, options.pretrained)
    return network


def _all_levels(image: Any, decoded: list[Any], options: ModelOptions) -> keras.Model:
    patch = options.variant.get("patch", PATCH)
    maps = []
    for level, features in enumerate(decoded, 1):
        density = _density_head(features, level)
        if level > 1:
            # Nearest, as the released code: the head itself predicts heads per full-size pixel.
            density = layers.UpSampling2D(2 ** (level - 1), name=f"density{level}_enlarged")(density)
        maps.append(density)
    densities = _to_heads(layers.Concatenate(name="levels_scaled")(maps), "levels")
    outputs = {"levels": densities}
    if options.variant.get("selection") == "average":
        outputs["density"] = Average(name="density", dtype="float32")(densities)
        return keras.Model(image, outputs, name="sasnet")
    scores = [_confidence_head(features, level, patch) for level, features in enumerate(decoded, 1)]
    logits = layers.Concatenate(name="confidence_logits", dtype="float32")(scores)
    confidence = layers.Activation("sigmoid", name="confidence", dtype="float32")(logits)
    hard = options.variant.get("selection") == "hard"
    outputs["confidence_logits"] = logits
    outputs["density"] = Select(patch, hard, name="density", dtype="float32")([densities, confidence])
    return keras.Model(image, outputs, name="sasnet")


def _to_heads(scaled: Any, name: str) -> Any:
    return layers.Rescaling(1 / UNIT, dtype="float32", name=name)(scaled)


def _decode(encoded: list[Any]) -> list[Any]:
    """P1 … P5 from V1 … V5: enlarge, concatenate behind the encoder's features, two 3×3 convolutions."""
    decoded: list[Any] = []
    x = None
    for level in range(LEVELS, 0, -1):
        features = encoded[level - 1]
        if x is not None:
            enlarged = AlignedUpsampling(name=f"decoder{level}_enlarge")(x)
            features = layers.Concatenate(name=f"decoder{level}_join")([features, enlarged])
        for number, filters in enumerate(_DECODER[level - 1], 1):
            features = layers.Conv2D(
                filters,
                3,
                padding="same",
                activation="relu",
                kernel_initializer="he_normal",
                name=f"decoder{level}_conv{number}",
            )(features)
        x = features
        decoded.insert(0, x)
    return decoded


def _density_head(features: Any, level: int) -> Any:
    """Branches of 1×1, 3×3 and 5×5 behind bottlenecks of half the channels, and the input itself → 1×1, ReLU."""
    channels = features.shape[-1]
    branches = []
    for size in (1, 3, 5):
        name = f"density{level}_{size}x{size}"
        x = _normalised_convolution(features, channels // 2, 1, f"{name}_reduce")
        branches.append(_normalised_convolution(x, channels, size, name))
    joined = layers.Concatenate(name=f"density{level}_branches")([*branches, features])
    # A bias above zero: a ReLU as the last word on a density must not start dead, nor stay so once it is.
    start = keras.initializers.Constant(0.1)
    return layers.Conv2D(1, 1, activation=recovering_relu, bias_initializer=start, name=f"density{level}_output")(
        joined
    )


def _normalised_convolution(x: Any, filters: int, size: int, name: str) -> Any:
    x = layers.Conv2D(
        filters, size, padding="same", use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv"
    )(x)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-3, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _confidence_head(features: Any, level: int, patch: int) -> Any:
    """One raw score a patch: average of the patch → 1×1 to half the channels, ReLU → 1×1."""
    side = max(1, patch // 2 ** (level - 1))
    pool = layers.AveragePooling2D if PATCH % patch == 0 else PatchAverage  # the sides are multiples of 32
    x = pool(side, name=f"confidence{level}_pool")(features)
    if patch < 2 ** (level - 1):  # patches finer than this level's cells share a cell
        x = layers.UpSampling2D(2 ** (level - 1) // patch, name=f"confidence{level}_enlarge")(x)
    x = layers.Conv2D(features.shape[-1] // 2, 1, activation="relu", name=f"confidence{level}_conv")(x)
    return layers.Conv2D(1, 1, name=f"confidence{level}_output")(x)


class PatchAverage(layers.Layer):
    """[B, h, w, C] → [B, ceil(h/side), ceil(w/side), C]: the mean of what each patch of side × side cells has in the map.

    Patches are counted from the upper left corner, as labels and selection count them; Keras' "same" padding has them begin
    outside.
    """

    def __init__(self, side: int, **options: Any) -> None:
        super().__init__(**options)
        self.side = side

    def call(self, x: Any) -> Any:
        return self._mean(x) / self._mean(ops.ones_like(x[:1, :, :, :1]))

    def _mean(self, x: Any) -> Any:
        beyond = [0, self.side - 1]
        return ops.average_pool(ops.pad(x, [[0, 0], beyond, beyond, [0, 0]]), self.side, strides=self.side)

    def multiply_adds(self, *_input_shapes: tuple) -> int:
        return 0  # a mean

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        batch, height, width, channels = input_shape
        return (batch, height and -(-height // self.side), width and -(-width // self.side), channels)


class Select(layers.Layer):
    """[densities [B, H, W, 5], confidence [B, h, w, 5]] → [B, H, W, 1]: softmax over levels, or the best level alone."""

    def __init__(self, patch: int, hard: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.patch = patch
        self.hard = hard

    def call(self, inputs: list[Any]) -> Any:
        densities, confidence = inputs
        if self.hard:
            weights = ops.one_hot(ops.argmax(confidence, axis=-1), LEVELS, dtype=densities.dtype)
        else:
            weights = ops.softmax(confidence, axis=-1)
        weights = ops.repeat(ops.repeat(weights, self.patch, axis=1), self.patch, axis=2)
        shape = ops.shape(densities)
        weights = weights[:, : shape[1], : shape[2]]  # the last patches may reach beyond the image
        return ops.sum(densities * weights, axis=-1, keepdims=True)

    def multiply_adds(self, *_input_shapes: tuple) -> int:
        return 0  # a choice between maps

    def compute_output_shape(self, input_shape: list[tuple]) -> tuple:
        return (*input_shape[0][:3], 1)


class Average(layers.Layer):
    """[B, H, W, 5] → [B, H, W, 1]: the mean over levels."""

    def call(self, densities: Any) -> Any:
        return ops.mean(densities, axis=-1, keepdims=True)

    def multiply_adds(self, *_input_shapes: tuple) -> int:
        return 0  # a mean

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (*input_shape[:3], 1)
