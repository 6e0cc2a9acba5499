"""A few test images, and what every method saw in them: the pictures that runs kept, else 8×8 grids of counts."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.reporting import figures
from harness.reporting.graphs import Part
from harness.runs import examples
from harness.runs.records import ImageCount, Record


@dataclass(frozen=True)
class Shown:
    """One method's answer for one picture: a data URI, or an 8×8 grid as SVG. Without a `part` it is the truth."""

    title: str
    count: float
    uri: str
    svg: str
    part: Part | None = None


@dataclass(frozen=True)
class Picture:
    """One test image, and what every method saw in it.

    `uri` is empty where the run kept no pictures; `top` is the most heads in a cell of any grid shown, where their one scale of
    colours ends, and None where there is no grid; `negative` says that a network predicted fewer than none in some.
    """

    image: str
    true: float
    uri: str
    shown: tuple[Shown, ...]
    top: float | None
    negative: bool = False


def pictures(parts: Sequence[Part], folders: Mapping[str, Path]) -> list[Picture]:
    """The images of fewest, middling and most heads of the first row's first run.

    Args:
        folders: where each run lies, by the id of its record, to find its pictures.
    """
    if not parts:
        return []
    first = parts[0].row.records[0]
    counts = {image.image: image.true for image in first.results.per_image}  # type: ignore[union-attr]
    return [_picture(name, first.fold, parts, folders) for name in examples.chosen(counts)]


def _picture(name: str, fold: int, parts: Sequence[Part], folders: Mapping[str, Path]) -> Picture:
    found: list[tuple[Part, ImageCount, str]] = []
    uri = true_uri = ""
    for part in parts:
        record = next((record for record in part.row.records if record.fold == fold), None)
        image = _image(record, name) if record else None
        if record is None or image is None:
            continue
        folder = folders.get(record.id)
        example = next((one for one in examples.read(folder) if one.image == name), None) if folder else None
        own = ""
        if example and folder:
            kept = folder / examples.FOLDER
            uri = uri or _uri(kept / example.picture)
            true_uri = true_uri or _uri(kept / example.true_density)
            own = _uri(kept / example.predicted_density)
        found.append((part, image, own))
    truth = found[0][1]
    grids = [image.predicted_grid for _, image, own in found if not own] + ([] if true_uri else [truth.true_grid])
    top = max(map(max, grids)) if grids else None

    def grid(values: Sequence[float], kept: str) -> str:
        return "" if kept else figures.heat(values, top or 0.0, truth.height, truth.width)

    shown = [Shown("truth", truth.true, true_uri, grid(truth.true_grid, true_uri))]
    shown += [
        Shown(part.title, image.predicted, own, grid(image.predicted_grid, own), part) for part, image, own in found
    ]
    return Picture(name, truth.true, uri, tuple(shown), top, any(min(values) < 0 for values in grids))


def _image(record: Record, name: str) -> ImageCount | None:
    return next((image for image in record.results.per_image if image.image == name), None)  # type: ignore[union-attr]


def _uri(path: Path) -> str:
    kind = "jpeg" if path.suffix == ".jpg" else "png"
    try:
        return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
    except OSError:
        return ""
