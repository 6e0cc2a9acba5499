"""Rows that are of one method: which of them are of superseded versions of its plugin, and how the others are told apart."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from packaging.version import InvalidVersion, Version

from harness.reporting.settings import differing
from harness.runs.records import Record

_DIGEST = re.compile(r"[0-9a-f]{12}")  # the version of a plugin that is one file, which has no order


class Line(NamedTuple):
    """What the records of one row have in common, beside what their table has."""

    method: str
    variant: str
    precision: str
    pretrained: str
    distribution: str
    version: str


def line_of(record: Record) -> Line:
    plugin = record.plugin
    return Line(record.method, record.variant, record.precision, record.pretrained, plugin.distribution, plugin.version)


def order_of(version: str) -> Version | None:
    """What versions are compared by; what follows a + is ignored.

    None where `version` has no order: digests, and what is no version.
    """
    if _DIGEST.fullmatch(version):
        return None
    try:
        return Version(Version(version).public)
    except InvalidVersion:
        return None


def superseded(lines: Mapping[Line, Sequence[Record]]) -> set[Line]:
    """Those of `lines` that differ from a newer one only in the version of their plugin.

    The newest is the highest version with a finished run: a newer one that only failed hides nothing, and is not hidden.
    Where none has finished it is the highest. Records hold no date, and versions without an order supersede nothing.
    """
    of_one: dict[tuple[str, ...], list[Line]] = defaultdict(list)
    for line in lines:
        if order_of(line.version) is not None:
            of_one[line[:-1]].append(line)
    hidden = set()
    for versions in of_one.values():
        finished = [line for line in versions if any(record.status == "ok" for record in lines[line])]
        newest = max(order_of(line.version) for line in finished or versions)  # type: ignore[type-var]
        hidden |= {line for line in versions if order_of(line.version) < newest}  # type: ignore[operator]
    return hidden


def name_of(record: Record) -> str:
    """The method's title, with its variant in brackets."""
    return record.method_title + (f" [{record.variant}]" if record.variant else "")


def told_apart(records: Sequence[Record], files: bool = False) -> list[str]:
    """A title for the row of each of `records`: its name, and what differs among rows of that name.

    Versions are named as soon as rows of one method differ in them, since variants are compared with one another.

    Args:
        files: whether the fingerprint of the data may differ, too.
    """
    lines = [line_of(record) for record in records]
    titles = []
    for record, line in zip(records, lines, strict=True):
        method = [other for other in lines if other.method == line.method]
        named = [other for other in method if other.variant == line.variant]
        parts = [name_of(record)]
        if _differ(other.distribution for other in method):
            parts.append(f"{line.distribution} {line.version}")
        elif _differ(other.version for other in method):
            parts.append(f"version {line.version}")
        if _differ(other.precision for other in named):
            parts.append(line.precision)
        if _differ(other.pretrained for other in named):
            parts.append(f"pretrained {line.pretrained}")
        same = [other for other, its in zip(records, lines, strict=True) if its.method == line.method]
        if settings := differing(record, (other for other, its in zip(records, lines, strict=True) if its == line)):
            parts.append(settings)
        if files and _differ(fingerprint_of(other) for other in same):
            parts.append(f"data {fingerprint_of(record)[:8]}")
        titles.append(", ".join(parts))
    return titles


def fingerprint_of(record: Record) -> str:
    """That of the data, which a failed run knows as well."""
    return str(record.identity.get("data"))


def _differ(values: Iterable[str]) -> bool:
    return len(set(values)) > 1
