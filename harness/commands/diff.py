"""`harness diff`."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands.cli import plugin_option


@click.command("diff")
@click.argument("before", type=click.Path(path_type=Path, file_okay=False))
@click.argument("after", type=click.Path(path_type=Path, file_okay=False))
@plugin_option
def command(before: Path, after: Path, plugin_files: tuple[Path, ...]) -> None:
    """What changed from the runs in BEFORE to those in AFTER, as markdown for a pull request.

    Ends with 1 where a record could not be read: its row may look gone.
    """
    from harness.commands import load
    from harness.errors import HarnessError
    from harness.reporting.difference import difference
    from harness.runs.records import read_all

    for folder in (before, after):
        if not folder.is_dir():
            raise HarnessError(f"{folder}: no such folder of runs")
    sides = [read_all([folder]) for folder in (before, after)]
    click.echo(difference(sides[0][0], sides[1][0], load(plugin_files).benchmarks))
    unreadable = [item for _, items in sides for item in items]
    for item in unreadable:
        click.echo(f"harness: {item.path}: {item.reason}", err=True)
    if unreadable:
        raise click.exceptions.Exit(1)
