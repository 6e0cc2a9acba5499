"""Pictures → densities → counts and points, in regions too: with weights of one's own, or with the models that ship."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.data.datasets.folder import check_name, pictures_in
from harness.data.regions import counted_inside, polygon_mask
from harness.errors import DataError, HarnessError
from harness.files.atomic import written
from harness.files.images import SUFFIXES, read_image
from harness.files.paths import from_common_folder
from harness.files.region_file import Region
from harness.method import Method
from harness.run import out_of_brackets
from harness.runs import models
from harness.runs.overlay import write_overlay
from harness.runs.point_files import COCO, Pointed, is_foreign_coco, write_points

if TYPE_CHECKING:
    from harness.host.plugins import Host

COLUMNS = ("image", "region", "count", "people_per_square_metre", "model", "overlay", "points")


@dataclass(frozen=True)
class Prediction:
    """One picture: its density, float32 [ceil(height/stride), ceil(width/stride)] in heads a cell of `method`'s stride.

    `model` is the name of the shipped model that counted, "" with other weights; `candidates` are float32 [h, w, 3·K], the
    points of a method that has some (`harness.localisation.accepted`). `inexact` says that a network which depends on the whole
    picture saw this one in tiles.
    """

    method: Method
    density: np.ndarray
    height: int
    width: int
    model: str = ""
    candidates: np.ndarray | None = None
    inexact: bool = False

    @property
    def count(self) -> float:
        return float(self.density.sum(dtype=np.float64))

    @property
    def heads_per_megapixel(self) -> float:
        return self.count / (self.height * self.width / 1e6)


Predict = Callable[[Path], Prediction]


def pictures_of(paths: Iterable[Path]) -> list[Path]:
    """Files as they are, and of a folder every picture in it, each once.

    Raises:
        HarnessError: there is no such file or picture.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        if not path.exists():
            raise HarnessError(f"{path}: no such image")
        if not path.is_dir():
            check_name(path)
        for picture in pictures_in(path) if path.is_dir() else [path]:
            found.setdefault(picture.resolve(), picture)
    return list(found.values())


def check_apart(paths: Iterable[Path], written: Mapping[str, Path | None]) -> None:
    """Raises `HarnessError` where a folder of `written`, by its option, is one of `paths`: pictures to count lie there."""
    folders = {path.resolve() for path in paths if path.is_dir()}
    for option, folder in written.items():
        if folder is not None and folder.resolve() in folders:
            raise HarnessError(f"{option} {folder}: the pictures to count lie there; expected another folder")


def check_outputs(
    names: Mapping[Path, str],
    methods: Iterable[str],
    read: Iterable[Path | None],
    overlay: Path | None,
    points: Path | None,
    table: Path | None,
) -> None:
    """Raises `HarnessError` where what is to be written would take the place of what is read, or of somebody's COCO file.

    Args:
        names: what files made of each picture are called.
        methods: those that may count them.
        read: further files that are read: weights, regions.
    """
    kept = {path.resolve() for path in (*names, *read) if path is not None}
    made = [(overlay, f"{name}_{method}.png") for name in names.values() for method in methods]
    for name in names.values():
        made += [(points, f"{name}_{method}_points{suffix}") for method in methods for suffix in (".png", ".csv")]
    for folder, name in made:
        if folder is not None and (folder / name).resolve() in kept:
            raise HarnessError(
                f"{folder / name}: would be written over, and is one of the files to read; expected another folder"
            )
    if table is not None and (table.resolve() in kept or table.suffix.lower() in (*SUFFIXES, ".h5")):
        raise HarnessError(
            f"--csv {table}: expected the name of a table to write, such as counts.csv, before the pictures"
        )
    if points is not None and is_foreign_coco(points):
        raise HarnessError(f"{points / COCO}: lies there, and was not made by harness count; expected another folder")


def predictor(host: Host, method: Method, weights: Path, model: str = "") -> Predict:
    """Counts with one network, which is loaded when the first picture comes."""

    @cache
    def network() -> Any:
        from harness.training import backend, chosen

        chosen.use_for(method)
        backend.start()
        from harness.training.weights import load_inference_network

        return load_inference_network(host, method, weights)

    def predict(path: Path) -> Prediction:
        image, loaded = read_image(path, method.channels), network()
        from harness.training.prediction import inexact, prediction_of

        height, width = image.shape[:2]
        found = prediction_of(loaded, method, image)
        if not np.isfinite(found.density).all():
            raise HarnessError(f"{weights}: {method.name} counts {path} as no finite number; these weights are broken")
        return Prediction(method, found.density, height, width, model, found.candidates, inexact(method, image.shape))

    return predict


