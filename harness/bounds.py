"""What a number of a recipe, a stage, a sigma or a budget may be, said once: in the type of its field.

`Recipe` and its parts check themselves by these types; the keys of an experiment file, and its schema, are made from them.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from math import isfinite
from numbers import Integral, Real
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from annotated_types import Interval

AtLeastOne = Annotated[int, Interval(ge=1)]
WholeFromZero = Annotated[int, Interval(ge=0)]
Finite = Annotated[float, Interval()]
FromZero = Annotated[float, Interval(ge=0)]
AboveZero = Annotated[float, Interval(gt=0)]
Share = Annotated[float, Interval(gt=0, le=1)]
Probability = Annotated[float, Interval(ge=0, le=1)]
Momentum = Annotated[float, Interval(ge=0, lt=1)]

LIMITS = {
    "ge": ("at least", operator.ge),
    "gt": ("above", operator.gt),
    "le": ("at most", operator.le),
    "lt": ("below", operator.lt),
}


def must_be(owner: str, name: str, value: Any, kind: type | tuple[type, ...], expected: str) -> None:
    """Raises `TypeError` where `value`, the `name` of `owner`, is of no such kind."""
    if not isinstance(value, kind):
        raise TypeError(f"{owner}: {name} is {value!r}; expected {expected}")


def out_of_bounds(whole: Any) -> Iterator[str]:
    """Every field of a dataclass whose type forbids a number in it: "epochs is 0; expected at least 1"."""
    hints = _hints(type(whole))  # type: ignore[arg-type]
    for field in fields(whole):
        value = getattr(whole, field.name)
        for number, kind, bounds in _bounded(value, hints[field.name]):
            if not _within(number, kind, bounds):
                yield f"{field.name} is {value!r}; expected {_words(kind, bounds)}"
                break


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _bounded(value: Any, hint: Any) -> Iterator[tuple[Any, type, Interval]]:
    """The numbers in a field's value, each with the kind and the bounds that its type gives it."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        yield value, *parts
    elif origin is tuple and isinstance(value, tuple | list):
        for one in value:
            yield from _bounded(one, parts[0])
    elif origin is Mapping:
        for one in value.values():
            yield from _bounded(one, parts[1])
    elif value is not None and origin is not tuple:  # of "this or that" what the value is
        for part in parts:
            if (get_origin(part) is tuple) == isinstance(value, tuple | list):
                yield from _bounded(value, part)


def _within(number: Any, kind: type, bounds: Interval) -> bool:
    if not isinstance(number, Integral if kind is int else Real) or (kind is int and isinstance(number, bool)):
        return False
    if isinstance(number, float) and not isfinite(number):
        return False
    limits = ((getattr(bounds, limit), holds) for limit, (_, holds) in LIMITS.items())
    return all(holds(number, limit) for limit, holds in limits if limit is not None)


def _words(kind: type, bounds: Interval) -> str:
    """Kind and bounds in words: "a number above 0, at most 1"."""
    said = ((words, getattr(bounds, limit)) for limit, (words, _) in LIMITS.items())
    within = ", ".join(f"{words} {limit}" for words, limit in said if limit is not None)
    return (
        f"a {'whole' if kind is int else 'finite'} number{' of' if within.startswith('at') else ''} {within}".rstrip()
    )
