"""Where values lie in a chart: its frame, and axes with ticks at round numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

MOST_DECADES = 6
MARGIN = 1.08  # of a logarithmic axis beyond its values


@dataclass(frozen=True)
class Frame:
    """The size of a chart and the room around its axes, in units of its SVG."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int

    def ends(self, upright: bool) -> tuple[float, float]:
        """Where an axis begins and ends."""
        return (self.height - self.bottom, self.top) if upright else (self.left, self.width - self.right)


@dataclass(frozen=True)
class Axis:
    place: Callable[[float], float]
    ticks: tuple[float, ...]


def linear(values: Sequence[float], frame: Frame, upright: bool = False) -> Axis:
    """From zero to just above the largest value."""
    top = max([0.0, *values]) or 1.0
    step = 10 ** math.floor(math.log10(top / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if top / (step * factor) <= 5)
    begin, end = frame.ends(upright)
    ticks = tuple(step * number for number in range(int(top / step * 1.0001) + 1))
    return Axis(lambda value: begin + (end - begin) * value / (top * 1.03), ticks)


def between(bottom: float, top: float, frame: Frame, upright: bool = False) -> Axis:
    """Logarithmic, from `bottom`, a power of ten (where what is below it is placed too), to just above `top`."""
    begin, end = frame.ends(upright)
    length = math.log10(top * 1.1 / bottom)
    ticks = tuple(bottom * 10.0**power for power in range(int(length) + 1))
    return Axis(lambda value: begin + (end - begin) * math.log10(max(value, bottom) / bottom) / length, ticks)


def decades(values: Sequence[float], frame: Frame, upright: bool = False) -> Axis:
    """Logarithmic over values above zero, from the lowest to the highest, or to round numbers outside where none are within."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    if high - low > MOST_DECADES:
        step = -(-(high - low) // MOST_DECADES)
        marks = [10.0**power for power in range(low, high + step, step)]
    else:
        factors = (1, 2, 5) if high - low <= 2 else (1,)
        marks = [float(f"{factor}e{power}") for power in range(low, high + 1) for factor in factors]
    below, above = min(values) / MARGIN, max(values) * MARGIN
    if sum(below <= mark <= above for mark in marks) < 2:
        below = max((mark for mark in marks if mark <= min(values)), default=marks[0])
        above = min((mark for mark in marks if mark >= max(values) and mark > below), default=marks[-1])
    first, last = math.log10(below), math.log10(above)
    begin, end = frame.ends(upright)
    ticks = tuple(mark for mark in marks if below <= mark <= above)
    return Axis(lambda value: begin + (end - begin) * (math.log10(value) - first) / (last - first), ticks)
