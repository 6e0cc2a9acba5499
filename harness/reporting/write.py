"""Which files a report is made of, and how they are compared with, or put in the place of, what is there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from harness.errors import HarnessError, unknown_name
from harness.files.atomic import written
from harness.host.plugins import Host
from harness.reporting import tables as forms
from harness.reporting.figure_files import figure_files
from harness.reporting.html import page
from harness.reporting.leaderboard import all_tables, leaderboard
from harness.reporting.rows import Comparison
from harness.reporting.tables import Table
from harness.runs.records import Record, Unreadable
from harness.runs.runtime_records import RuntimeRecord

_BLOCK = re.compile(r"(<!-- harness:([^\s>]+)( short)? -->\n)(.*?)(<!-- /harness -->)", re.DOTALL)


def tables_of(
    found: Sequence[Comparison], records: Sequence[Record], runtimes: Sequence[RuntimeRecord], host: Host
) -> list[Table]:
    """Every table, with names that are unique; `found` are the comparisons that `records` make."""
    from dataclasses import replace

    seen: dict[str, int] = {}
    unique = []
    for table in all_tables(found, records, runtimes, host):
        seen[table.name] = seen.get(table.name, 0) + 1
        number = seen[table.name]
        unique.append(table if number == 1 else replace(table, name=f"{table.name}-{number}"))
    return unique


def files(
    tables: Sequence[Table],
    found: Sequence[Comparison],
    records: Sequence[Record],
    unreadable: Sequence[Unreadable],
    host: Host,
    folders: Mapping[str, Path],
) -> dict[str, str]:
    """The report as text by file name."""
    return {
        "LEADERBOARD.md": leaderboard(tables, unreadable) + "\n",
        "tables.json": forms.to_json(tables),
        "report.html": page(tables, found, len(records), unreadable, host, folders),
        **{f"tables/{table.name}.csv": table.csv() for table in tables},
        **{f"figures/{name}": svg for name, svg in figure_files(found).items()},
    }


def refreshed(path: Path, tables: Sequence[Table]) -> str:
    """The text of the markdown file `path` with every block between markers made anew.

    A block is `<!-- harness:NAME -->` … `<!-- /harness -->`; NAME is a table's, or `leaderboard` for all of them. With
    `<!-- harness:NAME short -->` it has the most important columns alone, and of the notes those on budget, recipe and seeds
    and the bold ones (other files than the authors', failures).

    Raises:
        HarnessError: no such file, no marker in it, or no table of that name.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise HarnessError(f"{path}: cannot be read ({error.strerror or error})") from None
    names = {table.name: table for table in tables}

    def block(match: re.Match[str]) -> str:
        name = match[2]
        form = forms.short if match[3] else partial(Table.markdown, level=3)
        if name == "leaderboard":
            made = "\n\n".join(form(table) for table in tables)
        elif name in names:
            made = form(names[name])
        else:
            raise HarnessError(f"{path}: {unknown_name('table', name, ['leaderboard', *names])}")
        return f"{match[1]}\n{made}\n\n{match[5]}"

    fresh, found = _BLOCK.subn(block, text)
    if not found:
        raise HarnessError(
            f"{path}: no block to refresh; put '<!-- harness:leaderboard -->' and '<!-- /harness -->' on lines of their own, "
            f"or the name of one table: {', '.join(names) or 'there are none yet'}"
        )
    return fresh


def stale(wanted: Mapping[Path, str], out: Path) -> list[str]:
    """What of `wanted` is missing or other on disk, and what is in `out` that no record makes, in words."""
    found = []
    for path, text in wanted.items():
        if not path.is_file():
            found.append(f"{path}: missing")
        elif path.read_bytes() != text.encode("utf-8"):
            found.append(f"{path}: not what these records make")
    return found + [f"{path}: no record makes it any more" for path in sorted(_made(out) - set(wanted))]


def write(wanted: Mapping[Path, str], out: Path) -> None:
    """Writes `wanted`, each file whole or not at all, and removes tables and figures in `out` that are made no more.

    Raises:
        HarnessError: a file cannot be written.
    """
    earlier = _made(out)  # before the file that names them is another
    for path, text in wanted.items():
        with written(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    for path in earlier - set(wanted):
        path.unlink()


def _made(out: Path) -> set[Path]:
    """The tables and figures in `out` that an earlier report wrote, by its `tables.json`; what else lies there is not ours."""
    try:
        names = [str(table["name"]) for table in json.loads((out / "tables.json").read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError, KeyError):
        return set()
    ours = [out / place for name in names for place in (f"tables/{name}.csv", f"figures/{name}-learning.svg")]
    return {path for path in ours if path.is_file()}
