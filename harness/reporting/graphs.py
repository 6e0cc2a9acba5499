"""The figures of one comparison: curves, clouds, errors by count, density and size, each with what is said below it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.reporting import figures
from harness.reporting.crops_seen import crops_seen
from harness.reporting.figures import Series
from harness.reporting.groups import images_of, levels_of
from harness.reporting.rows import Comparison, Row
from harness.run import ORACLE
from harness.runs.records import ImageCount, Record

MOST_POINTS = 400  # dots of one method in a scatter
MOST_BINS = 8
LEAST_A_BIN = 4  # images, where there are enough for two bins
LEAST_APART = 0.02  # of the length of the (logarithmic) axis: bins that end nearer to each other are one
LATE = 0.2  # the last part of the crops: a row whose lowest error lies there may still be learning
WIDE_RANGE = 10  # largest over smallest value from which an axis is logarithmic


@dataclass(frozen=True)
class Part:
    """One method's part of the page: its row, its colour, and where its line in the table, its curve and the rest are."""

    row: Row
    colour: int
    anchor: str

    @property
    def title(self) -> str:
        return self.row.title

    def at(self, what: str) -> str:
        """The anchor of its "curve", "scatter" or "picture"."""
        return f"{self.anchor}-{what}"


@dataclass(frozen=True)
class Figure:
    """A chart and its caption; `svg` is "" where it is left out, and the caption says why."""

    svg: str
    caption: str


@dataclass(frozen=True)
class Cloud:
    """One method's scatter."""

    part: Part
    svg: str


@dataclass(frozen=True)
class Terms:
    """The curves of one method's loss, term by term; the names in the order of the colours."""

    title: str
    names: tuple[str, ...]
    curves: str


def colours_of(found: Sequence[Comparison]) -> dict[str, int]:
    """A colour for each method (variants too) of a report, so that it has the same one in every figure as far as they go."""
    methods = dict.fromkeys(row.method for comparison in found for row in comparison.rows if row.records)
    return {method: number % figures.COLOURS for number, method in enumerate(methods)}


def parts_of(comparison: Comparison, anchor: str, colours: Mapping[str, int] | None = None) -> tuple[Part, ...]:
    """The methods that one figure has room for, best first.

    Args:
        colours: those of methods. Of several rows of one method the first has it, the others one that is nobody's, if any is.
    """
    rows = [row for row in comparison.rows if row.records][: figures.COLOURS]
    given: dict[int, int] = {}
    for number, row in enumerate(rows):
        wanted = (colours or {}).get(row.method, number)
        if wanted not in given.values():
            given[number] = wanted
    taken = {*given.values(), *(colours or {}).values()}
    free = sorted(set(range(figures.COLOURS)) - set(given.values()), key=lambda colour: (colour in taken, colour))
    for number in range(len(rows)):
        if number not in given:
            given[number] = free.pop(0)
    return tuple(Part(row, given[number], f"{anchor}-m{number}") for number, row in enumerate(rows))


def learning(parts: Sequence[Part]) -> Figure:
    """The error by which checkpoints are chosen against crops trained on: of the validation images, or of the test's."""
    oracle = any(record.select == ORACLE for part in parts for record in part.row.records)
    images = "test" if oracle else "validation"
    series = [
        Series(part.title, tuple(sorted(_validations(part.row).items())), part.colour, part.at("curve"))
        for part in parts
    ]
    heights = [value for one in series for _, value in one.points]
    svg = figures.lines(series, "crops trained on", f"{images} MAE", _far_apart(heights), logarithmic_x=True)
    if not svg:
        return Figure("", "Error against crops trained on: left out, these records hold no validations in common")
    falling = [one.label for one in series if len(one.points) > 1 and _lowest_at(one) >= (1 - LATE) * one.points[-1][0]]
    caption = (
        f"Error on the {images} images against crops trained on (the mean over a row's runs). Where the rate falls to zero "
        f"every curve is flat at its end, whether or not more training would help."
    )
    if falling:
        caption += f" Lowest in the last fifth, so perhaps still learning: {', '.join(falling)}."
    return Figure(svg, caption)


def _lowest_at(one: Series) -> float:
    """Where a curve is lowest, for the last time."""
    return max(one.points, key=lambda point: (-point[1], point[0]))[0]


def _validations(row: Row) -> dict[float, float]:
    """Validation MAE by crops trained on: means over the runs, of what all of them have."""
    found: dict[float, list[float]] = {}
    for record in row.records:
        for epoch in record.training.history:  # type: ignore[union-attr]
            crops = crops_seen(record, epoch.epoch)
            if epoch.val_mae is not None and crops is not None:
                found.setdefault(float(crops), []).append(epoch.val_mae)
    return {crops: float(np.mean(values)) for crops, values in found.items() if len(values) == len(row.records)}


def terms(row: Row) -> Terms | None:
    """Of the first run of a method whose loss has several terms."""
    history = row.records[0].training.history  # type: ignore[union-attr]
    names = list(dict.fromkeys(name for epoch in history for name in epoch.terms))[: figures.COLOURS]
    if len(names) < 2:
        return None
    series = [
        Series(
            name.removesuffix("_loss"),
            tuple((float(epoch.epoch), epoch.terms[name]) for epoch in history if name in epoch.terms),
            number,
        )
        for number, name in enumerate(names)
    ]
    curves = figures.lines(series, "epoch", "term of the loss", logarithmic=True)
    return Terms(row.title, tuple(one.label for one in series), curves) if curves else None


