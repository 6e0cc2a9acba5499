"""What others say, on one line that a message can hold."""

from __future__ import annotations

LONGEST = 200


def one_line(error: BaseException) -> str:
    """The kind of an error and the first line of its words."""
    return printable(f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}".rstrip(": "))


def printable(text: str, longest: int = LONGEST) -> str:
    """`text` cut to `longest` characters, with ? for each that cannot be shown."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in text[: longest + 1])
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"
