"""Whole images → density maps, and points where a network has them, whatever their size."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from harness import localisation
from harness.data.crops import pad_to
from harness.data.regions import points_inside
from harness.method import Method, named_outputs
from harness.training import backend

LARGEST_WHOLE = 2_500_000  # pixels; larger images are predicted in tiles, which bounds memory
LARGEST_WHOLE_GLOBAL = 4_000_000  # of networks that are not local: their tiles are not exact
TILE = 1024  # pixels a side of a tile's own part, a multiple of every stride in use
FIXED_SIDES = (256, 512, 1024)  # of tiles where every size of picture is a compilation
OWN_SHARE = 2.5  # the least side of such a tile, in margins: two of them are not its own


@dataclass(frozen=True)
class Prediction:
    """What a network says of one image, on its ceil(H/stride) × ceil(W/stride) cells that begin inside the image.

    Attributes:
        density: float32 [h, w], heads a cell; its sum is the predicted count.
        candidates: float32 [h, w, 3·K], the network's "points" (`harness.localisation.accepted`); None where it has none.
    """

    density: np.ndarray
    candidates: np.ndarray | None = None


def points_of(
    prediction: Prediction, stride: int, size: tuple[int, int] | None = None, region: np.ndarray | None = None
) -> np.ndarray:
    """float64 [N, 3], (x, y, score) in pixels: the method's own points, or the peaks of its density where it has none.

    Args:
        size: height and width of the image, which may cut the last cells; where None they are whole.
        region: bool [height, width], the region of interest that `prediction` was counted in; None where all is inside.
    """
    points = localisation.points_of(prediction.density, prediction.candidates, stride, size, region)
    # A peak is in a cell that has heads inside.
    return points if region is None or prediction.candidates is None else points_inside(points, region)


def density_of(network: Any, method: Method, image: np.ndarray) -> np.ndarray:
    """The density alone of `prediction_of`."""
    return prediction_of(network, method, image).density


def prediction_of(network: Any, method: Method, image: np.ndarray) -> Prediction:
    """`predict` as `method` needs it: on JAX, which compiles for each size, in tiles of few sizes where it is local."""
    sides = fixed_sides(method.margin, method.side_multiple) if method.local and backend.compiles_each_size() else ()
    largest = LARGEST_WHOLE if method.local else LARGEST_WHOLE_GLOBAL
    return predict(network, image, method.stride, method.side_multiple, method.margin, largest, sides=sides)


def fixed_sides(margin: int, multiple: int) -> tuple[int, ...]:
    """The sides in pixels that tiles may have, ascending: at most three, the least wide enough for its two margins."""
    least = -(-int(OWN_SHARE * margin) // 128) * 128
    sides = {max(FIXED_SIDES[0], least), *(side for side in FIXED_SIDES if side > least)}
    return tuple(sorted({-(-side // multiple) * multiple for side in sides}))


def inexact(method: Method, shape: tuple[int, ...]) -> bool:
    """Whether an image of `shape` (height, width, …) is too large for `method` to see whole though it should."""
    return not method.local and shape[0] * shape[1] > LARGEST_WHOLE_GLOBAL


def predict_density(*arguments: Any, **options: Any) -> np.ndarray:
    """The density alone of `predict`, which takes the same."""
    return predict(*arguments, **options).density


def predict(
    network: Any,
    image: np.ndarray,
    stride: int,
    multiple: int,
    margin: int,
    largest: int = LARGEST_WHOLE,
    tile: int = 0,
    sides: tuple[int, ...] = (),
) -> Prediction:
    """The maps of one image.

    Sides that are no multiple of `multiple` are continued to the right and below by their last column and row; output
    cells wholly behind the frame are dropped and one that straddles it is kept, so no head is lost or resized away.

    Args:
        network: from float32 [1, H, W, C] to density [1, H/stride, W/stride, 1], or to a dict of it and "points".
        image: uint8 [H, W, C].
        margin: pixels around a tile that its density may depend on.
        largest: pixels above which the image is predicted in tiles.
        tile: pixels a side of a tile's own part; 0 for the usual size.
        sides: where there are any, images of every size are predicted in tiles of these sides, multiples of `multiple`: they
            lie inside the image, and where one ends at the image's border it sees that border as the whole image would. An
            image with a side below the least of them is predicted whole along it, a shape of its own.
    """
    height, width = image.shape[:2]
    rows, columns = -(-height // stride), -(-width // stride)
    padded = pad_to(image, -(-height // multiple) * multiple, -(-width // multiple) * multiple)
    margin = -(-margin // multiple) * multiple
    if sides:
        down, across = (_fixed_tiles(length, margin, sides) for length in padded.shape[:2])
    elif height * width > largest:
        tile = max(multiple, (tile or TILE) // multiple * multiple)
        down, across = (_tiles(length, margin, tile) for length in padded.shape[:2])
    else:
        return _of_image(_forward(network, padded), rows, columns)
    return _of_image(_in_tiles(network, padded, stride, down, across), rows, columns)


def _of_image(maps: Mapping[str, np.ndarray], rows: int, columns: int) -> Prediction:
    """Without the cells behind the frame."""
    kept = {name: values[:rows, :columns] for name, values in maps.items()}
    return Prediction(kept["density"][:, :, 0], kept.get("points"))


class _Tile(NamedTuple):
    """A tile along one side of an image, in pixels: what it sees, and what of its density is kept."""

    begin: int
    end: int
    first: int
    last: int


def _in_tiles(
    network: Any, image: np.ndarray, stride: int, down: Sequence[_Tile], across: Sequence[_Tile]
) -> dict[str, np.ndarray]:
    """The maps [H/stride, W/stride, …] of a padded image from its tiles, whose kept parts cover it.

    Points are relative to their cells, so that they are cut and put together as a density is.
    """
    whole: dict[str, np.ndarray] = {}
    for row, column in itertools.product(down, across):
        kept = [slice(one.first // stride, one.last // stride) for one in (row, column)]
        own = [slice((one.first - one.begin) // stride, (one.last - one.begin) // stride) for one in (row, column)]
        for name, part in _forward(network, image[row.begin : row.end, column.begin : column.end]).items():
            if name not in whole:
                size = (image.shape[0] // stride, image.shape[1] // stride, part.shape[-1])
                whole[name] = np.zeros(size, np.float32)
            whole[name][tuple(kept)] = part[tuple(own)]
    return whole


def _tiles(length: int, margin: int, tile: int) -> list[_Tile]:
    """Parts of `tile` pixels side by side, each seen with a margin around it as far as the image goes."""
    parts = [(first, min(first + tile, length)) for first in range(0, length, tile)]
    return [_Tile(max(0, first - margin), min(length, last + margin), first, last) for first, last in parts]


def _fixed_tiles(length: int, margin: int, sides: tuple[int, ...]) -> list[_Tile]:
    """Tiles of one of `sides` inside the image, of which is kept what no inner margin reaches."""
    return [
        _Tile(begin, end, begin + (margin if begin else 0), end - (margin if end < length else 0))
        for begin, end in spans(length, margin, sides)
    ]


def spans(length: int, margin: int, sides: tuple[int, ...]) -> list[tuple[int, int]]:
    """Where tiles begin and end along `length` pixels. All tiles have one side: the one of `sides` with which the fewest
    pixels are computed, the larger on a tie.

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


def _forward(network: Any, image: np.ndarray) -> dict[str, np.ndarray]:
    outputs = named_outputs(backend.forward(network, image[None].astype(np.float32)))
    return {name: values[0] for name, values in outputs.items()}