def shipped(host: Host, choice: str) -> Predict:
    """Counts with models that ship: `choice` is the name or the kind of one, or "auto" (`models.RULE`)."""
    if choice != models.AUTO:
        return _of_card(host, models.card_named(choice, [models.AUTO]))
    dense, sparse = models.automatic()
    if sparse is None:
        return _of_card(host, dense)
    return by_density(_of_card(host, dense), _of_card(host, sparse), models.boundary(dense, sparse))


def _of_card(host: Host, card: models.Card) -> Predict:
    return predictor(host, host.method(out_of_brackets(card.method)[0]), card.weights, card.name)


def by_density(dense: Predict, sparse: Predict, boundary: float) -> Predict:
    """Counts with `dense`, and again with `sparse` where that found fewer heads a megapixel than `boundary`."""

    def predict(path: Path) -> Prediction:
        first = dense(path)
        return first if first.heads_per_megapixel >= boundary else sparse(path)

    return predict


def counts(picture: Path, prediction: Prediction, regions: Sequence[Region]) -> list[dict[str, Any]]:
    """What is told of a picture: {"image", "count"} of all of it, or of each region; of those in `COLUMNS` what is known."""
    model = {"model": prediction.model} if prediction.model else {}
    if not regions:
        return [{"image": str(picture), "count": prediction.count, **model}]
    rows = []
    for region in regions:
        density = _inside(picture, prediction, [region])
        row: dict[str, Any] = {"image": str(picture), **({"region": region.name} if region.name else {})}
        row["count"] = float(density.sum(dtype=np.float64))
        if region.square_metres:
            row["people_per_square_metre"] = row["count"] / region.square_metres
        rows.append({**row, **model})
    return rows


def names_of(pictures: Sequence[Path]) -> dict[Path, str]:
    """What files made of each picture are called: its stem, or where several have that, its folders and its suffix too."""
    stems = Counter(path.stem for path in set(pictures))
    found: dict[Path, str] = {}
    taken: dict[str, Path] = {}
    for path, place in zip(pictures, from_common_folder(pictures), strict=True):
        name = path.stem if stems[path.stem] == 1 else "_".join(place.parts).replace(".", "_")
        while taken.setdefault(name, path) != path:
            name += "_"
        found[path] = name
    return found


def draw(
    folder: Path, picture: Path, prediction: Prediction, regions: Sequence[Region], name: str | None = None
) -> Path:
    """Writes the picture with its density drawn over it to NAME_METHOD.png in `folder`; what lies outside of all regions is
    left out. `name`: its stem where None."""
    density = _inside(picture, prediction, regions) if regions else prediction.density
    path = folder / f"{name or picture.stem}_{prediction.method.name}.png"
    stride = prediction.method.stride
    write_overlay(path, read_image(picture, 3), density, stride, float(density.sum(dtype=np.float64)))
    return path


def located(
    folder: Path, picture: Path, prediction: Prediction, regions: Sequence[Region], name: str | None = None
) -> Pointed:
    """Writes the picture with its points drawn over it, and their table, to NAME_METHOD_points.png and .csv in `folder`;
    those outside of all regions are left out. `name`: its stem where None."""
    from harness.training import prediction as predicted

    found, stride, mask = (
        predicted.Prediction(prediction.density, prediction.candidates),
        prediction.method.stride,
        None,
    )
    if regions:
        mask = _mask(picture, prediction, regions)
        found = replace(found, density=counted_inside(found.density, found.candidates, mask, stride))
    points = predicted.points_of(found, stride, (prediction.height, prediction.width), mask)
    if not np.isfinite(points).all():
        raise HarnessError(
            f"{picture}: {prediction.method.name} predicts a point that is not finite; its weights are broken"
        )
    return write_points(folder, picture, f"{name or picture.stem}_{prediction.method.name}_points", points)


def _inside(picture: Path, prediction: Prediction, regions: Sequence[Region]) -> np.ndarray:
    """float32 [h, w]: what lies in one of `regions`, in heads a cell."""
    mask = _mask(picture, prediction, regions)
    return counted_inside(prediction.density, prediction.candidates, mask, prediction.method.stride)


def _mask(picture: Path, prediction: Prediction, regions: Sequence[Region]) -> np.ndarray:
    """bool [height, width]: the pixels that lie in one of `regions`."""
    height, width = prediction.height, prediction.width
    inside = np.zeros((height, width), bool)
    for region in regions:
        mask = polygon_mask(region.vertices, height, width)
        if not mask.any():
            called = f"region {region.name!r}" if region.name else "the region"
            raise DataError(f"{picture}: {called} holds none of its {width} × {height} pixels; expected x, y in pixels")
        inside |= mask
    return inside


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Writes the rows of `counts` with a heading; a column that no row has is left out.

    Raises:
        HarnessError: the file cannot be written.
    """
    columns = [column for column in COLUMNS if any(column in row for row in rows)]
    with written(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
