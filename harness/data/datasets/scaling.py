"""A benchmark whose large images are reduced on reading, points with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.benchmark import Benchmark, Sample
from harness.errors import DataError

HEADER = 1 << 20  # bytes of a file in which it says how it is turned
SIDEWAYS = (5, 6, 7, 8)  # orientations of EXIF


def at_most(longest: int, benchmark: Benchmark) -> Benchmark:
    """`benchmark` with no image side above `longest` pixels; smaller images are left alone. Part of its protocol."""

    def read_image(sample: Sample, channels: int) -> np.ndarray:
        import cv2

        image = benchmark.read_image(sample, channels)
        height, width = reduced(image.shape[0], image.shape[1], longest)
        if (height, width) == image.shape[:2]:
            return image
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).reshape(height, width, channels)

    def scale(sample: Sample) -> tuple[float, float]:
        width, height = image_size(sample)
        small_height, small_width = reduced(height, width, longest)
        return small_width / width, small_height / height

    def read_boxes(sample: Sample) -> np.ndarray:
        return benchmark.read_boxes(sample) * scale(sample)  # type: ignore[misc]

    return replace(
        benchmark,
        read_image=read_image,
        read_points=lambda sample: benchmark.read_points(sample) * scale(sample),
        read_boxes=read_boxes if benchmark.read_boxes else None,
        seen_as=f"longest side {longest}",
        protocol={**benchmark.protocol, "longest_side": longest},
    )


def reduced(height: int, width: int, longest: int) -> tuple[int, int]:
    """Height and width with the longer at most `longest`, the aspect ratio kept to a pixel."""
    factor = min(1.0, longest / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def image_size(sample: Sample) -> tuple[int, int]:
    """(width, height) of the picture as it is read, from its header alone.

    Raises:
        DataError: the file is missing or its header says no size.
    """
    import imagesize

    from harness.errors import one_line
    from harness.files.images import exif_orientation

    assert sample.image is not None
    try:
        width, height = imagesize.get(str(sample.image), exif_rotation=False)
        with sample.image.open("rb") as file:
            turned = exif_orientation(file.read(HEADER)) in SIDEWAYS
    except Exception as error:  # its parsers raise many kinds on damaged headers
        raise DataError(f"{sample.image}: not an image whose size can be read ({one_line(error)})") from None
    if width <= 0 or height <= 0:
        raise DataError(f"{sample.image}: not an image whose size can be read")
    return (height, width) if turned else (width, height)
