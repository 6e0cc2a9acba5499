"""report.html: one file with everything in it – tables that sort, curves, scatters, pictures. No network, no Keras."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.host.plugins import Host
from harness.reporting import figures
from harness.reporting.comparison import section_of, title_of
from harness.reporting.figures import Series
from harness.reporting.groups import LEVELS
from harness.reporting.leaderboard import INTRODUCTION, NOTHING
from harness.reporting.rows import Comparison, Row
from harness.reporting.tables import Table
from harness.runs import examples
from harness.runs.records import ImageCount, Record, Unreadable

if TYPE_CHECKING:
    from markupsafe import Markup

MOST_ROWS = 10  # methods in one figure: as many as there are colours
MOST_POINTS = 400  # dots of one method in a scatter


def prose(text: str) -> Markup:
    """Safe HTML of a note written for markdown: `code` and **bold** as such, everything else escaped."""
    from markupsafe import Markup, escape

    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text)))
    return Markup(re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", marked))


@dataclass(frozen=True)
class Shown:
    """One method's answer for one picture: a data URI, or an 8×8 grid as SVG."""

    title: str
    count: float
    uri: str
    svg: str


@dataclass(frozen=True)
class Picture:
    """One test image, and what every method saw in it. `uri` is empty where the run kept no pictures."""

    image: str
    true: float
    uri: str
    shown: tuple[Shown, ...]


@dataclass(frozen=True)
class Terms:
    """The curves of one method's loss, term by term; the names in the order of the colours."""

    title: str
    names: tuple[str, ...]
    curves: str


@dataclass(frozen=True)
class Section:
    """One comparison's part of the page."""

    anchor: str
    title: str
    tables: tuple[Table, ...]
    legend: tuple[str, ...]
    curves: str
    scatter: str
    levels: str
    terms: tuple[Terms, ...]
    pictures: tuple[Picture, ...]


def page(
    tables: Sequence[Table],
    found: Sequence[Comparison],
    records: int,
    unreadable: Sequence[Unreadable],
    host: Host,
    folders: Sequence[Path],
) -> str:
    """The whole page; the same records and pictures give the same bytes.

    Args:
        folders: where runs lie, to find their pictures.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    sections = [_section(comparison, tables, folders) for comparison in found]
    taken = {id(table) for section in sections for table in section.tables}
    rest = [table for table in tables if id(table) not in taken]
    first = [table for table in rest if table.name.startswith("all-")]
    environment = Environment(
        loader=PackageLoader("harness.reporting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["prose"] = prose
    return environment.get_template("report.html").render(
        introduction=INTRODUCTION,
        nothing=NOTHING,
        first=first,
        sections=sections,
        last=[table for table in rest if table not in first],
        unreadable=unreadable,
        records=records,
        plugins=sorted({plugin.origin for plugin in host.plugins if plugin.adds}),
    )


def _section(comparison: Comparison, tables: Sequence[Table], folders: Sequence[Path]) -> Section:
    own = [table for table in tables if table.section == section_of(comparison.key)]
    rows = [row for row in comparison.rows if row.records][:MOST_ROWS]
    return Section(
        anchor=section_of(comparison.key),
        title=title_of(comparison),
        tables=tuple(own),
        legend=tuple(row.title for row in rows),
        curves=_curves(rows),
        scatter=_scatter(rows),
        levels=_levels(rows),
        terms=tuple(filter(None, map(_terms, rows))),
        pictures=tuple(_pictures(rows, folders)),
    )


def _curves(rows: Sequence[Row]) -> str:
    series = []
    for row in rows:
        history = row.records[0].training.history  # type: ignore[union-attr]
        points = tuple((float(epoch.epoch), epoch.val_mae) for epoch in history if epoch.val_mae is not None)
        series.append(Series(row.title, points))
    return figures.lines(series, "epoch", "validation MAE") if any(one.points for one in series) else ""


def _terms(row: Row) -> Terms | None:
    """Of the first run of a method whose loss has several terms."""
    history = row.records[0].training.history  # type: ignore[union-attr]
    names = list(dict.fromkeys(name for epoch in history for name in epoch.terms))[: figures.COLOURS]
    if len(names) < 2:
        return None
    series = [
        Series(
            name.removesuffix("_loss"),
            tuple((float(epoch.epoch), epoch.terms[name]) for epoch in history if name in epoch.terms),
        )
        for name in names
    ]
    curves = figures.lines(series, "epoch", "term of the loss", logarithmic=True)
    return Terms(row.title, tuple(one.label for one in series), curves) if curves else None


def _images(row: Row) -> list[ImageCount]:
    """Every test image once: all folds of the first seed."""
    seed = min(record.seed for record in row.records)
    return [image for record in row.records if record.seed == seed for image in record.results.per_image]  # type: ignore[union-attr]


def _scatter(rows: Sequence[Row]) -> str:
    series = []
    for row in rows:
        images = _images(row)
        step = max(1, len(images) // MOST_POINTS)
        series.append(Series(row.title, tuple((image.true, image.predicted) for image in images[::step])))
    return figures.scatter(series, "true count", "predicted count") if rows else ""


def _levels(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    series = []
    for row in rows:
        points = []
        for number, (_, below, last) in enumerate(LEVELS):
            errors = [abs(image.predicted - image.true) for image in _images(row) if below < image.true <= last]
            if errors:
                points.append((float(number), float(np.mean(errors))))
        series.append(Series(row.title, tuple(points)))
    return figures.bars([name for name, _, _ in LEVELS], series, "MAE")


def _pictures(rows: Sequence[Row], folders: Sequence[Path]) -> list[Picture]:
    """A few test images with every method's density; grids of counts where a run kept no pictures."""
    if not rows:
        return []
    first = rows[0].records[0]
    counts = {image.image: image.true for image in first.results.per_image}  # type: ignore[union-attr]
    pictures = []
    for name in examples.chosen(counts):
        uri, shown, true_uri = "", [], ""
        top, true_grid = 0.0, None
        for row in rows:
            record = next((r for r in row.records if r.fold == first.fold), None)
            image = next((i for i in record.results.per_image if i.image == name), None) if record else None  # type: ignore[union-attr]
            if record is None or image is None:
                continue
            if true_grid is None:
                true_grid, top = image.true_grid, max(image.true_grid)
            folder = _folder(record, folders)
            example = next((e for e in examples.read(folder) if e.image == name), None) if folder else None
            if example and folder:
                uri = uri or _uri(folder / examples.FOLDER / example.picture)
                true_uri = true_uri or _uri(folder / examples.FOLDER / example.true_density)
            own = _uri(folder / examples.FOLDER / example.predicted_density) if example and folder else ""
            shown.append(Shown(row.title, image.predicted, own, "" if own else figures.heat(image.predicted_grid, top)))
        if true_grid is not None:
            truth = Shown("truth", counts[name], true_uri, "" if true_uri else figures.heat(true_grid, top))
            pictures.append(Picture(name, counts[name], uri, (truth, *shown)))
    return pictures


def _folder(record: Record, folders: Sequence[Path]) -> Path | None:
    return next((folder / record.name for folder in folders if (folder / record.name).is_dir()), None)


def _uri(path: Path) -> str:
    kind = "jpeg" if path.suffix == ".jpg" else "png"
    try:
        return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
    except OSError:
        return ""
