"""Regions of interest: what lies outside counts neither in the truth nor in a prediction, and no network learns from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from harness.benchmark import Benchmark, Sample
from harness.errors import DataError, unknown_name
from harness.localisation import ACCEPTED, all_places
from harness.method import OUTSIDE

BLUR = 51  # pixels a side of the mean filter that hides people outside the region


def seen_inside(benchmark: Benchmark, outside: str) -> Benchmark:
    """`benchmark` as a method sees it: heads outside the region are gone, the picture there is black or blurred.

    Args:
        outside: "mask" or "blur"; which is the method's choice.
    """
    if outside not in OUTSIDE:
        raise unknown_name("treatment of what lies outside the region", outside, OUTSIDE)
    if benchmark.read_roi is None:
        return benchmark
    region_of = benchmark.read_roi

    def read_image(sample: Sample, channels: int) -> np.ndarray:
        image = benchmark.read_image(sample, channels)
        region = _region(region_of(sample), image.shape[:2], sample)
        return _hidden(image, region, outside)

    def read_points(sample: Sample) -> np.ndarray:
        return points_inside(benchmark.read_points(sample), region_of(sample))

    def read_boxes(sample: Sample) -> np.ndarray:
        inside = are_inside(benchmark.read_points(sample), region_of(sample))
        return benchmark.read_boxes(sample)[inside]  # type: ignore[misc]

    return replace(
        benchmark,
        read_image=read_image,
        read_points=read_points,
        read_boxes=read_boxes if benchmark.read_boxes else None,
        seen_as=f"{benchmark.seen_as} {outside} outside".strip(),
        protocol={**benchmark.protocol, "outside": outside},
    )


def points_inside(points: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Those of `points` [N, ≥ 2] that `are_inside`."""
    return points[are_inside(points, region)]


def are_inside(points: np.ndarray, region: np.ndarray) -> np.ndarray:
    """bool [N]: whether the pixel of each of `points` [N, ≥ 2] lies in `region` bool [H, W].

    None outside the frame does, nor one that is no finite number.
    """
    height, width = region.shape
    finite = np.isfinite(points[:, :2]).all(axis=1, keepdims=True)
    x, y = np.floor(np.where(finite, points[:, :2], -1)).astype(int).T
    frame = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return frame & region[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]


def density_inside(density: np.ndarray, region: np.ndarray, stride: int) -> np.ndarray:
    """`density` [h, w] of cells of `stride` pixels, each times the share of its pixels that lies in `region` bool [H, W].

    The region is continued to the end of the last cells as pictures are, and as in training.
    """
    if stride == 1:
        return density * region
    rows, columns = density.shape
    down, across = (cells * stride - length for cells, length in zip(density.shape, region.shape, strict=True))
    whole = np.pad(region[: rows * stride, : columns * stride], ((0, max(0, down)), (0, max(0, across))), mode="edge")
    return density * whole.reshape(rows, stride, columns, stride).mean(axis=(1, 3)).astype(density.dtype)


def counted_inside(density: np.ndarray, candidates: np.ndarray | None, region: np.ndarray, stride: int) -> np.ndarray:
    """What `region` bool [H, W] has of a prediction, float32 [h, w] in heads a cell.

    Of a method that says itself where heads are (`candidates` [h, w, 3·K], as of `harness.localisation.accepted`) the points in
    the region, each whole and in the cell that it comes from; else `density_inside`.
    """
    if candidates is None:
        return density_inside(density, region, stride)
    rows, columns = density.shape
    places = all_places(candidates, stride)
    inside = are_inside(places.reshape(-1, 3), region) & (places[..., 2].ravel() >= ACCEPTED)
    return inside.reshape(rows, columns, -1).sum(axis=-1).astype(np.float32)


def polygon_mask(vertices: np.ndarray, height: int, width: int) -> np.ndarray:
    """bool [height, width]: the pixels whose centre lies in the polygon with `vertices` float [N, 2] (x, y).

    Pixel (row, column) has its centre at (column + ½, row + ½). Of a polygon that crosses itself what an odd number of its
    edges surround is inside. A centre on an edge belongs to the polygon right of it or below: polygons side by side share no
    pixel.
    """
    centres = np.arange(height) + 0.5
    crossed = np.zeros((height, width + 1), bool)  # whether an edge lies between a pixel's centre and the one before
    for (x0, y0), (x1, y1) in zip(vertices, np.roll(vertices, -1, axis=0), strict=True):
        rows = np.flatnonzero((centres >= min(y0, y1)) & (centres < max(y0, y1)))
        if rows.size:
            crossing = x0 + (centres[rows] - y0) * (x1 - x0) / (y1 - y0)
            crossed[rows, np.clip(np.ceil(crossing - 0.5), 0, width).astype(int)] ^= True
    return np.logical_xor.accumulate(crossed[:, :width], axis=1)


def _region(region: np.ndarray, shape: tuple[int, ...], sample: Sample) -> np.ndarray:
    if region.shape != tuple(shape):
        raise DataError(
            f"{sample.image}: its region of interest has {region.shape[0]} rows × {region.shape[1]} columns; expected the "
            f"image's, {shape[0]} × {shape[1]}"
        )
    return region


def _hidden(image: np.ndarray, region: np.ndarray, outside: str) -> np.ndarray:
    if outside == "mask":
        return image * region[:, :, None].astype(np.uint8)
    import cv2

    blurred: Any = cv2.blur(image, (BLUR, BLUR))
    return np.where(region[:, :, None], image, blurred.reshape(image.shape))
