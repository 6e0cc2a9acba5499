"""Image files of every kind a user has, sound and damaged."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import write_jpeg

from harness.benchmark import Sample
from harness.data.datasets.scaling import image_size
from harness.errors import DataError
from harness.files.images import encoded, exif_orientation, read_image, truncation


@pytest.fixture
def picture() -> np.ndarray:
    ramp = np.linspace(0, 255, 48 * 32 * 3).reshape(32, 48, 3)
    return ramp.astype(np.uint8)


def with_orientation(jpeg: bytes, value: int) -> bytes:
    tiff = b"II*\x00" + struct.pack("<I", 8) + struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, value, 0, 0)
    body = b"Exif\x00\x00" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def test_colour_order_is_rgb(tmp_path: Path) -> None:
    red = np.zeros((8, 8, 3), np.uint8)
    red[:, :, 0] = 255
    cv2.imwrite(str(tmp_path / "red.png"), red[:, :, ::-1])
    assert read_image(tmp_path / "red.png")[4, 4].tolist() == [255, 0, 0]


def test_grey_file_becomes_three_equal_channels(tmp_path: Path, picture: np.ndarray) -> None:
    path = write_jpeg(tmp_path / "grey.jpg", picture[:, :, 0])
    image = read_image(path)
    assert image.shape == (32, 48, 3) and (image[..., 0] == image[..., 2]).all()
    assert read_image(path, 1).shape == (32, 48, 1)


def test_alpha_is_dropped(tmp_path: Path, picture: np.ndarray) -> None:
    rgba = np.dstack([picture, np.full(picture.shape[:2], 7, np.uint8)])
    cv2.imwrite(str(tmp_path / "a.png"), rgba)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), picture[:, :, ::-1])


def test_sixteen_bits_become_eight(tmp_path: Path, picture: np.ndarray) -> None:
    cv2.imwrite(str(tmp_path / "deep.png"), picture.astype(np.uint16) * 257)
    image = read_image(tmp_path / "deep.png")
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - picture[:, :, ::-1]).max() <= 1


def test_exif_orientation_is_applied(tmp_path: Path, picture: np.ndarray) -> None:
    plain = write_jpeg(tmp_path / "plain.jpg", picture)
    turned = tmp_path / "turned.jpg"
    turned.write_bytes(with_orientation(plain.read_bytes(), 6))  # 6: turn clockwise to show
    assert exif_orientation(turned.read_bytes()) == 6
    assert exif_orientation(plain.read_bytes()) == 1
    np.testing.assert_array_equal(read_image(turned), np.rot90(read_image(plain), -1))
    for path in (plain, turned):
        height, width, _ = read_image(path).shape
        assert height != width and image_size(Sample("a", "train", path)) == (width, height), path


def test_no_other_orientation_turns_a_picture(tmp_path: Path, picture: np.ndarray) -> None:
    plain = write_jpeg(tmp_path / "plain.jpg", picture).read_bytes()
    path = tmp_path / "a.jpg"
    path.write_bytes(with_orientation(plain, 9))  # there is none of this number
    assert read_image(path).shape[:2] == picture.shape[:2]
    assert image_size(Sample("a", "train", path)) == (48, 32)
    profile = b"\xff\xe2" + struct.pack(">H", 65_002) + b"0" * 65_000  # a colour profile of two segments before it
    turned = with_orientation(plain, 6)
    path.write_bytes(turned[:2] + 2 * profile + turned[2:])
    assert exif_orientation(path.read_bytes()) == 6
    assert read_image(path).shape[:2] == (48, 32) and image_size(Sample("a", "train", path)) == (32, 48)
    path.write_bytes(turned[:2] + 3 * b"\xff" + turned[2:])  # fill bytes before a marker
    assert exif_orientation(path.read_bytes()) == 6


def test_one_pixel(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "one.png"), np.full((1, 1, 3), 9, np.uint8))
    assert read_image(tmp_path / "one.png", 1).tolist() == [[[9]]]


@pytest.mark.parametrize("keep", [0.2, 0.6, 0.98])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_truncated_files_are_named(tmp_path: Path, picture: np.ndarray, keep: float, suffix: str) -> None:
    path = tmp_path / f"cut{suffix}"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(DataError, match=rf"{path}: truncated image"):
        read_image(path)


def test_a_jpeg_with_bytes_behind_its_end_is_sound(tmp_path: Path, picture: np.ndarray) -> None:
    path = write_jpeg(tmp_path / "tail.jpg", picture)
    path.write_bytes(path.read_bytes() + b"\0" * 100)
    assert read_image(path).shape == picture.shape


@pytest.mark.parametrize("progressive", [0, 1])
def test_a_film_behind_a_picture_does_not_matter(progressive: int, tmp_path: Path, picture: np.ndarray) -> None:
    """As phones write them; a film may hold the bytes of any marker. Cut short, the picture is still found to be so."""
    generator = np.random.default_rng(0)
    settings = [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive, cv2.IMWRITE_JPEG_RST_INTERVAL, 3]
    alone = cv2.imencode(".jpg", generator.integers(0, 255, (64, 64, 3), np.uint8), settings)[1].tobytes()
    for number in range(20):
        film = generator.integers(0, 256, 5000, np.uint8).tobytes() + b"\xff\xda" + generator.bytes(300)
        (tmp_path / "moving.jpg").write_bytes(alone + film)
        assert read_image(tmp_path / "moving.jpg").shape == (64, 64, 3), number
    for keep in range(20, len(alone) - 1, 97):
        assert truncation(alone[:keep]) == "no JPEG end marker", keep
    still = cv2.imencode(".png", picture)[1].tobytes()
    assert truncation(still + b"\0" * 100) is None and truncation(still[:-12] + b"\0" * 4) == "no PNG end chunk"


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "truncated image .empty file"), (b"not an image", "not an image that OpenCV can decode")],
)
def test_other_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_image(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.jpg: cannot be read \(No such file"):
        read_image(tmp_path / "gone.jpg")


@pytest.mark.parametrize("shape", [(32, 48, 3), (32, 48, 1), (32, 48)])
def test_what_is_encoded_is_decoded_the_same(picture: np.ndarray, shape: tuple[int, ...]) -> None:
    rgb_or_grey = picture if shape[-1] == 3 else picture[:, :, 0].reshape(shape)
    stored = cv2.imdecode(np.frombuffer(encoded(rgb_or_grey, ".png"), np.uint8), cv2.IMREAD_UNCHANGED)
    assert (stored == (picture[:, :, ::-1] if shape[-1] == 3 else picture[:, :, 0])).all(), "OpenCV stores blue first"


def test_jpeg_quality_shrinks_the_file(picture: np.ndarray) -> None:
    assert len(encoded(picture, ".jpg", 30)) < len(encoded(picture, ".jpg", 95))
