"""Errors that a user can act on: one line, naming the thing, what was found, what was expected, what to do."""

from __future__ import annotations

import difflib
import re
import signal
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class HarnessError(Exception):
    """A mistake in input, files or arguments. The command line prints its one line and exits with `exit_code`."""

    exit_code = 2


class DataError(HarnessError):
    """A dataset file that is missing, damaged or says something impossible. The message starts with its path."""


class InvalidMethodError(HarnessError):
    """A method that is not what `harness.Method` describes: whatever it measured would mean nothing."""


class DivergedError(Exception):
    """The loss of a run stopped being a finite number."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> HarnessError:
    """The error for a `kind` ("method", "dataset", …) called `name` that is not one of `known`.

    Names the nearest known one, when one is near, and lists them all.
    """
    known = sorted(known)
    hint = nearest(name, known)
    listed = ", ".join(known) if known else "none"
    return HarnessError(f"unknown {kind} {name!r}.{hint} Known: {listed}.")


def first_complaint(error: ValidationError) -> str:
    """Where in a value pydantic found the first thing wrong, and what: "training.steps: Input should be a valid integer"."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'file'}: {first['msg']}"


def nearest(name: str, known: Iterable[str]) -> str:
    """ " Did you mean 'x'?" where one of `known` is near `name`, else ""."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""


LONGEST = 200  # letters of other people's words
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_IN_LAYER = re.compile(
    r"Exception encountered when calling (.+?)\.?$"
)  # Keras' first line; what was raised is the next


def one_line(error: BaseException, longest: int = LONGEST) -> str:
    """The kind of an error and the first line of its words; of one in a Keras layer what was raised, and in which call."""
    lines = [line.strip() for line in _COLOUR.sub("", str(error)).splitlines() if line.strip()] or [""]
    inside = _IN_LAYER.match(lines[0])
    said = f"{lines[1]} (in {inside[1]})" if inside and len(lines) > 1 else lines[0]
    return printable(f"{type(error).__name__}: {said}".rstrip(": "), longest)


def last_line(text: str) -> str:
    """The last line of `text` that is not blank; "" where there is none."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def signal_name(number: int) -> str:
    """ "signal SIGSEGV"; of one that has no name its number."""
    try:
        return f"signal {signal.Signals(number).name}"
    except ValueError:
        return f"signal {number}"


def printable(text: str, longest: int = LONGEST) -> str:
    """`text` cut to `longest` characters, with ? for each that cannot be shown."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in text[: longest + 1])
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"
