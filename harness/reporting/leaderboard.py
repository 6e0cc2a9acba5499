"""LEADERBOARD.md: every table that the records make, in one fixed order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.host.plugins import Host
from harness.reporting import proofs, published
from harness.reporting.ablation import ablation_tables
from harness.reporting.comparison import COMPACT, HEADERS, comparison_table
from harness.reporting.groups import group_tables
from harness.reporting.localisation import localisation_table
from harness.reporting.overall import overall_tables
from harness.reporting.papers import published_table
from harness.reporting.rows import Comparison, comparisons
from harness.reporting.runtime import runtime_tables
from harness.reporting.tables import Table
from harness.runs.records import Record, Unreadable
from harness.runs.runtime_records import RuntimeRecord

INTRODUCTION = (
    "Made by `harness report` from the records of real runs; not edited by hand. MAE and RMSE (the root of the mean "
    "squared count error, which this field's papers print as “MSE”) are in heads, lower is better, with 95 % bootstrap "
    "intervals over test images in brackets; the best is bold, the second underlined. Rows are comparable within a table "
    "and not across tables."
)
NOTHING = "There are no records yet. Make some: `harness bench --methods all --datasets synth --budget smoke`."


def all_tables(
    found: Sequence[Comparison], records: Sequence[Record], runtimes: Sequence[RuntimeRecord], host: Host
) -> list[Table]:
    """Every table: across benchmarks, then each benchmark's own, ablations, run time and size.

    Args:
        found: the comparisons that `records` make.
        records: those of which the times of training are shown.
    """
    values = published.gather(host)
    measured = [comparison for comparison in found if not comparison.proves_only]
    tables = overall_tables(measured)
    shown = set()
    for comparison in found:
        tables.append(_table_of(comparison, values, host))
        if not comparison.proves_only:
            tables += group_tables(comparison, values)
            tables += filter(None, [localisation_table(comparison)])
        shown.add((comparison.key.dataset, comparison.records[0].dataset_title))
    tables += ablation_tables(measured, values, host.methods)
    tables += runtime_tables(runtimes, records)
    tables += [
        table for dataset, title in sorted(shown) if (table := published_table(dataset, title, values, host.methods))
    ]
    return tables


def _table_of(comparison: Comparison, values: list[published.PublishedValue], host: Host) -> Table:
    if comparison.proves_only:
        return proofs.proof_table(comparison, host.metrics)
    return comparison_table(comparison, values, host.metrics, host.methods)


def leaderboard(tables: Sequence[Table], unreadable: Sequence[Unreadable]) -> str:
    """The whole of LEADERBOARD.md. The same records give the same bytes."""
    parts = ["# Leaderboard", INTRODUCTION]
    parts += [table.markdown() for table in tables] or [NOTHING]
    if unreadable:
        parts.append("## Records that could not be read")
        parts.append("\n".join(f"- `{item.path.parent.name}`: {item.reason}" for item in unreadable))
    return "\n\n".join(parts)


def compared(records: Iterable[Record], host: Host) -> list[Table]:
    """The comparison tables of `records` alone."""
    values = published.gather(host)
    return [_table_of(found, values, host) for found in comparisons(records, benchmarks=host.benchmarks)]


def in_markdown(tables: Iterable[Table], compact: bool = False) -> str:
    """`tables` under titles of the second level; `compact` leaves out the columns that a terminal has no room for."""
    left_out = {*HEADERS, *proofs.HEADERS} - set(COMPACT) if compact else set()
    return "\n\n".join(
        table.markdown(2, [header for header in table.headers if header not in left_out]) for table in tables
    )
