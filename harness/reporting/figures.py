"""Small charts as SVG that takes its colours from the page, so that light and dark both work. Plain text, no library:
a report must be the same bytes everywhere and start at once."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.reporting.axes import Axis, Frame, between, decades, linear

WIDE = Frame(520, 320, 70, 20, 12, 44)
PANEL = Frame(220, 200, 54, 12, 8, 40)  # one of many
MOST_DOTS = 60  # of one line; more would hide it, and make the page heavy
COLOURS = 14  # the page defines classes c0 … c13
RAMP = (
    (68, 1, 84),
    (59, 82, 139),
    (33, 145, 140),
    (94, 201, 98),
    (253, 231, 37),
)  # RGB, from nobody to most; on any ground


@dataclass(frozen=True)
class Series:
    """One line, cloud or set of bars in one of `COLOURS`: `points` are (x, y); `anchor` is what links to it name, if any do."""

    label: str
    points: tuple[tuple[float, float], ...]
    colour: int = 0
    anchor: str = ""


def lines(
    series: Sequence[Series], x_label: str, y_label: str, logarithmic: bool = False, logarithmic_x: bool = False
) -> str:
    """Curves. An axis begins at zero, or is logarithmic over the range of its values, and its label says so.

    Returns:
        SVG; "" where there is no point. What a logarithmic axis has no place for (zero and below) is left out.
    """
    series = [
        replace(
            one,
            points=tuple((a, b) for a, b in one.points if (a > 0 or not logarithmic_x) and (b > 0 or not logarithmic)),
        )
        for one in series
    ]
    if not any(one.points for one in series):
        return ""
    x = (decades if logarithmic_x else linear)(_values(series, 0), WIDE)
    y = (decades if logarithmic else linear)(_values(series, 1), WIDE, upright=True)
    body = []
    for one in series:
        path = " ".join(f"{x.place(a):.1f},{y.place(b):.1f}" for a, b in one.points)
        parts = [f'<polyline points="{path}"><title>{_text(one.label)}</title></polyline>'] if one.points else []
        for a, b in one.points if len(one.points) <= MOST_DOTS else ():
            shown = f"{b:.3g}" if logarithmic and b < 1 else f"{b:.1f}"
            parts.append(_dot(x.place(a), y.place(b), f"{one.label}: {shown} at {_told(a)}"))
        body.append(_group(one, parts))
    x_label, y_label = (
        f"{label} (logarithmic)" if so else label for label, so in ((x_label, logarithmic_x), (y_label, logarithmic))
    )
    return _chart(WIDE, x, y, x_label, y_label, body)


def shared_range(series: Sequence[Series]) -> tuple[float, float]:
    """Where both axes of clouds begin and end that are to have one scale.

    From the power of ten below their lowest x, or from 0 where true counts are within one decade, whose half would be empty.
    """
    true = _values(series, 0) or [1.0]
    top = max([*true, *_values(series, 1), 1.0])
    if max(true) < 10 * max(1.0, min(true)) and top < 10 * max(true):
        return 0.0, top
    bottom = 10.0 ** math.floor(math.log10(max(1.0, min(true))))
    return bottom, max(10 * bottom, top)


def cloud(one: Series, ends: tuple[float, float], x_label: str, y_label: str) -> str:
    """A cloud over the diagonal. Both axes are logarithmic between `ends`, linear from 0; what is below lies on them."""
    if ends[0]:
        x, y = between(*ends, PANEL), between(*ends, PANEL, upright=True)
    else:
        x, y = linear(ends[1:], PANEL), linear(ends[1:], PANEL, upright=True)
    (x1, y1), (x2, y2) = ((x.place(end), y.place(end)) for end in ends)
    dots = [_dot(x.place(a), y.place(max(b, ends[0])), f"{b:.0f} for {a:.0f}") for a, b in one.points]
    rule = f'<line class="diagonal" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
    return _chart(PANEL, x, y, x_label, y_label, [rule, _group(one, dots)])


def bars(groups: Sequence[str], series: Sequence[Series], y_label: str) -> str:
    """Bars side by side for each group; `points` are (number of the group, value)."""
    y = linear(_values(series, 1), WIDE, upright=True)
    span = (WIDE.width - WIDE.left - WIDE.right) / max(1, len(groups))
    wide, floor = 0.8 * span / max(1, len(series)), WIDE.height - WIDE.bottom
    body = []
    for number, one in enumerate(series):
        parts = []
        for group, value in one.points:
            left, top = WIDE.left + (group + 0.1) * span + number * wide, y.place(value)
            size = f'width="{max(1.0, wide - 1):.1f}" height="{floor - top:.1f}"'
            title = _text(f"{one.label}, {groups[int(group)]}: {value:.1f}")
            parts.append(f'<rect x="{left:.1f}" y="{top:.1f}" {size}><title>{title}</title></rect>')
        body.append(_group(one, parts))
    for number, name in enumerate(groups):
        middle = WIDE.left + (number + 0.5) * span
        body.append(f'<text class="tick" x="{middle:.1f}" y="{floor + 16}" text-anchor="middle">{_text(name)}</text>')
    return _chart(WIDE, None, y, "", y_label, body)


def heat(grid: Sequence[float], top: float, height: int | None = None, width: int | None = None) -> str:
    """An 8×8 grid of counts in the colours of `RAMP`, by the square root of their share of `top`.

    Args:
        height, width: of the picture, whose proportions it has; 3 to 4 where they are not known.
    """
    cells = "".join(
        f'<rect x="{number % 8}" y="{number // 8}" width="1" height="1" fill="{_colour(value, top)}">'
        f"<title>{value:.1f}</title></rect>"
        for number, value in enumerate(grid)
    )
    shape = f"aspect-ratio: {width} / {height}" if height and width else "aspect-ratio: 4 / 3"
    drawn = 'viewBox="0 0 8 8" preserveAspectRatio="none" shape-rendering="crispEdges"'
    return f'<svg class="grid" {drawn} style="{shape}" role="img" aria-label="counts in 8×8 cells">{cells}</svg>'


def gradient() -> str:
    """`RAMP` as a background in CSS."""
    return f"linear-gradient(to right, {', '.join(f'rgb({r}, {g}, {b})' for r, g, b in RAMP)})"


def _colour(value: float, top: float) -> str:
    share = min(1.0, max(0.0, value / top)) ** 0.5 if top > 0 else 0.0
    place = share * (len(RAMP) - 1)
    below = min(int(place), len(RAMP) - 2)
    pairs = zip(RAMP[below], RAMP[below + 1], strict=True)
    return "#" + "".join(f"{round(a + (b - a) * (place - below)):02x}" for a, b in pairs)


def _values(series: Sequence[Series], axis: int) -> list[float]:
    return [point[axis] for one in series for point in one.points]


def _group(one: Series, parts: Sequence[str]) -> str:
    name = f' id="{_text(one.anchor)}"' if one.anchor else ""
    return f'<g class="series c{one.colour}"{name}>{"".join(parts)}</g>'


def _told(value: float) -> str:
    """A number of an axis: whole with commas from a thousand on, else as it is written shortest."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _dot(x: float, y: float, title: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5"><title>{_text(title)}</title></circle>'


