"""Image files → uint8 arrays, and back."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from harness.errors import DataError, HarnessError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


def read_image(path: Path, channels: int = 3) -> np.ndarray:
    """The picture in `path` as uint8 [H, W, channels], RGB for 3 channels, luma for 1.

    Grey files are repeated to RGB, alpha is dropped (of TIFF multiplied in), 16-bit values are scaled to 8, and the EXIF
    orientation is applied, so a file reads as a viewer shows it. Of a file damaged in its middle, OpenCV shows what it can.

    Raises:
        DataError: the file is missing, truncated or no image OpenCV knows.
    """
    import cv2

    if channels not in (1, 3):
        raise ValueError(f"channels: expected 1 or 3, found {channels}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    damage = truncation(data)
    if damage:
        raise DataError(f"{path}: truncated image ({damage}, {len(data)} bytes). Copy the file again.")
    flag = cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_GRAYSCALE
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), flag) if data else None
    except cv2.error as error:
        raise DataError(f"{path}: OpenCV cannot decode it ({error.err})") from None
    if decoded is None:
        raise DataError(f"{path}: not an image that OpenCV can decode ({len(data)} bytes)")
    if channels == 1:
        return decoded[:, :, None]
    return np.ascontiguousarray(decoded[:, :, ::-1])


def encoded(picture: np.ndarray, suffix: str, quality: int = 95) -> bytes:
    """The file, of the kind that `suffix` names (".jpg", ".png"), of an RGB or grey picture.

    Args:
        picture: uint8 [H, W, 3], [H, W, 1] or [H, W].
        quality: of a JPEG file, 0–100; other kinds have none.

    Raises:
        HarnessError: OpenCV cannot encode it.
    """
    import cv2

    pixels = picture[:, :, ::-1] if picture.ndim == 3 and picture.shape[2] == 3 else picture
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix in (".jpg", ".jpeg") else []  # a PNG writer warns of it
    done, data = cv2.imencode(suffix, np.ascontiguousarray(pixels), settings)
    if not done:
        raise HarnessError(f"picture: OpenCV cannot encode {picture.dtype} {picture.shape} as {suffix}")
    return data.tobytes()


def truncation(data: bytes) -> str | None:
    """What shows that a JPEG or PNG file ends too early, or None.

    OpenCV fills the missing part of a truncated JPEG with grey and reports success, which would train on it.
    """
    if data.startswith(b"\xff\xd8"):
        return None if _jpeg_ends(data) else "no JPEG end marker"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return None if _png_ends(data) else "no PNG end chunk"
    if not data:
        return "empty file"
    return None


# In entropy-coded data ff is followed by 00, or by the number of a restart marker.
_MARKER = re.compile(rb"\xff+[\x01-\xcf\xd8-\xfe]")
_END, _SCAN, _ALONE = 0xD9, 0xDA, {0x01, *range(0xD0, 0xD9)}


def _jpeg_ends(data: bytes) -> bool:
    """Whether the first picture in `data` has its end marker; phones write films and further pictures behind it."""
    place, scanned = 2, False
    while match := _MARKER.search(data, place):
        kind, place = data[match.end() - 1], match.end()
        if kind == _END:
            return scanned
        scanned = scanned or kind == _SCAN
        if kind not in _ALONE:
            place += int.from_bytes(data[place : place + 2], "big")
    return False


def _png_ends(data: bytes) -> bool:
    place = 8
    while place + 12 <= len(data):
        if data[place + 4 : place + 8] == b"IEND":
            return True
        place += 12 + int.from_bytes(data[place : place + 4], "big")
    return False


def _exif(data: bytes) -> bytes | None:
    """What stands behind "Exif" in the first segment of a JPEG file that begins so."""
    place = 2 if data.startswith(b"\xff\xd8") else len(data)
    while (match := _MARKER.match(data, place)) and (kind := data[match.end() - 1]) not in (_SCAN, _END):
        place = match.end() + (0 if kind in _ALONE else int.from_bytes(data[match.end() : match.end() + 2], "big"))
        if kind == 0xE1 and data[match.end() + 2 : match.end() + 8] == b"Exif\x00\x00":
            return data[match.end() + 8 : place]
    return None


def exif_orientation(data: bytes) -> int:
    """The EXIF orientation (1–8) a JPEG file asks for; 1 where it asks for none."""
    tiff = _exif(data)
    if tiff is None:
        return 1
    order = "little" if tiff[:2] == b"II" else "big"

    def number(at: int, size: int) -> int:
        return int.from_bytes(tiff[at : at + size], order)  # type: ignore[arg-type]

    directory = number(4, 4)
    for entry in range(number(directory, 2)):
        at = directory + 2 + 12 * entry
        if number(at, 2) == 0x0112:
            return number(at + 8, 2) or 1
    return 1
