"""The size of a pretrained VGG's features: in the hundreds as Keras' weights were trained, of order 1 where heads begin.

Keras' weights were trained on values 0–255. The convolutions that methods lay upon them, their starts and their rates are made
for features of order 1, as torchvision's networks and batch normalisation have them: on features of 300, one step of Adam at
1e-4 moves a last layer of 64 filters by several heads a cell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from harness.nn.vgg import Vgg

SIDE = 128


def unit_scaled(vgg: Vgg, weights: dict[str, tuple[np.ndarray, ...]]) -> dict[str, tuple[np.ndarray, ...]]:
    """The same network but for one factor a layer, which ReLUs and poolings hand on (as Gatys et al., CVPR 2016, section 2).

    Each factor is the power of two after which the layer's output for `probe` has a root mean square from 2^-½ to 2^½: of
    powers of two no weight loses a bit.

    Args:
        weights: layer name → (kernel [3, 3, in, out], bias [out]) for normalised RGB.
    """
    scaled: dict[str, tuple[np.ndarray, ...]] = {}
    x, before = probe(), 1.0
    for block, depth in enumerate(vgg.depths, 1):
        for number in range(1, depth + 1):
            name = f"block{block}_conv{number}"
            kernel, bias = weights[name]
            x = np.maximum(_convolved(x, kernel) + bias, 0)
            size = float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))
            after = 2.0 ** -round(np.log2(size)) if size else before
            scaled[name] = (kernel * kernel.dtype.type(after / before), bias * bias.dtype.type(after))
            before = after
        x = x.reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2, -1).max((1, 3))
    return scaled


def probe() -> np.ndarray:
    """float32 [128, 128, 3]: normalised grey noise with the spectrum of photographs (amplitude 1/frequency)."""
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE))
    frequency[0, 0] = np.inf  # mean 0
    noise = np.fft.ifft2(np.fft.fft2(np.random.default_rng(0).normal(size=(SIDE, SIDE))) / frequency).real
    return np.repeat((noise / noise.std())[..., None], 3, axis=-1).astype(np.float32)


def _convolved(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """[H, W, in] and [3, 3, in, out] → [H, W, out], zeros outside."""
    height, width, _ = x.shape
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    out = np.zeros((height * width, kernel.shape[-1]), np.float32)
    for row in range(3):
        for column in range(3):
            window = padded[row : row + height, column : column + width]
            out += window.reshape(height * width, -1) @ kernel[row, column]
    return out.reshape(height, width, -1)
