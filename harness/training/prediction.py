"""Whole images → density maps, whatever their size."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.data.crops import pad_to
from harness.method import Method
from harness.training import backend

LARGEST_WHOLE = 2_500_000  # pixels; larger images are predicted in tiles, which bounds memory
LARGEST_WHOLE_GLOBAL = 4_000_000  # of networks that are not local: their tiles are not exact
TILE = 1024  # pixels a side of a tile's own part, a multiple of every stride in use
FIXED_SIDES = (256, 512, 1024)  # of tiles where every size of picture is a compilation
OWN_SHARE = 2.5  # the least side of such a tile, in margins: two of them are not its own


def density_of(network: Any, method: Method, image: np.ndarray) -> np.ndarray:
    """`predict_density` as `method` needs it: on JAX, which compiles for each size, in tiles of few sizes where it is local."""
    sides = fixed_sides(method.margin, method.side_multiple) if method.local and backend.compiles_each_size() else ()
    largest = LARGEST_WHOLE if method.local else LARGEST_WHOLE_GLOBAL
    return predict_density(network, image, method.stride, method.side_multiple, method.margin, largest, sides=sides)


def fixed_sides(margin: int, multiple: int) -> tuple[int, ...]:
    """The sides in pixels that tiles may have, ascending: at most three, the least wide enough for its two margins."""
    least = -(-int(OWN_SHARE * margin) // 128) * 128
    sides = {max(FIXED_SIDES[0], least), *(side for side in FIXED_SIDES if side > least)}
    return tuple(sorted({-(-side // multiple) * multiple for side in sides}))


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
    sides: tuple[int, ...] = (),
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
        sides: where there are any, images of every size are predicted in tiles of these sides, multiples of `multiple`: they
            lie inside the image, and where one ends at the image's border it sees that border as the whole image would. An
            image with a side below the least of them is predicted whole along it, a shape of its own.

    Returns:
        float32 [ceil(H/stride), ceil(W/stride)].
    """
    height, width = image.shape[:2]
    rows, columns = -(-height // stride), -(-width // stride)
    padded = pad_to(image, -(-height // multiple) * multiple, -(-width // multiple) * multiple)
    if sides:
        return _in_fixed_tiles(network, padded, stride, -(-margin // multiple) * multiple, sides)[:rows, :columns]
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


def _in_fixed_tiles(network: Any, image: np.ndarray, stride: int, margin: int, sides: tuple[int, ...]) -> np.ndarray:
    """The density [H/stride, W/stride] of a padded image, each tile giving what no inner margin of it reaches."""
    height, width = image.shape[:2]
    density = np.zeros((height // stride, width // stride), np.float32)
    for top, bottom in spans(height, margin, sides):
        for left, right in spans(width, margin, sides):
            part = _forward(network, image[top:bottom, left:right])
            above, before = (margin if edge else 0 for edge in (top, left))
            below, behind = (margin if edge else 0 for edge in (height - bottom, width - right))
            inside = np.s_[
                (top + above) // stride : (bottom - below) // stride,
                (left + before) // stride : (right - behind) // stride,
            ]
            own = np.s_[
                above // stride : (bottom - top - below) // stride, before // stride : (right - left - behind) // stride
            ]
            density[inside] = part[own]
    return density


def spans(length: int, margin: int, sides: tuple[int, ...]) -> list[tuple[int, int]]:
    """Where tiles begin and end along `length` pixels: all of that of `sides` with which the fewest pixels are computed,
    of two alike the larger.

    Two neighbours overlap by two margins or more, so that what is no cell's inner margin covers the length.
    """
    best: list[tuple[int, int]] = []
    for side in sides:
        if side == length or 2 * margin < side < length:
            last, step = length - side, max(1, side - 2 * margin)
            found = [(start, start + side) for start in [*range(0, last, step), last]]
            if not best or len(found) * side <= len(best) * (best[0][1] - best[0][0]):
                best = found
    return best or [(0, length)]


def _forward(network: Any, image: np.ndarray) -> np.ndarray:
    return backend.forward(network, image[None].astype(np.float32))[0, :, :, 0]
