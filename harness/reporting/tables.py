"""A table as a value, and its forms: markdown for people, CSV and JSON for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tabulate import tabulate

MISSING = "–"
SHORT_COLUMNS, SHORT_NOTES = 7, 3
SMALL = 10  # heads
DIGITS = 6  # decimals kept in CSV and JSON: more would differ between machines


@dataclass(frozen=True)
class Score:
    """A metric averaged over folds and seeds, and its 95 % bootstrap interval over images."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return self.text()

    def text(self, digits: int = 1, sign: str = "") -> str:
        """Its value and interval with so many decimals; `sign` is "+" for a difference."""
        form = f"{sign}.{digits}f"
        return f"{self.value:{form}} [{self.low:{form}}, {self.high:{form}}]"


@dataclass(frozen=True)
class Cell:
    """One cell: what people read, what programs read, and "best" or "second" where it is that of its column.

    `of` is the title of the row it names, where its text says more.
    """

    text: str = MISSING
    value: Score | float | str | None = None
    rank: str = ""
    of: str = ""

    @property
    def parts(self) -> tuple[str, str, str]:
        """Its text, "[" and the interval if it is a score with one; ("…", "", "") if not."""
        if not isinstance(self.value, Score):
            return self.text, "", ""
        number, bracket, interval = self.text.partition(" [")
        return number, bracket, f"[{interval}" if bracket else ""

    @property
    def markdown(self) -> str:
        if self.rank == "best":
            return f"**{_escaped(self.text)}**"
        return f"<u>{_escaped(self.text)}</u>" if self.rank == "second" else _escaped(self.text)

    @property
    def sort_key(self) -> float | str:
        """What a column is sorted by."""
        value = self.value.value if isinstance(self.value, Score) else self.value
        return "" if value is None else _number(value)


@dataclass(frozen=True)
class Table:
    """A titled table with notes under it. `name` is its file name and its marker; `rows` are as long as `headers`.

    Columns with nothing in any row are left out. `left` names the columns of words; `section` is the comparison it belongs
    to, if any. `important` names the columns that a narrow screen shows, the first of them first; then come the others.
    `settings` names those that markdown says once, in a note, where all of several rows have the same. `told` says what is in
    some of the columns, for the page.
    """

    name: str
    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    left: frozenset[str] = frozenset({"method"})
    section: str = ""
    important: tuple[str, ...] = ()
    settings: frozenset[str] = frozenset()
    told: Mapping[str, str] = field(default_factory=dict)

    def rank(self, header: str) -> int:
        """The place of a column by importance."""
        if header in self.important:
            return self.important.index(header)
        return len(self.important) + self.headers.index(header)

    def __post_init__(self) -> None:
        some = [
            n
            for n in range(len(self.headers))
            if not self.rows or any(row[n].value not in (None, "") for row in self.rows)
        ]
        if len(some) < len(self.headers):
            object.__setattr__(self, "headers", tuple(self.headers[n] for n in some))
            object.__setattr__(self, "rows", tuple(tuple(row[n] for n in some) for row in self.rows))

    def markdown(self, level: int = 2, columns: Sequence[str] | None = None) -> str:
        """Heading, pipe table, notes; `columns` leaves only those."""
        asked = [number for number, header in enumerate(self.headers) if columns is None or header in columns]
        same = {number: text for number in asked if (text := self._said_once(number))}
        keep = [number for number in asked if number not in same]
        once = [f"in every row: {', '.join(f'{self.headers[n]} {text}' for n, text in same.items())}"] if same else []
        grid = tabulate(
            [[row[number].markdown for number in keep] for row in self.rows],
            headers=[_escaped(self.headers[number]) for number in keep],
            tablefmt="pipe",
            colalign=["left" if self.headers[number] in self.left else "right" for number in keep]
            if self.rows
            else None,
            disable_numparse=True,
        )
        parts = [f"{'#' * level} {self.title}", grid, "\n".join(f"- {note}" for note in (*self.notes, *once))]
        return "\n\n".join(filter(None, parts))

    def _said_once(self, number: int) -> str:
        """What all of several rows have in a column of `settings`; "" where they differ, or it is no such column."""
        texts = [row[number].text for row in self.rows if row[number].value not in (None, "")]
        constant = self.headers[number] in self.settings and len(texts) > 1 and len(set(texts)) == 1
        return texts[0] if constant else ""

    def csv(self) -> str:
        """One line a row; a score takes three columns: value, low and high end of its interval."""
        wide = [any(isinstance(row[n].value, Score) for row in self.rows) for n in range(len(self.headers))]
        output = io.StringIO()
        writer = csv.writer(output, lineterminator="\n")
        writer.writerow(
            name
            for header, three in zip(self.headers, wide, strict=True)
            for name in ([header, f"{header} low", f"{header} high"] if three else [header])
        )
        for row in self.rows:
            line: list[Any] = []
            for cell, three in zip(row, wide, strict=True):
                if isinstance(cell.value, Score):
                    line += [_number(cell.value.value), _number(cell.value.low), _number(cell.value.high)]
                else:
                    line += [_number(cell.value), *([""] * 2 if three else [])]
            writer.writerow("" if value is None else value for value in line)
        return output.getvalue()

    def as_json(self) -> dict[str, Any]:
        """The table as JSON values: rows are objects by header, scores {"value", "low", "high"}."""
        return {
            "name": self.name,
            "title": self.title,
            "columns": list(self.headers),
            "rows": [
                {header: _json(cell.value) for header, cell in zip(self.headers, row, strict=True)} for row in self.rows
            ],
            "notes": list(self.notes),
        }


