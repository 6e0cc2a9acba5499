"""`harness report`."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands import errors_said, load
from harness.commands.cli import plugin_option


@click.command("report")
@click.argument("sources", metavar="[DIR]...", nargs=-1, type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--runs",
    multiple=True,
    type=click.Path(path_type=Path, file_okay=False),
    default=(Path("runs"),),
    show_default="runs",
    help="Folder of runs; repeatable.",
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("reports"), show_default=True)
@click.option(
    "--into",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Refresh the blocks between '<!-- harness:NAME -->' and '<!-- /harness -->' in this markdown file; repeatable.",
)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 when a file is not what these records make.")
@click.option(
    "--merge", "merging", is_flag=True, help="First copy the records of DIR... into the first folder of --runs."
)
@click.option("--all-versions", is_flag=True, help="Show the rows of superseded versions of plugins, too.")
@plugin_option
def command(
    sources: tuple[Path, ...],
    runs: tuple[Path, ...],
    out: Path,
    into: tuple[Path, ...],
    check: bool,
    merging: bool,
    all_versions: bool,
    plugin_files: tuple[Path, ...],
) -> None:
    """Make the reports from the records of runs: OUT/LEADERBOARD.md, report.html, tables.json, tables/*.csv, figures/*.svg.

    Trains nothing and loads no Keras. The same records give the same bytes.
    """
    import gc

    from harness.errors import HarnessError
    from harness.reporting import write
    from harness.reporting.rows import comparisons
    from harness.runs.records import read_with_folders
    from harness.runs.runtime_records import read_all as read_runtimes

    gc.disable()  # a short process that keeps what it reads
    conflicts: tuple[str, ...] = ()
    if sources and not merging:
        raise HarnessError(f"{sources[0]}: give folders of runs with --runs, or --merge to join these into {runs[0]}")
    if merging:
        if check:
            raise HarnessError("--merge --check: --check writes nothing, and --merge copies records; give one of them")
        conflicts = _merge(sources, runs[0])
    missing = next((folder for folder in runs if not folder.is_dir()), None)
    if missing is not None:
        raise HarnessError(f"{missing}: no such folder of runs; 'harness bench' makes one, --runs names another")
    places, unreadable = read_with_folders(runs)
    records, folders = [record for _, record in places], {record.id: folder for folder, record in places}
    runtimes, bad = read_runtimes(runs)
    unreadable += bad
    host = load(plugin_files)
    found = comparisons(records, all_versions, host.benchmarks)
    with errors_said(host):
        tables = write.tables_of(found, [record for one in found for record in one.records], runtimes, host)
        texts = write.files(tables, found, records, unreadable, host, folders)
        wanted = {out / name: text for name, text in texts.items()}
        wanted |= {path: write.refreshed(path, tables) for path in into}
    for item in unreadable:
        click.echo(f"harness: {item.path}: {item.reason}", err=True)
    if check:
        stale = write.stale(wanted, out)
        for line in stale:
            click.echo(line)
        click.echo(f"{len(stale)} of {len(wanted)} files are stale" if stale else f"{len(wanted)} files are fresh")
    else:
        stale = []
        write.write(wanted, out)
        click.echo(f"{out / 'LEADERBOARD.md'}: {len(records)} records, {len(tables)} tables")
        click.echo(f"{out / 'report.html'}: the same with pictures")
        for path in into:
            click.echo(f"{path}: refreshed")
    if stale or conflicts:
        click.get_current_context().exit(1)


def _merge(sources: tuple[Path, ...], into: Path) -> tuple[str, ...]:
    from harness.errors import HarnessError
    from harness.runs.merging import merge

    if not sources:
        raise HarnessError("--merge: no folder given; expected 'harness report --merge DIR...'")
    missing = next((folder for folder in sources if not folder.is_dir()), None)
    if missing is not None:
        raise HarnessError(f"{missing}: no such folder of runs")
    merged = merge(sources, into)
    click.echo(f"{into}: {len(merged.added)} records added, {len(merged.conflicts)} conflicts")
    for line in merged.conflicts:
        click.echo(f"conflict: {line}")
    return merged.conflicts
