"""How far away each pixel is: three providers a method can take its depth labels from.

All give relative depth, 1 where the image is farthest and less where it is nearer: monocular depth knows no metres, and only
the order of depths within one image is used.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from harness.benchmark import Benchmark, Sample
from harness.errors import DataError, unknown_name
from harness.head_spacing import mean_neighbour_distance
from harness.label_map import LabelMap

NEIGHBOURS = 3
SMALLEST_SHARE = 0.1  # of the mean spacing: a fitted plane may cross zero above the farthest head
SUFFIXES = (".depth.npy", ".depth.png")


def provider(source: str) -> LabelMap:
    """The depth provider called "head_spacing", "perspective" or "files"; raises `HarnessError` for another name."""
    providers = {
        "head_spacing": LabelMap("head_spacing", _from_heads),
        "perspective": LabelMap("perspective", _from_perspective, _needs_perspective),
        "files": LabelMap("files", _from_file, _depth_file),
    }
    if source not in providers:
        raise unknown_name("depth provider", source, providers)
    return providers[source]


def from_head_spacing(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Depth from the sizes of the crowd itself: float32 [height, width], constant along rows, its largest value 1.

    The spacing of heads (mean distance to the three nearest others) is fitted against their row by least squares: a plane
    seen in perspective. Depth is inverse to spacing. A spacing that does not grow downwards, or fewer than three heads,
    shows no perspective: depth 1 everywhere.
    """
    flat = np.ones((height, 1), np.float32)
    rows = points[:, 1] if len(points) else np.zeros(0)
    if len(points) > 2 and np.ptp(rows) > 0:
        spacing = mean_neighbour_distance(points, NEIGHBOURS)
        slope, start = np.polyfit(rows, spacing, 1)
        if slope > 0:
            fitted = start + slope * (np.arange(height) + 0.5)
            fitted = np.maximum(fitted, SMALLEST_SHARE * max(spacing.mean(), 1e-6))
            flat = (fitted.min() / fitted).astype(np.float32)[:, None]
    return np.broadcast_to(flat, (height, width))


def from_perspective(perspective: np.ndarray) -> np.ndarray:
    """Depth, inverse to the perspective map (pixels a metre, float [H, W], above 0); its largest value is 1."""
    return (perspective.min() / perspective).astype(np.float32)


def read_depth(path: Path) -> np.ndarray:
    """Depth of a `.npy` array or a 16-bit grey PNG (0–65535, larger is farther), divided by its largest value; float32 [h, w].

    Raises:
        DataError: no such array or picture, negative or no positive depth.
    """
    import cv2

    try:
        if path.suffix == ".npy":
            values = np.load(path, allow_pickle=False)
            if not isinstance(values, np.ndarray):
                raise ValueError("an archive of arrays; expected one array")
        else:
            values = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    except (OSError, ValueError, EOFError, cv2.error) as error:
        raise DataError(f"{path}: not a depth map that NumPy or OpenCV reads ({str(error).splitlines()[0]})") from None
    if (
        values is None
        or values.ndim != 2
        or values.dtype.kind not in "fiu"
        or (path.suffix == ".png" and values.itemsize != 2)
    ):
        found = "no picture" if values is None else f"{values.dtype} of shape {values.shape}"
        expected = "numbers [height, width]" if path.suffix == ".npy" else "16-bit grey"
        raise DataError(f"{path}: {found}; expected {expected}")
    values = values.astype(np.float32)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() <= 0:
        raise DataError(
            f"{path}: depths from {values.min():g} to {values.max():g}; expected none below 0 and some above"
        )
    return values / values.max()


def _from_heads(benchmark: Benchmark, sample: Sample, points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return from_head_spacing(points, *shape)


def _needs_perspective(benchmark: Benchmark, sample: Sample) -> tuple[Path, ...]:
    if benchmark.read_perspective is None:
        raise DataError(
            f"dataset {benchmark.name}: it has no perspective maps; take depth from files or from the spacing of heads"
        )
    return ()


def _from_perspective(benchmark: Benchmark, sample: Sample, points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    assert benchmark.read_perspective is not None
    perspective = np.asarray(benchmark.read_perspective(sample))
    if perspective.min() <= 0:
        raise DataError(f"{sample.name}: its perspective map has the value {perspective.min():g}; expected above 0")
    return as_large_as(from_perspective(perspective), shape, f"{sample.name}: perspective map")


def _depth_file(benchmark: Benchmark, sample: Sample) -> tuple[Path, ...]:
    if sample.image is None:
        raise DataError(f"dataset {benchmark.name}: its images are no files, so there are no depth files beside them")
    places = [sample.image.with_name(sample.image.stem + suffix) for suffix in SUFFIXES]
    found = tuple(path for path in places if path.is_file())[:1]
    if not found:
        raise DataError(
            f"{places[0]}: no such depth map (nor {places[1].name}); expected one beside every training image"
        )
    return found


def _from_file(benchmark: Benchmark, sample: Sample, points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    (path,) = _depth_file(benchmark, sample)
    return as_large_as(read_depth(path), shape, str(path))


def as_large_as(values: np.ndarray, shape: tuple[int, int], what: str) -> np.ndarray:
    """`values` [h, w] enlarged or reduced bilinearly to `shape` (height, width); float32.

    Raises:
        DataError: no two-dimensional array of finite numbers, or another aspect ratio than the image's (by over 1 %).
    """
    import cv2

    if values.ndim != 2 or not np.isfinite(values).all():
        raise DataError(f"{what}: expected finite numbers [height, width], found shape {values.shape}")
    if values.shape == shape:
        return values.astype(np.float32)
    ratio = (values.shape[0] / values.shape[1]) / (shape[0] / shape[1])
    if abs(ratio - 1) > 0.01:
        raise DataError(
            f"{what}: {values.shape[0]} rows × {values.shape[1]} columns; expected the aspect ratio of its image, "
            f"{shape[0]} × {shape[1]}"
        )
    return cv2.resize(values.astype(np.float32), (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
