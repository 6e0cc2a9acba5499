"""How wide each head's kernel is: a fixed sigma, or one from the distance to its neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.bounds import AboveZero, FromZero, WholeFromZero, out_of_bounds


@dataclass(frozen=True)
class Sigma:
    """The rule for the standard deviation of the Gaussian at each head, in pixels of the source image.

    With `neighbours` = 0 every head gets `pixels`. With `neighbours` = k it is the geometry-adaptive kernel of MCNN
    (Zhang et al., CVPR 2016, Eq. 2): `beta` × mean distance to the k nearest heads, at most `largest`; a head with no
    neighbour gets `pixels`.
    """

    pixels: AboveZero = 4.0
    neighbours: WholeFromZero = 0
    beta: AboveZero = 0.3
    smallest: FromZero = 0.5
    largest: AboveZero = 64.0

    def __post_init__(self) -> None:
        for wrong in out_of_bounds(self):
            raise ValueError(f"sigma: {wrong}")
        if self.smallest > self.largest:
            raise ValueError(
                f"sigma: smallest is {self.smallest:g}; expected at most largest, which is {self.largest:g}"
            )

    def of(self, points: np.ndarray) -> np.ndarray:
        """float32 [N] for points float [N, 2]."""
        if not self.neighbours or len(points) < 2:
            return np.full(len(points), self.pixels, np.float32)
        spacing = mean_neighbour_distance(points, self.neighbours)
        return np.clip(self.beta * spacing, self.smallest, self.largest).astype(np.float32)


def mean_neighbour_distance(points: np.ndarray, neighbours: int) -> np.ndarray:
    """float64 [N]: mean distance in pixels from each point to its `neighbours` nearest others (fewer if N is small).

    Raises:
        ValueError: fewer than two points.
    """
    from scipy.spatial import cKDTree

    if len(points) < 2:
        raise ValueError(f"points: expected at least 2, found {len(points)}")
    k = min(neighbours, len(points) - 1)
    # Column 0 is the point itself (or a duplicate of it, at the same distance 0).
    distance, _ = cKDTree(points).query(points, k=k + 1)
    return distance[:, 1:].mean(axis=1)