def clouds(parts: Sequence[Part]) -> tuple[Cloud, ...]:
    """One scatter a method, all of one scale."""
    series = []
    for part in parts:
        shown = _images(part.row)[:: _step(part)]
        series.append(Series(part.title, tuple((image.true, image.predicted) for image in shown), part.colour))
    ends = figures.shared_range(series)
    return tuple(
        Cloud(part, figures.cloud(one, ends, "true count", "predicted count"))
        for part, one in zip(parts, series, strict=True)
    )


def clouds_told(parts: Sequence[Part]) -> str:
    """Which test images the scatters show, where they are not all of every run."""
    told = []
    if (step := max(map(_step, parts), default=1)) > 1:
        told.append(f"one image in {step} is shown")
    if any(len({record.seed for record in part.row.records}) > 1 for part in parts):
        told.append("of several seeds the first")
    return "; ".join(told)


def _step(part: Part) -> int:
    return max(1, -(-len(_images(part.row)) // MOST_POINTS))


def levels(parts: Sequence[Part]) -> Figure:
    """Error by number of heads, over all runs of a row."""
    found = levels_of(np.array([image.true for part in parts for image in images_of(part.row.records)]))
    if not found:
        return Figure("", "Error by number of heads: left out, all images are of one level")
    series = []
    for part in parts:
        points = []
        for number, (_, below, last) in enumerate(found):
            errors = [
                abs(image.predicted - image.true) for image in images_of(part.row.records) if below < image.true <= last
            ]
            if errors:
                points.append((float(number), float(np.mean(errors))))
        series.append(Series(part.title, tuple(points), part.colour))
    return Figure(figures.bars([name for name, _, _ in found], series, "MAE"), "Error by number of heads in the image")


def densities(parts: Sequence[Part]) -> Figure:
    """Error against heads per megapixel. Less than one is drawn at one, for the axis' sake."""
    return _binned(parts, "density", "heads per megapixel", lambda image, area: max(1.0, image.true / area))


def sizes(parts: Sequence[Part]) -> Figure:
    """Error against the size of the image."""
    figure = _binned(parts, "image size", "megapixels", lambda _, area: area)
    told = "; groups may differ in how crowded they are, too" if figure.svg else ""
    return replace(figure, caption=figure.caption + told)


def _binned(parts: Sequence[Part], what: str, x_label: str, of: Callable[[ImageCount, float], float]) -> Figure:
    """Mean errors over groups of about equally many images, the same groups for every method."""
    found = {part.anchor: _valued(part.row, of) for part in parts}
    values = sorted({(fold, image.image): value for pairs in found.values() for fold, image, value in pairs}.values())
    if not values:
        return Figure("", f"Error against {what}: left out, these records do not hold the sizes of their images")
    if values[0] == values[-1]:
        return Figure("", f"Error against {what}: left out, all images have {values[0]:.3g} {x_label}")
    bins = max(2, min(MOST_BINS, len(values) // LEAST_A_BIN))
    ends = sorted({float(group[-1]) for group in np.array_split(np.array(values), bins) if len(group)})
    least = (values[-1] / values[0]) ** LEAST_APART
    edges = [end for end, after in zip(ends, [*ends[1:], float("inf")], strict=True) if after >= least * end]
    if len(edges) == 1:
        return Figure("", f"Error against {what}: left out, nearly all images have {values[-1]:.3g} {x_label}")
    series = []
    for part in parts:
        points = []
        for below, last in zip([-1.0, *edges[:-1]], edges, strict=True):
            inside = [
                (value, abs(image.predicted - image.true))
                for _, image, value in found[part.anchor]
                if below < value <= last
            ]
            if inside:
                middle, error = np.mean(inside, axis=0)
                points.append((float(middle), float(error)))
        series.append(Series(part.title, tuple(points), part.colour))
    heights = [value for one in series for _, value in one.points]
    svg = figures.lines(series, x_label, "MAE", _far_apart(heights), logarithmic_x=True)
    caption = f"Error against {what}: a mean for each of {len(edges)} groups of images, from the lowest to the highest"
    without = [part.title for part in parts if not found[part.anchor]]
    return Figure(svg, caption + (f"; without {', '.join(without)}, whose records hold no sizes" if without else ""))


def _valued(row: Row, of: Callable[[ImageCount, float], float]) -> list[tuple[int, ImageCount, float]]:
    """(fold, image, its value) of all runs of a row; none unless every image's size is known. The area is in megapixels."""
    every = [(record.fold, image) for record in row.records for image in record.results.per_image]  # type: ignore[union-attr]
    if any(image.height is None or image.width is None for _, image in every):
        return []
    return [(fold, image, of(image, image.height * image.width / 1e6)) for fold, image in every]  # type: ignore[operator]


def _images(row: Row) -> list[ImageCount]:
    """Every test image once: of each fold the first seed that has it."""
    first: dict[int, Record] = {}
    for record in sorted(row.records, key=lambda record: record.seed):
        first.setdefault(record.fold, record)
    return [image for fold in sorted(first) for image in first[fold].results.per_image]  # type: ignore[union-attr]


def _far_apart(values: Sequence[float]) -> bool:
    """Whether a linear axis would crowd the small ones at its foot."""
    return bool(values) and min(values) > 0 and max(values) > WIDE_RANGE * min(values)