def number(value: float | None, digits: int = 1, sign: bool = False) -> Cell:
    """A cell that shows `value` with so many decimals, of a difference with its sign; missing where it is None."""
    return Cell() if value is None else Cell(f"{value:{'+' if sign else ''}.{digits}f}", value)


def words(text: str, of: str = "") -> Cell:
    return Cell(text or MISSING, text, of=of)


def digits_of(scores: Iterable[Score | None]) -> int:
    """How many decimals a column of `scores` is shown with: two where all of it is small, as of small crowds."""
    known = [score.value for score in scores if score]
    return 2 if known and max(known) < SMALL else 1


def scored(score: Score | None, digits: int = 1) -> Cell:
    return Cell() if score is None else Cell(score.text(digits), score)


def signed(score: Score | None, digits: int = 1) -> Cell:
    """A difference with its interval, signs shown."""
    if score is None:
        return Cell()
    return Cell(score.text(digits, "+"), score)


def printed(values: Sequence[float]) -> Cell:
    """What papers print, all of it where they disagree; the lowest is what programs read."""
    return Cell(" / ".join(f"{value:g}" for value in values) or MISSING, values[0] if values else None)


def mark(rows: Sequence[list[Cell]], columns: Iterable[int]) -> None:
    """Marks the best and the second of each of `columns` of `rows`, in place."""
    for column in columns:
        for row, cell in zip(rows, ranked([row[column] for row in rows]), strict=True):
            row[column] = cell


def ranked(cells: Sequence[Cell]) -> list[Cell]:
    """A column with its lowest value marked "best" and the next "second"; ties share a mark."""
    values = sorted({round(float(cell.sort_key), DIGITS) for cell in cells if isinstance(cell.sort_key, float)})
    marks = dict(zip(values[:2], ("best", "second"), strict=False)) if len(values) > 1 else {}
    return [
        Cell(cell.text, cell.value, marks.get(round(float(cell.sort_key), DIGITS), ""))
        if isinstance(cell.sort_key, float)
        else cell
        for cell in cells
    ]


def short(table: Table) -> str:
    """Markdown for a page that has other things to say: the most important columns, the first notes, and the bold ones."""
    columns = table.important[:SHORT_COLUMNS] or None
    bold = [note for note in table.notes[SHORT_NOTES:] if note.startswith("**")]
    return replace(table, notes=(*table.notes[:SHORT_NOTES], *bold)).markdown(3, columns)


def to_json(tables: Iterable[Table]) -> str:
    return json.dumps([table.as_json() for table in tables], indent=1, ensure_ascii=False) + "\n"


def _escaped(text: str) -> str:
    """`text` as it stands in a pipe table."""
    return text.replace("|", "\\|")


def _number(value: Any) -> Any:
    return round(value, DIGITS) if isinstance(value, float) else value


def _json(value: Any) -> Any:
    if isinstance(value, Score):
        return {"value": _number(value.value), "low": _number(value.low), "high": _number(value.high)}
    return _number(value)
