"""Small charts as SVG that takes its colours from the page, so that light and dark both work. Plain text, no library:
a report must be the same bytes everywhere and start at once."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 520, 320
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 12, 44
MOST_DECADES = 6
MOST_DOTS = 60  # of one line; more would hide it, and make the page heavy
COLOURS = 10  # the page defines classes c0 … c9


@dataclass(frozen=True)
class Series:
    """One line, cloud or set of bars: `points` are (x, y)."""

    label: str
    points: tuple[tuple[float, float], ...]


def lines(series: Sequence[Series], x_label: str, y_label: str, logarithmic: bool = False) -> str:
    """Learning curves. Both axes begin at zero, or the upright one is logarithmic over the range of the values.

    Returns:
        SVG; "" where the axis is logarithmic and no value above zero. Others are left out of it.
    """
    if logarithmic:
        series = [Series(one.label, tuple(point for point in one.points if point[1] > 0)) for one in series]
        if not any(one.points for one in series):
            return ""
    x = _linear(_values(series, 0))
    y = _decades(_values(series, 1)) if logarithmic else _linear(_values(series, 1), upright=True)
    body = []
    for number, one in enumerate(series):
        path = " ".join(f"{x.place(a):.1f},{y.place(b):.1f}" for a, b in one.points)
        body.append(
            f'<polyline class="line c{number % COLOURS}" points="{path}"><title>{_text(one.label)}</title></polyline>'
        )
        shown = "{:.3g}" if logarithmic else "{:.1f}"
        body += [
            _dot(x.place(a), y.place(b), number, f"{one.label}: {shown.format(b)} at {a:g}", 2.5)
            for a, b in one.points
            if not logarithmic or len(one.points) <= MOST_DOTS
        ]
    return _chart(x, y, x_label, y_label, body)


def scatter(series: Sequence[Series], x_label: str, y_label: str) -> str:
    """Clouds over the diagonal, both axes logarithmic; what is below 1 is drawn at 1."""
    top = max([10.0, *_values(series, 0), *_values(series, 1)])
    x, y = _logarithmic(top), _logarithmic(top, upright=True)
    body = [
        f'<line class="rule" x1="{x.place(1):.1f}" y1="{y.place(1):.1f}" x2="{x.place(top):.1f}" y2="{y.place(top):.1f}"/>'
    ]
    for number, one in enumerate(series):
        body += [
            _dot(x.place(max(a, 1)), y.place(max(b, 1)), number, f"{one.label}: {b:.0f} for {a:.0f}", 2.5)
            for a, b in one.points
        ]
    return _chart(x, y, x_label, y_label, body)


def bars(groups: Sequence[str], series: Sequence[Series], y_label: str) -> str:
    """Bars side by side for each group; `points` are (number of the group, value)."""
    y = _linear(_values(series, 1), upright=True)
    span = (WIDTH - LEFT - RIGHT) / max(1, len(groups))
    wide = 0.8 * span / max(1, len(series))
    body = []
    for number, one in enumerate(series):
        for group, value in one.points:
            left = LEFT + (group + 0.1) * span + number * wide
            top = y.place(value)
            title = _text(f"{one.label}, {groups[int(group)]}: {value:.1f}")
            body.append(
                f'<rect class="fill c{number % COLOURS}" x="{left:.1f}" y="{top:.1f}" width="{max(1.0, wide - 1):.1f}" '
                f'height="{HEIGHT - BOTTOM - top:.1f}"><title>{title}</title></rect>'
            )
    for number, name in enumerate(groups):
        middle = LEFT + (number + 0.5) * span
        body.append(
            f'<text class="tick" x="{middle:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{_text(name)}</text>'
        )
    return _chart(None, y, "", y_label, body)


def heat(grid: Sequence[float], top: float) -> str:
    """An 8×8 grid of counts, opaque at `top`."""
    cells = []
    for number, value in enumerate(grid):
        share = min(1.0, max(0.0, value / top)) if top > 0 else 0.0
        cells.append(
            f'<rect class="heat" x="{number % 8}" y="{number // 8}" width="1" height="1" '
            f'opacity="{share**0.5:.3f}"><title>{value:.1f}</title></rect>'
        )
    return f'<svg class="grid" viewBox="0 0 8 8" role="img">{"".join(cells)}</svg>'


@dataclass(frozen=True)
class _Axis:
    place: Callable[[float], float]
    ticks: tuple[float, ...]


def _values(series: Sequence[Series], axis: int) -> list[float]:
    return [point[axis] for one in series for point in one.points]


def _ends(upright: bool) -> tuple[float, float]:
    return (HEIGHT - BOTTOM, TOP) if upright else (LEFT, WIDTH - RIGHT)


def _linear(values: Sequence[float], upright: bool = False) -> _Axis:
    top = max([0.0, *values]) or 1.0
    step = 10 ** math.floor(math.log10(top / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if top / (step * factor) <= 5)
    begin, end = _ends(upright)
    ticks = tuple(step * number for number in range(int(top / step * 1.0001) + 1))
    return _Axis(lambda value: begin + (end - begin) * value / (top * 1.03), ticks)


def _logarithmic(top: float, upright: bool = False) -> _Axis:
    begin, end = _ends(upright)
    length = math.log10(top * 1.1)
    ticks = tuple(10.0**power for power in range(int(length) + 1))
    return _Axis(lambda value: begin + (end - begin) * math.log10(max(value, 1.0)) / length, ticks)


def _decades(values: Sequence[float]) -> _Axis:
    """The upright logarithmic axis of values above zero: from the tick below them to the tick above, at most eight ticks."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    if high - low > MOST_DECADES:
        step = -(-(high - low) // MOST_DECADES)
        marks = [10.0**power for power in range(low, high + step, step)]
    else:
        factors = (1, 2, 5) if high - low <= 2 else (1,)
        marks = [float(f"{factor}e{power}") for power in range(low, high + 1) for factor in factors]
    below = max((mark for mark in marks if mark <= min(values)), default=marks[0])
    above = min((mark for mark in marks if mark >= max(values) and mark > below), default=marks[-1])
    first, last = math.log10(below), math.log10(above)
    begin, end = _ends(upright=True)
    ticks = tuple(mark for mark in marks if below <= mark <= above)
    return _Axis(lambda value: begin + (end - begin) * (math.log10(value) - first) / (last - first), ticks)


def _dot(x: float, y: float, number: int, title: str, radius: float) -> str:
    place = f'cx="{x:.1f}" cy="{y:.1f}" r="{radius}"'
    return f'<circle class="fill c{number % COLOURS}" {place}><title>{_text(title)}</title></circle>'


def _chart(x: _Axis | None, y: _Axis, x_label: str, y_label: str, body: list[str]) -> str:
    floor, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    frame = []
    for value in y.ticks:
        at = y.place(value)
        frame.append(f'<line class="rule" x1="{LEFT}" y1="{at:.1f}" x2="{right}" y2="{at:.1f}"/>')
        frame.append(f'<text class="tick" x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value in x.ticks if x else ():
        at = x.place(value)  # type: ignore[union-attr]
        frame.append(f'<text class="tick" x="{at:.1f}" y="{floor + 16}" text-anchor="middle">{value:g}</text>')
    middle = (LEFT + right) / 2
    frame.append(f'<text class="label" x="{middle:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{_text(x_label)}</text>')
    frame.append(
        f'<text class="label" transform="translate(14 {(TOP + floor) / 2:.1f}) rotate(-90)" '
        f'text-anchor="middle">{_text(y_label)}</text>'
    )
    return f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(frame)}{"".join(body)}</svg>'


def _text(text: str) -> str:
    return html.escape(text, quote=True)
