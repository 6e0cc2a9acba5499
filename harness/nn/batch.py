"""What a loss sees: the crops of one step, and targets rendered on demand from their head points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.nn.density import render

REGION, FRAME = "region", "frame"


@dataclass(frozen=True)
class Batch:
    """One training step's input.

    Attributes:
        image: [B, H, W, channels], values 0–255.
        points: float32 [B, P, 4]: x, y, sigma in pixels of the crop, and 1 where the row is a head, 0 where padding.
        maps: the method's label maps by name, each float32 [B, H, W, 1], cut and mirrored like the image; under
            "region" the benchmark's region of interest, 1 inside, where it has one; under "frame" float32 [B, 1, 1, 4], left,
            top, right and bottom of what shows the picture: a crop of a picture that is smaller is continued beyond.
    """

    image: Any
    points: Any
    maps: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> tuple[Any, Any]:
        """Height and width of the crops in pixels."""
        from keras import ops

        shape = ops.shape(self.image)
        return shape[1], shape[2]

    def density(self, stride: int = 1, sigma: float | None = None) -> Any:
        """Target density map float32 [B, H/stride, W/stride, 1]; `sigma` overrides the sigma of every head.

        Every head counts exactly 1: in the crop, or in the part of the region of interest that lies in it. Cells that lie in
        a crop's continuation alone are 0, for the test drops them.
        """
        height, width = self.size
        region = self.maps[REGION][..., 0] if REGION in self.maps else None
        frame = self.maps[FRAME][:, 0, 0] if FRAME in self.maps else None
        widths = self.points[..., 2] if sigma is None else sigma
        return render(self.points[..., :2], widths, height, width, stride, self.points[..., 3], region, frame)[
            ..., None
        ]

    def counts(self) -> Any:
        """float32 [B]: heads in each crop."""
        from keras import ops

        return ops.sum(self.points[..., 3], axis=-1)
