"""`harness data`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import click

from harness.commands import load
from harness.commands.cli import data_root_option, plugin_option


@click.group("data")
def command() -> None:
    """What datasets there are, and whether the files are sound."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True)
@data_root_option
@plugin_option
def list_command(as_json: bool, data_root: Path | None, plugin_files: tuple[Path, ...]) -> None:
    """For each dataset: where it is expected, whether it is there, where its authors offer it."""

    rows: list[dict[str, Any]] = []
    for benchmark in load(plugin_files).benchmarks.values():
        found = benchmark.locate(data_root)
        rows.append(
            {
                "name": benchmark.name,
                "title": benchmark.title,
                "here": found is not None,
                "folder": str(found) if found and benchmark.needs_files else None,
                "expected": list(benchmark.expected),
                "homepage": benchmark.homepage,
            }
        )
    if as_json:
        click.echo(json.dumps(rows))
        return
    click.echo(f"data root: {data_root or 'not set (--data-root DIR or HARNESS_DATA)'}\n")
    for row in rows:
        state = (
            "drawn by the harness" if not row["expected"] else f"here: {row['folder']}" if row["here"] else "not here"
        )
        click.echo(f"{row['name']:<12} {row['title']} – {state}")
        if row["expected"]:
            click.echo(f"{'':<12} expected in <data root>/{' or '.join(row['expected'])}")
            click.echo(f"{'':<12} offered at {row['homepage']}")


@command.command("check")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True)
@data_root_option
@plugin_option
def check_command(name: str, as_json: bool, data_root: Path | None, plugin_files: tuple[Path, ...]) -> None:
    """Read every file of dataset NAME and compare with the published statistics.

    Exits 1 when something is wrong (files missing or damaged); what merely differs from the authors' files is told apart.
    """
    from harness.data.check import check

    benchmark = load(plugin_files).benchmark(name)
    found = check(benchmark, benchmark.require(data_root))
    if as_json:
        click.echo(json.dumps(found.as_json()))
    else:
        _print(found, benchmark.folds)
    if found.wrong:
        click.get_current_context().exit(1)


@command.command("fetch")
@click.argument("name")
@click.option("--url", default="", help="An archive (zip or tar) to take in the place of the authors' own.")
@click.option("--sha256", default="", help="What that archive's checksum must be.")
@data_root_option
@plugin_option
def fetch_command(name: str, url: str, sha256: str, data_root: Path | None, plugin_files: tuple[Path, ...]) -> None:
    """Download dataset NAME to the data root, or say how to ask its authors for it.

    A download that broke off is continued. Archives are kept in DATA_ROOT/.downloads with their checksums.
    """
    from harness.data.fetching import fetch
    from harness.errors import HarnessError

    benchmark = load(plugin_files).benchmark(name)
    if not benchmark.needs_files:
        raise HarnessError(f"dataset {name}: nothing to download, its scenes are drawn")
    if data_root is None:
        raise HarnessError("no data root to download to: set --data-root DIR or HARNESS_DATA")
    folder = _with_progress(lambda progress: fetch(benchmark, data_root, url, sha256, progress))
    click.echo(f"{folder}: {len(benchmark.index(folder)):,} images")
    click.echo(f"next: harness data check {name} --data-root {data_root}")


def _with_progress(work: Any) -> Path:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("download", total=None)
        return work(lambda have, total: bar.update(task, completed=have, total=total or None))


@command.command("synth")
@click.option("--like", required=True, metavar="NAME", help="The dataset whose layout is written.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="A data root; the dataset's folder is made in it."
)
@click.option("--images", default=20, show_default=True, type=click.IntRange(10, 100_000), help="How many scenes.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@plugin_option
def synth_command(like: str, out: Path, images: int, seed: int, plugin_files: tuple[Path, ...]) -> None:
    """Write drawn scenes in the exact files of a dataset, to try the whole path without its download."""
    from harness.errors import HarnessError

    benchmark = load(plugin_files).benchmark(like)
    if benchmark.write is None:
        raise HarnessError(f"dataset {like}: nothing writes its layout; harness data list shows those that need files")
    folder = out / benchmark.expected[0]
    if folder.exists():
        raise HarnessError(f"{folder}: already there; expected a new folder. Remove it or take another --out.")
    benchmark.write(folder, images, seed)
    samples = len(benchmark.index(folder))
    click.echo(f"{folder}: {samples} images in the layout of {benchmark.title}")
    click.echo(
        f"try: harness bench --methods mcnn --datasets {like} --budget smoke --data-root {shlex.quote(str(out))}"
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,}"


def _print(found: Any, folds: int) -> None:
    from tabulate import tabulate

    from harness.data.splits import said

    click.echo(f"{found.title}\n")
    rows = [(what, *(_number(value) for value in values)) for what, *values in found.rows]
    aligned = ("left", "right", "right")
    click.echo(tabulate(rows, headers=["", "found", "published"], colalign=aligned, disable_numparse=True))
    if found.split:
        click.echo(f"\nsplit: {said(found.split, folds)}")
    if found.source:
        click.echo(f"\npublished: {found.source}")
    for heading, lines in (
        ("wrong", found.wrong),
        ("differs from what was published", found.differs),
        ("noted", found.noted),
    ):
        if lines:
            click.echo(f"\n{heading}:")
            for line in lines:
                click.echo(f"  {line}")
    click.echo("\n" + ("not sound: repair what is listed as wrong" if found.wrong else "sound: every file reads"))
