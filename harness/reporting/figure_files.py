"""Figures as files of their own, for a README: the page's curves with colours, ground and legend in the file."""

from __future__ import annotations

import html
from collections.abc import Sequence

from harness.reporting import graphs
from harness.reporting.comparison import section_of, table_name
from harness.reporting.figures import COLOURS, WIDE
from harness.reporting.rows import Comparison

LINE, COLUMNS = 18, 2  # of the legend: the height of a line in pixels, and how many names stand in it
LIGHT = ("#fff", "#1c2330", "#5b6676", "#d9dee6")  # ground, ink, faint, rule: as report.css has them
DARK = ("#12161d", "#e6e9ef", "#98a2b3", "#323a46")
SERIES = (
    *("#2f7ed8", "#e8743b", "#19a979", "#d33682", "#8c6bb1"),
    *("#b58900", "#17a2b8", "#c0392b", "#7f8c8d", "#6ab04c"),
)


def figure_files(found: Sequence[Comparison]) -> dict[str, str]:
    """SVG by file name: of each comparison the validation error against the crops trained on, where its records hold any."""
    files: dict[str, str] = {}
    for comparison in found:
        parts = graphs.parts_of(comparison, section_of(comparison.key))
        svg = graphs.learning(parts).svg if parts and not comparison.proves_only else ""
        name = f"{table_name(comparison.key, 'learning')}.svg"
        if svg and name not in files:  # another set of files has the same name; the longest training comes first
            files[name] = standalone(svg, [part.title for part in parts])
    return files


def standalone(svg: str, names: Sequence[str]) -> str:
    """A chart of the page as a file: `names` are those of its series, in order. Light or dark as the reader's screen is."""
    lines = -(-len(names) // COLUMNS)
    height = WIDE.height + LINE * lines + 6
    legend = []
    for number, name in enumerate(names):
        x = WIDE.left + (number % COLUMNS) * (WIDE.width - WIDE.left) / COLUMNS
        y = WIDE.height + LINE * (number // COLUMNS) + 12
        legend.append(
            f'<g class="series c{number % COLOURS}"><rect x="{x:.0f}" y="{y - 9}" width="10" height="10"/></g>'
            f'<text class="name" x="{x + 15:.0f}" y="{y}">{html.escape(name)}</text>'
        )
    body = svg[svg.index(">") + 1 : svg.rindex("</svg>")]
    size = f'width="{WIDE.width}" height="{height}" viewBox="0 0 {WIDE.width} {height}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" font-family="system-ui, sans-serif">'
        f'<style>{_style()}</style><rect class="ground" width="{WIDE.width}" height="{height}"/>{body}{"".join(legend)}</svg>\n'
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