def _chart(frame: Frame, x: Axis | None, y: Axis, x_label: str, y_label: str, body: list[str]) -> str:
    floor, right = frame.height - frame.bottom, frame.width - frame.right
    drawn = []
    for value in y.ticks:
        at = y.place(value)
        drawn.append(f'<line class="rule" x1="{frame.left}" y1="{at:.1f}" x2="{right}" y2="{at:.1f}"/>')
        drawn.append(
            f'<text class="tick" x="{frame.left - 6}" y="{at + 4:.1f}" text-anchor="end">{_told(value)}</text>'
        )
    for value in x.ticks if x else ():
        at = x.place(value)  # type: ignore[union-attr]
        drawn.append(f'<text class="tick" x="{at:.1f}" y="{floor + 18}" text-anchor="middle">{_told(value)}</text>')
    middle = (frame.left + right) / 2
    drawn.append(
        f'<text class="label" x="{middle:.1f}" y="{frame.height - 8}" text-anchor="middle">{_text(x_label)}</text>'
    )
    drawn.append(
        f'<text class="label" transform="translate(11 {(frame.top + floor) / 2:.1f}) rotate(-90)" '
        f'text-anchor="middle">{_text(y_label)}</text>'
    )
    box = f'viewBox="0 0 {frame.width} {frame.height}"'
    named = _text(f"{y_label} against {x_label}" if x_label else y_label)
    return f'<svg class="chart" {box} role="img" aria-label="{named}">{"".join(drawn)}{"".join(body)}</svg>'


def _text(text: str) -> str:
    return html.escape(text, quote=True)
