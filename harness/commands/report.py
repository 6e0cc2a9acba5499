"""`harness report`."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli import plugin_option
from harness.commands import load


@click.command("report")
@click.option(
    "--runs",
    multiple=True,
    type=click.Path(path_type=Path, file_okay=False),
    default=(Path("runs"),),
    show_default="runs",
    help="Folder of runs; repeatable.",
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("reports"), show_default=True)
@plugin_option
def command(runs: tuple[Path, ...], out: Path, plugin_files: tuple[Path, ...]) -> None:
    """Make OUT/LEADERBOARD.md from the records in RUNS. Trains nothing and loads no Keras."""
    from harness.errors import HarnessError
    from harness.records import read_all
    from harness.reporting.leaderboard import leaderboard

    missing = next((folder for folder in runs if not folder.is_dir()), None)
    if missing is not None:
        raise HarnessError(f"{missing}: no such folder of runs; 'harness bench' makes one, --runs names another")
    records, unreadable = read_all(runs)
    path = out / "LEADERBOARD.md"
    text = leaderboard(records, unreadable, load(plugin_files)) + "\n"
    try:
        out.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise HarnessError(f"{path}: cannot be written ({error.strerror or error})") from None
    click.echo(f"{path}: {len(records)} records")
    for item in unreadable:
        click.echo(f"harness: {item.path}: {item.reason}", err=True)
