"""A density map drawn over its photograph: clear where there is nobody, the more opaque the denser; a legend below."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.files.atomic import written
from harness.files.images import encoded

MOST_OPAQUE = 0.7  # heads stay visible where they are densest
EXPONENT = 0.8  # of opacity: below 1, so that sparse heads show too
STOPS = (0.0, 0.35, 0.7, 1.0)
COLOURS = ((255, 235, 59), (255, 145, 0), (229, 40, 50), (120, 0, 90))  # RGB, from sparse to dense
ROWS = 256  # at once: a photograph of 24 megapixels takes gigabytes as numbers
LEAST_WIDTH = 320  # pixels; smaller pictures are enlarged by a whole number, or nobody could read their legend
LARGEST_ENLARGED = 32768  # pixels of height beyond which none is: a strip one pixel wide would have millions of rows
GROUND, INK = (24, 28, 36), (235, 238, 243)
UNIT = "heads per pixel"


def blend(image: np.ndarray, density: np.ndarray, top: float) -> np.ndarray:
    """uint8 [H, W, 3]: `image` (RGB) under `density` (heads a pixel, [H, W]), whose colours end at `top`.

    Where the density is zero or below the photograph is as it was.
    """
    shown = np.empty_like(image)
    for begin in range(0, len(image), ROWS):
        rows = slice(begin, begin + ROWS)
        share = np.clip(density[rows] / top, 0, 1)
        opacity = MOST_OPAQUE * share[:, :, None] ** EXPONENT
        colours = np.stack([np.interp(share, STOPS, channel) for channel in zip(*COLOURS, strict=True)], axis=-1)
        shown[rows] = np.rint(image[rows] * (1 - opacity) + colours * opacity)
    return shown


def top_of(density: np.ndarray) -> float:
    """Where the colours end: the 99.5th percentile of what is above zero, so that one hot cell does not hide the rest."""
    positive = density[density > 0]
    return float(np.percentile(positive, 99.5)) if positive.size else 1.0


def per_pixel(density: np.ndarray, stride: int, height: int, width: int) -> np.ndarray:
    """Heads a cell [ceil(H/stride), ceil(W/stride)] → heads a pixel, float32 [H, W], interpolated between the cells."""
    import cv2

    size = (density.shape[1] * stride, density.shape[0] * stride)
    return cv2.resize(density, size, interpolation=cv2.INTER_LINEAR)[:height, :width] / stride**2


def drawn(image: np.ndarray, density: np.ndarray, top: float, words: str) -> np.ndarray:
    """uint8 [H', W', 3]: `blend` with a legend below it: `words` (the counts), and what the colours mean."""
    import cv2

    picture = blend(image, density, top)
    factor = min(-(-LEAST_WIDTH // picture.shape[1]), max(1, LARGEST_ENLARGED // picture.shape[0]))
    if factor > 1:
        picture = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
    if (missing := LEAST_WIDTH - picture.shape[1]) > 0:  # a high strip
        ground = np.full((len(picture), missing, 3), GROUND, np.uint8)
        picture = np.concatenate([picture, ground], axis=1)
    return np.concatenate([picture, _legend(picture.shape[1], top, words)])


def _legend(width: int, top: float, words: str) -> np.ndarray:
    """uint8 [h, width, 3]: the words, and below them the colours as they lie over this very ground."""
    import cv2

    scale = width / 850
    thickness, gap, font = max(1, round(1.4 * scale)), max(4, round(width / 60)), cv2.FONT_HERSHEY_SIMPLEX

    def size(text: str) -> tuple[int, int]:
        (wide, high), _ = cv2.getTextSize(text, font, scale, thickness)
        return wide, high

    line = size("0")[1] + 2 * gap
    strip = np.full((2 * line + gap, width, 3), GROUND, np.uint8)

    def write(text: str, left: int, row: int) -> None:
        cv2.putText(strip, text, (left, (row + 1) * line - gap // 2), font, scale, INK, thickness, cv2.LINE_AA)

    most = f"{top:.2g}+ {UNIT}"
    left, right = gap + size("0")[0] + gap, width - gap - size(most)[0] - gap
    write(words, gap, 0)
    write("0", gap, 1)
    write(most, right + gap, 1)
    upper, lower = 2 * line - gap // 2 - size("0")[1], 2 * line - gap // 2
    ramp = np.tile(np.linspace(0, top, max(2, right - left)), (lower - upper, 1))
    strip[upper:lower, left : left + ramp.shape[1]] = blend(np.full((*ramp.shape, 3), 128, np.uint8), ramp, top)
    return strip


def write_overlay(path: Path, image: np.ndarray, density: np.ndarray, stride: int, count: float) -> None:
    """Writes `image` under its density map (heads a cell) with a legend and its count to `path` (PNG).

    Raises:
        HarnessError: the file cannot be written.
    """
    pixels = per_pixel(density, stride, *image.shape[:2])
    picture = drawn(image, pixels, top_of(pixels), f"predicted count {count:.1f}")
    with written(path) as temporary:
        temporary.write_bytes(encoded(picture, ".png"))
