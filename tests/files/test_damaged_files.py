"""Files of every format, damaged in every way: each is read or refused in one line that names it. Nothing else gets out.

`PYTHONPATH=tests python tests/files/test_damaged_files.py 10000 1` tries more. The cases run in a process of their own, since
what a decoder does to a damaged file may end it; each has a deadline.
"""

from __future__ import annotations

import faulthandler
import json
import os
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from conftest import write_shanghaitech_points
from scipy.io import savemat

from harness.benchmark import Benchmark, Sample
from harness.data.check import check
from harness.data.datasets import drawing, folder, jhu_crowd, mall, nwpu_crowd, shanghaitech, trancos, ucsd, worldexpo10
from harness.data.datasets.frames import locations
from harness.data.datasets.scaling import image_size
from harness.errors import HarnessError
from harness.files.annotations import read_mat_points, read_points_file
from harness.files.images import exif_orientation, read_image

CASES = 1_000
DEADLINE = 45.0  # seconds a case; the reader of MATLAB files has ten, twice
LONGEST = 600  # letters of a message
POINTS = np.random.default_rng(0).uniform(0, 60, (40, 2)).round(3)


def test_nothing_but_an_error_that_names_the_file_gets_out() -> None:
    done = subprocess.run(
        [sys.executable, __file__, str(CASES), "0"],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, f"ended by {done.returncode} in: {lines[-1:]}\n{done.stderr[-2000:]}"
    found = json.loads(lines[-1])
    assert not found["uncaught"]
    assert "Traceback" not in done.stderr
    assert found["read"] + found["refused"] + found["killed its reader"] == CASES
    assert found["refused"] > CASES / 3  # the damage is such


@dataclass(frozen=True)
class Subject:
    """A sound file and what is called to read it."""

    path: Path
    read: Callable[[], Any]


def truncated(content: bytes, generator: np.random.Generator, _others: list[bytes]) -> bytes:
    return content[: int(generator.integers(0, max(1, len(content))))]


def flipped(content: bytes, generator: np.random.Generator, _others: list[bytes]) -> bytes:
    """A few bytes changed, half the time near the beginning, where formats say what follows."""
    changed = np.frombuffer(content, np.uint8).copy()
    reach = min(len(changed), 256) if generator.random() < 0.5 else len(changed)
    for place in generator.integers(0, reach, int(generator.integers(1, 16))):
        changed[place] = generator.integers(0, 256)
    return changed.tobytes()


def zeroed(content: bytes, generator: np.random.Generator, _others: list[bytes]) -> bytes:
    begin = int(generator.integers(0, len(content)))
    span = int(generator.integers(1, 64 if generator.random() < 0.5 else 4096))
    return content[:begin] + bytes(len(content[begin : begin + span])) + content[begin + span :]


def inserted(content: bytes, generator: np.random.Generator, _others: list[bytes]) -> bytes:
    place = int(generator.integers(0, len(content) + 1))
    return content[:place] + generator.bytes(int(generator.integers(1, 200))) + content[place:]


def emptied(_content: bytes, _generator: np.random.Generator, _others: list[bytes]) -> bytes:
    return b""


def swapped(_content: bytes, generator: np.random.Generator, others: list[bytes]) -> bytes:
    return others[int(generator.integers(0, len(others)))]


def encoded_otherwise(content: bytes, generator: np.random.Generator, _others: list[bytes]) -> bytes:
    text = content.decode("latin-1")
    way = ("utf-8", "utf-16", "utf-16-le", "utf-32")[int(generator.integers(0, 4))]
    return text.encode(way) if generator.random() < 0.8 else text.replace("1", "ä").encode("latin-1", "replace")


DAMAGES = (truncated, flipped, zeroed, inserted, emptied, swapped, encoded_otherwise)


def subjects(place: Path) -> Iterator[Subject]:
    yield from matlab_files(place)
    yield from texts(place)
    yield from pictures(place)


def matlab_files(place: Path) -> Iterator[Subject]:
    region = np.ones((64, 64), np.uint8)
    frames = drawing.cell([drawing.struct(loc=POINTS[:number]) for number in range(6)])
    contents: dict[str, dict[str, Any]] = {
        "points": {"annPoints": POINTS},
        "frames": {"frame": frames, "fgt": drawing.struct(frame=frames)},
        "mask": {"BW": region, "roi": drawing.struct(mask=region), "pMapN": region * 0.5, "pMap": region * 2.0},
        "area": {"dmap": drawing.struct(pmapxy=region * 0.5)},
        "polygon": {f"maskVertices{axis}Coordinates": POINTS[:6, :1] for axis in "XY"},
    }
    image = place / "seen.png"
    cv2.imwrite(str(image), np.zeros((64, 64), np.uint8))

    def sample(path: Path) -> Sample:
        return Sample("a", "train", image, path, {"frame": "2"}, (path, path))

    readers: dict[str, list[Callable[[Path], Any]]] = {
        "points": [lambda path: read_mat_points(path, "annPoints"), read_points_file],
        "frames": [locations, lambda path: mall.read_points(sample(path))],
        "mask": [
            lambda path: mall.read_roi(sample(path)),
            lambda path: mall.read_perspective(sample(path)),
            lambda path: ucsd.read_roi(sample(path)),
            lambda path: trancos.read_roi(sample(path)),
            lambda path: worldexpo10.read_perspective(sample(path)),
        ],
        "area": [lambda path: ucsd.read_perspective(sample(path))],
        "polygon": [lambda path: worldexpo10.read_roi(sample(path))],
    }
    for name, content in contents.items():
        for packed in (False, True):
            path = place / f"{name}{'_packed' if packed else ''}.mat"
            savemat(path, content, do_compression=packed)
            for read in readers[name]:
                yield Subject(path, lambda read=read, path=path: read(path))  # type: ignore[misc]
    path = write_shanghaitech_points(place / "GT_IMG_1.mat", POINTS)
    yield Subject(path, lambda: shanghaitech.read_points(sample(path)))
    yield Subject(path, lambda: read_points_file(path))
    hdf5 = matlab_7_3(place / "seven.mat")
    yield Subject(hdf5, lambda: read_mat_points(hdf5, "annPoints"))
    yield Subject(hdf5, lambda: trancos.read_roi(sample(hdf5)))


def matlab_7_3(path: Path) -> Path:
    import h5py

    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset("annPoints", data=POINTS.T, chunks=(1, 8), compression="gzip")
        file["BW"] = np.ones((64, 64), np.uint8)
        file["none"] = np.zeros(2, np.uint64)
        file["none"].attrs["MATLAB_empty"] = np.uint8(1)
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(116) + b"\x00" * 8 + b"\x00\x02IM")
    return path


