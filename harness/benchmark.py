"""What a benchmark is: where its files lie, which images it has, how they are split, what was published about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import DataError
from harness.files.annotations import read_mat_points
from harness.files.images import read_image

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Sample:
    """One annotated image.

    `name` is unique within its benchmark ("test/IMG_1"). `split` is "train", "val" or "test", or "" where the
    benchmark is cross-validated. `image` and `annotation` are its files, None for drawn scenes; `extra` are further files that
    are read for it (a region, a perspective). `groups` are labels by kind: with `Benchmark.folds` its "fold" is the number, as
    text, of the fold that tests it, and `protocol["mean_of"]` names one of them.
    """

    name: str
    split: str
    image: Path | None = None
    annotation: Path | None = None
    groups: Mapping[str, str] = field(default_factory=dict)
    extra: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Statistics:
    """What the authors (or the papers) print about a benchmark. None where nothing was published.

    Attributes:
        errata: by the name of a number, what is known where the authors' own files do not hold it.
        in_region: `annotations`, `largest` and `mean` are of the heads inside the region of interest, not of all in the frame.
    """

    images: int | None = None
    annotations: int | None = None
    largest: int | None = None
    mean: float | None = None
    source: str = ""
    errata: Mapping[str, str] = field(default_factory=dict)
    in_region: bool = False


@dataclass(frozen=True)
class Download:
    """An archive that the authors offer to everybody.

    Attributes:
        sha256: its checksum, where one is known; "" else.
        size: its bytes, where known; 0 else.
        largest: bytes that its files may have together.
    """

    url: str
    sha256: str = ""
    size: int = 0
    largest: int = 40 << 30


def _file_image(sample: Sample, channels: int) -> np.ndarray:
    if sample.image is None:
        raise DataError(f"{sample.name}: the sample has no image file")
    return read_image(sample.image, channels)


def _file_points(sample: Sample) -> np.ndarray:
    if sample.annotation is None:
        raise DataError(f"{sample.name}: the sample has no annotation file")
    return read_mat_points(sample.annotation, "annPoints")


@dataclass(frozen=True)
class Benchmark:
    """One benchmark, as a value with plain functions in it.

    Attributes:
        name: what the command line calls it, e.g. "shtech_a".
        title: what tables call it, e.g. "ShanghaiTech Part A".
        homepage: where its authors offer it.
        expected: the folders, relative to the data root, it may lie in (first found wins). Empty: no files needed.
        index: folder → every `Sample`, in a fixed order, without reading images.
        read_image: (sample, channels 1 or 3) → uint8 [H, W, channels].
        read_points: sample → float64 [N, 2] head points (x, y) in pixels of that image, as annotated.
        read_boxes: sample → float64 [N, 2], width and height of each of these heads in pixels of that image, for benchmarks
            that have them: how near a predicted point must be follows from them, too (`harness.localisation`).
        read_roi: sample → bool [H, W], the region of interest, for benchmarks that have one: only heads in it count.
        read_perspective: sample → float32 [H, W], pixels a metre at each pixel, for benchmarks that come with such maps.
        sigma_metres: the sigma of every density kernel in metres, in the place of the rule of recipes that want it so
            (`Recipe.benchmark_kernels`); 0 leaves that.
        downloads: the authors' own archives, where anybody may take them.
        how_to_get: else one sentence on how to ask for the files.
        seen_as: how images are changed on reading, in a few words; part of the name of cached pixels.
        write: (folder, images, seed): writes drawn scenes there in the authors' own layout, to try the path without the data.
        folds: number of cross-validation folds, 0 where the benchmark has a test split of its own.
        protocol: everything else that decides how it is evaluated; part of a run's identity, so JSON values only. With
            "mean_of" naming a group of its samples, tables score the mean of that group's members, not of images;
            "tested_on" says in captions which images are its test, where they are not the authors' test set.
        alike: how many test images in a row, in the alphabetical order of their names, are alike, where they are frames of a
            video: intervals of tables draw blocks of so many. 1 where they are pictures of their own.
        statistics: the published numbers `harness data check` compares with.
        departures: (samples, points by sample name) → sentences saying how these files differ from the
            authors' own; empty when nothing shows.
    """

    name: str
    title: str
    homepage: str
    citation: str
    expected: tuple[str, ...]
    index: Callable[[Path], tuple[Sample, ...]]
    read_image: Callable[[Sample, int], np.ndarray] = _file_image
    read_points: Callable[[Sample], np.ndarray] = _file_points
    read_boxes: Callable[[Sample], np.ndarray] | None = None
    read_roi: Callable[[Sample], np.ndarray] | None = None
    read_perspective: Callable[[Sample], np.ndarray] | None = None
    sigma_metres: float = 0.0
    write: Callable[[Path, int, int], None] | None = None
    downloads: tuple[Download, ...] = ()
    how_to_get: str = ""
    seen_as: str = ""
    folds: int = 0
    protocol: Mapping[str, Any] = field(default_factory=dict)
    alike: int = 1
    statistics: Statistics = Statistics()
    departures: Callable[[tuple[Sample, ...], Mapping[str, np.ndarray]], tuple[str, ...]] | None = None

    @property
    def needs_files(self) -> bool:
        return bool(self.expected)

    @property
    def reference(self) -> str:
        """What finds this benchmark again: its name, or the folder of one's own data."""
        return self.expected[0] if self.expected and Path(self.expected[0]).is_absolute() else self.name

    def locate(self, data_root: Path | None) -> Path | None:
        """The folder that holds this benchmark under `data_root`, or None."""
        if not self.needs_files:
            return Path()
        if self.reference != self.name:
            return Path(self.reference)
        if data_root is None:
            return None
        return next((data_root / place for place in self.expected if (data_root / place).is_dir()), None)

    def require(self, data_root: Path | None) -> Path:
        """Like `locate`, but raises `DataError` saying where the files were looked for and who offers them."""
        folder = self.locate(data_root)
        if folder is None:
            places = " or ".join(str(data_root / place) if data_root else place for place in self.expected)
            root = "" if data_root else " under a data root (set --data-root DIR or HARNESS_DATA)"
            raise DataError(
                f"dataset {self.name}: no folder {places}{root}. Its authors offer it at {self.homepage}; "
                f"'harness data list' shows what is expected where."
            )
        return folder
