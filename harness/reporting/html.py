"""report.html: one file with everything in it – tables that sort, curves, scatters, pictures. No network, no Keras."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.host.plugins import Host
from harness.reporting import figures, graphs
from harness.reporting.comparison import section_of, title_of
from harness.reporting.graphs import Cloud, Figure, Part, Terms
from harness.reporting.leaderboard import INTRODUCTION, NOTHING
from harness.reporting.pictures import Picture, pictures
from harness.reporting.rows import Comparison
from harness.reporting.tables import Table
from harness.runs.records import Unreadable

if TYPE_CHECKING:
    from markupsafe import Markup


def prose(text: str) -> Markup:
    """Safe HTML of a note written for markdown: `code` and **bold** as such, everything else escaped."""
    from markupsafe import Markup, escape

    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text)))
    return Markup(re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", marked))


@dataclass(frozen=True)
class Link:
    """Somewhere a table's row leads to."""

    text: str
    anchor: str


@dataclass(frozen=True)
class Place:
    """Where a method's row is, and where it leads to."""

    anchor: str
    links: tuple[Link, ...]


@dataclass(frozen=True)
class Section:
    """One comparison's part of the page. `places` are of the rows of its own table (that called `main`) by their titles."""

    anchor: str
    title: str
    main: str
    tables: tuple[Table, ...]
    parts: tuple[Part, ...]
    places: Mapping[str, Place]
    figures: tuple[Figure, ...]
    clouds: tuple[Cloud, ...]
    clouds_told: str
    terms: tuple[Terms, ...]
    pictures: tuple[Picture, ...]


def page(
    tables: Sequence[Table],
    found: Sequence[Comparison],
    records: int,
    unreadable: Sequence[Unreadable],
    host: Host,
    folders: Mapping[str, Path],
) -> str:
    """The whole page; the same records and pictures give the same bytes.

    Args:
        folders: where each run lies, by the id of its record, to find its pictures.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    colours = graphs.colours_of(found)
    sections = [_section(comparison, tables, folders, colours) for comparison in found]
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
        gradient=figures.gradient(),
    )


def _section(
    comparison: Comparison, tables: Sequence[Table], folders: Mapping[str, Path], colours: Mapping[str, int]
) -> Section:
    anchor = section_of(comparison.key)
    own = tuple(table for table in tables if table.section == anchor)
    parts = graphs.parts_of(comparison, anchor, colours)
    measured = () if comparison.proves_only else parts  # of the others, what was learned and pictures, but no errors
    shown = tuple(pictures(parts, folders))
    charts = (graphs.learning, graphs.levels, graphs.densities, graphs.sizes)
    drawn = tuple(chart(measured) for chart in charts) if measured else ()
    return Section(
        anchor=anchor,
        title=title_of(comparison),
        main=next((table.name for table in own if table.title == title_of(comparison)), ""),
        tables=own,
        parts=parts,
        places={part.title: Place(part.anchor, _links(part, drawn[0] if drawn else None, shown)) for part in parts},
        figures=drawn,
        clouds=graphs.clouds(measured),
        clouds_told=graphs.clouds_told(measured),
        terms=tuple(filter(None, (graphs.terms(part.row) for part in parts))),
        pictures=shown,
    )


def _links(part: Part, learning: Figure | None, shown: Sequence[Picture]) -> tuple[Link, ...]:
    """The method's curve, scatter and first picture, as far as they are there."""
    there = {
        "curve": learning is not None and f'id="{part.at("curve")}"><polyline' in learning.svg,
        "scatter": learning is not None,
        "picture": any(one.part == part for picture in shown for one in picture.shown),
    }
    return tuple(
        Link(f"{what}s" if what == "picture" else what, part.at(what)) for what, is_there in there.items() if is_there
    )
