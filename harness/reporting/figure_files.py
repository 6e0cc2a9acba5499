"""Figures as files of their own, for a README: the page's curves with colours, ground and legend in the file."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Sequence

from harness.reporting import graphs
from harness.reporting.comparison import section_of, table_name, title_of
from harness.reporting.figures import WIDE
from harness.reporting.rows import Comparison

LINE, COLUMNS = 18, 2  # of the legend: the height of a line in pixels, and how many names stand in it
TITLE = 60  # letters of the title in a line
LIGHT = ("#fff", "#1c2330", "#5b6676", "#d9dee6")  # ground, ink, faint, rule: as report.css has them
DARK = ("#12161d", "#e6e9ef", "#98a2b3", "#323a46")
SERIES = (
    *("#2f7ed8", "#e8743b", "#19a979", "#d33682", "#8c6bb1"),
    *("#b58900", "#17a2b8", "#c0392b", "#7f8c8d", "#6ab04c"),
    *("#34568b", "#a0522d", "#e056fd", "#556b2f"),
)


def figure_files(found: Sequence[Comparison]) -> dict[str, str]:
    """SVG by file name: of each comparison the validation error against the crops trained on, where its records hold any."""
    files: dict[str, str] = {}
    colours = graphs.colours_of(found)
    for comparison in found:
        parts = graphs.parts_of(comparison, section_of(comparison.key), colours)
        svg = graphs.learning(parts).svg if parts and not comparison.proves_only else ""
        name = f"{table_name(comparison.key, 'learning')}.svg"
        if svg and name not in files:  # another set of files has the same name; the longest training comes first
            files[name] = standalone(svg, title_of(comparison), [(part.title, part.colour) for part in parts])
    return files


def standalone(svg: str, title: str, names: Sequence[tuple[str, int]]) -> str:
    """A chart of the page as a file, under its `title`; light or dark as the reader's screen is.

    Args:
        names: of its series, in order, each with its colour.
    """
    said = textwrap.wrap(title, TITLE, break_on_hyphens=False)
    head = LINE * len(said) + 8
    height = head + WIDE.height + LINE * -(-len(names) // COLUMNS) + 6
    legend = [
        f'<text class="name" x="{WIDE.left}" y="{LINE * number}">{html.escape(line)}</text>'
        for number, line in enumerate(said, 1)
    ]
    for number, (name, colour) in enumerate(names):
        x = WIDE.left + (number % COLUMNS) * (WIDE.width - WIDE.left) / COLUMNS
        y = head + WIDE.height + LINE * (number // COLUMNS) + 12
        legend.append(
            f'<g class="series c{colour}"><rect x="{x:.0f}" y="{y - 9}" width="10" height="10"/></g>'
            f'<text class="name" x="{x + 15:.0f}" y="{y}">{html.escape(name)}</text>'
        )
    body = svg[svg.index(">") + 1 : svg.rindex("</svg>")]
    size = f'width="{WIDE.width}" height="{height}" viewBox="0 0 {WIDE.width} {height}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" font-family="system-ui, sans-serif">'
        f"<title>{html.escape(title)}</title><style>{_style()}</style>"
        f'<rect class="ground" width="{WIDE.width}" height="{height}"/>'
        f'<g transform="translate(0 {head})">{body}</g>{"".join(legend)}</svg>\n'
    )


def _style() -> str:
    colours = "".join(f".c{number} {{ --c: {colour}; }} " for number, colour in enumerate(SERIES))
    return (
        f"{_ground(LIGHT)} @media (prefers-color-scheme: dark) {{ {_ground(DARK)} }} "
        "text { font-size: 12px; } .series polyline { fill: none; stroke-width: 2; stroke: var(--c); } "
        f".series circle, .series rect {{ fill: var(--c); }} {colours}"
    )


def _ground(colours: tuple[str, str, str, str]) -> str:
    ground, ink, faint, rule = colours
    return (
        f".ground {{ fill: {ground}; }} .name {{ fill: {ink}; }} .tick, .label {{ fill: {faint}; }} "
        f".rule {{ stroke: {rule}; }}"
    )
