"""Whole images → density maps, whatever their size."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.data.crops import pad_to
from harness.method import Method

LARGEST_WHOLE = 2_500_000  # pixels; larger images are predicted in tiles, which bounds memory
LARGEST_WHOLE_GLOBAL = 4_000_000  # of networks that are not local: their tiles are not exact
TILE = 1024  # pixels a side of a tile's own part, a multiple of every stride in use


def density_of(network: Any, method: Method, image: np.ndarray) -> np.ndarray:
    """`predict_density` as `method` needs it."""
    largest = LARGEST_WHOLE if method.local else LARGEST_WHOLE_GLOBAL
    return predict_density(network, image, method.stride, method.side_multiple, method.margin, largest)


def inexact(method: Method, shape: tuple[int, ...]) -> bool:
    """Whether an image of `shape` (height, width, …) is too large for `method` to see whole though it should."""
    return not method.local and shape[0] * shape[1] > LARGEST_WHOLE_GLOBAL


def predict_density(
    network: Any,
    image: np.ndarray,
    stride: int,
    multiple: int,
    margin: int,
    largest: int = LARGEST_WHOLE,
    tile: int = 0,
) -> np.ndarray:
    """The density map of one image; its sum is the predicted count.

    Sides that are no multiple of `multiple` are continued to the right and below by their last column and row; output
    cells wholly behind the frame are dropped and one that straddles it is kept, so no head is lost or resized away.

    Args:
        network: from float32 [1, H, W, C] to density [1, H/stride, W/stride, 1].
        image: uint8 [H, W, C].
        margin: pixels around a tile that its density may depend on.
        largest: pixels above which the image is predicted in tiles.
        tile: pixels a side of a tile's own part; 0 for the usual size.

    Returns:
        float32 [ceil(H/stride), ceil(W/stride)].
    """
    height, width = image.shape[:2]
    rows, columns = -(-height // stride), -(-width // stride)
    padded = pad_to(image, -(-height // multiple) * multiple, -(-width // multiple) * multiple)
    if height * width <= largest:
        return _forward(network, padded)[:rows, :columns]
    density = np.zeros((padded.shape[0] // stride, padded.shape[1] // stride), np.float32)
    margin = -(-margin // multiple) * multiple
    tile = max(multiple, (tile or TILE) // multiple * multiple)
    for top in range(0, padded.shape[0], tile):
        for left in range(0, padded.shape[1], tile):
            _fill(density, network, padded, (top, left), (tile, margin, stride))
    return density[:rows, :columns]


def _fill(
    density: np.ndarray, network: Any, image: np.ndarray, corner: tuple[int, int], sizes: tuple[int, int, int]
) -> None:
    """Predicts one tile with its margin and keeps the tile's own part."""
    (top, left), (tile, margin, stride) = corner, sizes
    bottom, right = min(top + tile, image.shape[0]), min(left + tile, image.shape[1])
    above, before = max(0, top - margin), max(0, left - margin)
    part = _forward(network, image[above : bottom + margin, before : right + margin])
    row, column = (top - above) // stride, (left - before) // stride
    own = part[row : row + (bottom - top) // stride, column : column + (right - left) // stride]
    density[top // stride : bottom // stride, left // stride : right // stride] = own


def _forward(network: Any, image: np.ndarray) -> np.ndarray:
    output = network.predict_on_batch(image[None].astype(np.float32))
    return np.asarray(output, np.float32)[0, :, :, 0]