def texts(place: Path) -> Iterator[Subject]:
    rows = POINTS.tolist()
    contents = {
        "points.txt": "".join(f"{x} {y}\n" for x, y in rows),
        "points.csv": "x,y,kind\n" + "".join(f"{x},{y},head\n" for x, y in rows),
        "points.json": json.dumps(rows),
        "named.json": json.dumps({"points": [{"x": x, "y": y} for x, y in rows]}),
    }
    for name, content in contents.items():
        path = place / name
        path.write_text(content, encoding="utf-8")
        yield Subject(path, lambda path=path: read_points_file(path))  # type: ignore[misc]
    array = place / "points.npy"
    np.save(array, POINTS)
    yield Subject(array, lambda: read_points_file(array))
    own = place / "own"
    own.mkdir()
    for number in range(5):
        cv2.imwrite(str(own / f"{number}.png"), np.zeros((64, 64), np.uint8))
    images = [{"id": number, "file_name": f"{number}.png"} for number in range(5)]
    heads = [{"image_id": number % 5, "bbox": [x, y, 2, 3]} for number, (x, y) in enumerate(rows)]
    heads += [{"image_id": 1, "keypoints": [3.5, 4, 2, 7, 8, 0], "bbox": [0, 0, 1, 1]}]
    catalogue = own / "all.json"
    catalogue.write_text(json.dumps({"images": images, "annotations": heads}), encoding="utf-8")
    yield Subject(catalogue, lambda: [folder.read_points(sample) for sample in folder.index(own)])
    yield from listed(place, "jhu", jhu_crowd.JHU_CROWD, ("image_labels.txt", "gt/*.txt"))
    yield from listed(place, "nwpu", nwpu_crowd.NWPU_CROWD, ("train.txt", "mats/*.mat"))
    yield from listed(place, "trancos", trancos.TRANCOS, ("training.txt", "image-*[0-9].txt", "*mask.mat"))


