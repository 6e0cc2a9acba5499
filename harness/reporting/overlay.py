"""A density map drawn over its picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.errors import HarnessError
from harness.files.atomic import replacing
from harness.files.images import encoded


def blend(image: np.ndarray, density: np.ndarray, stride: int) -> np.ndarray:
    """uint8 [H, W, 3]: `image` (RGB) under the density map [ceil(H/stride), ceil(W/stride)], hot where heads are.

    The colour scale ends at the map's 99.5th percentile, so that one hot cell does not hide the rest; where the density is
    zero the picture shows through unchanged.
    """
    import cv2

    height, width = image.shape[:2]
    positive = np.maximum(density, 0)
    top = float(np.percentile(positive[positive > 0], 99.5)) if (positive > 0).any() else 1.0
    enlarged = cv2.resize(
        positive / top, (density.shape[1] * stride, density.shape[0] * stride), interpolation=cv2.INTER_LINEAR
    )
    heat = np.clip(enlarged[:height, :width], 0, 1)
    colours = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_TURBO)[:, :, ::-1]
    opacity = (0.75 * np.sqrt(heat))[:, :, None]
    return (image * (1 - opacity) + colours * opacity).astype(np.uint8)


def write_overlay(path: Path, image: np.ndarray, density: np.ndarray, stride: int, count: float) -> None:
    """Writes the blended picture with its count in a corner to `path` (PNG).

    Raises:
        HarnessError: the file cannot be written.
    """
    import cv2

    picture = np.ascontiguousarray(blend(image, density, stride))
    scale = max(0.4, min(picture.shape[:2]) / 500)
    text, thickness = f"{count:.1f}", max(1, round(2 * scale))
    (width, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    corner = (round(8 * scale), height + round(8 * scale))
    cv2.rectangle(picture, (0, 0), (width + round(16 * scale), corner[1] + base), (0, 0, 0), -1)
    cv2.putText(picture, text, corner, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), thickness, cv2.LINE_AA)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(encoded(picture, ".png"))
    except OSError as error:
        raise HarnessError(f"{path}: cannot be written ({error.strerror or error})") from None