def listed(place: Path, name: str, benchmark: Benchmark, patterns: tuple[str, ...]) -> Iterator[Subject]:
    """Files of a written benchmark, read as it is: indexed, then every image's points."""
    assert benchmark.write is not None
    benchmark.write(place / name, 4, 0)

    def read() -> None:
        for sample in benchmark.index(place / name):
            benchmark.read_points(sample)
            if benchmark.read_roi:
                benchmark.read_roi(sample)

    for pattern in patterns:
        yield Subject(sorted((place / name).rglob(pattern))[0], read)


def pictures(place: Path) -> Iterator[Subject]:
    picture = np.random.default_rng(1).integers(0, 255, (60, 80, 3)).astype(np.uint8)
    for suffix in (".jpg", ".png", ".bmp", ".webp"):
        path = place / f"picture{suffix}"
        cv2.imwrite(str(path), cv2.GaussianBlur(picture, (0, 0), 3))
        if suffix == ".jpg":  # with an orientation, as a camera writes it
            content = path.read_bytes()
            tiff = b"II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00"
            exif = b"Exif\x00\x00" + tiff
            path.write_bytes(content[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + content[2:])
        sample = Sample("a", "train", path)

        def read(path: Path = path, sample: Sample = sample) -> None:
            exif_orientation(path.read_bytes())
            image_size(sample)
            read_image(path, 3)

        yield Subject(path, read)
        yield Subject(path, lambda path=path: read_image(path, 1))  # type: ignore[misc]
    dots = place / "dots.png"
    cv2.imwrite(str(dots), np.eye(64, dtype=np.uint8) * 255)
    yield Subject(dots, lambda: trancos.read_points(Sample("a", "train", None, dots)))
    video = place / "video"
    ucsd.write(video, 10, 0)
    for pattern in ("vidf1_33_000_f001.png", "vidf1_33_000_frame_full.mat", ucsd.REGION, ucsd.PERSPECTIVE):
        yield Subject(next(video.rglob(pattern)), lambda: checked(video))


def checked(video: Path) -> None:
    """The data check of a whole benchmark: what is wrong with a file is in what it returns."""
    found = check(ucsd.UCSD, video)
    if found.wrong:
        raise HarnessError(found.wrong[0])


def main(cases: int, seed: int) -> None:
    warnings.simplefilter("error")
    generator = np.random.default_rng(seed)
    results: Counter[str] = Counter()
    uncaught: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        tried = list(subjects(Path(temporary)))
        contents = {subject.path: subject.path.read_bytes() for subject in tried}
        others = list(contents.values())
        for number in range(cases):
            subject = tried[int(generator.integers(0, len(tried)))]
            damage = DAMAGES[int(generator.integers(0, len(DAMAGES)))]
            name = f"case {number}: {subject.path.name} {damage.__name__}"
            print(name, flush=True)
            subject.path.write_bytes(damage(contents[subject.path], generator, others))
            os.utime(subject.path, ns=(0, number + 1))  # readers that remember a file must see that it changed
            faulthandler.dump_traceback_later(DEADLINE, exit=True)
            result, complaint = outcome(subject)
            faulthandler.cancel_dump_traceback_later()
            results[result] += 1
            uncaught += [f"{name}: {complaint}"] if complaint else []
            subject.path.write_bytes(contents[subject.path])
            os.utime(subject.path, ns=(0, cases + number + 1))
    print(json.dumps({**dict.fromkeys(("read", "refused", "killed its reader"), 0), **results, "uncaught": uncaught}))


def outcome(subject: Subject) -> tuple[str, str]:
    """ "read" or "refused", and what is wrong with that."""
    try:
        subject.read()
    except HarnessError as error:
        message = str(error)
        if subject.path.name not in message:
            return "refused", f"the file is not named: {message}"
        if "\n" in message or len(message) > LONGEST or not message.isprintable():
            return "refused", f"not one line: {message!r}"
        return ("killed its reader" if "what reads MATLAB" in message else "refused"), ""
    except Exception:
        return "uncaught", traceback.format_exc()
    return "read", ""


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
