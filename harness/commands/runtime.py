"""`harness runtime`."""

from __future__ import annotations

import re
import statistics
from pathlib import Path

import click

from harness.commands import load
from harness.commands.cli import plugin_option


@click.command("runtime")
@click.option("--methods", default="all", show_default=True, help='"all", or names such as mcnn,sasnet[no_pra].')
@click.option("--size", default="512x1024", show_default=True, help="Height x width of the image in pixels.")
@click.option(
    "--repeats", type=click.IntRange(min=1), default=10, show_default=True, help="Timed passes, after a warm-up."
)
@click.option("--precision", default="float32", show_default=True, help="float32, mixed_bfloat16 or mixed_float16.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=Path("runs"), show_default=True)
@plugin_option
def command(methods: str, size: str, repeats: int, precision: str, out: Path, plugin_files: tuple[Path, ...]) -> None:
    """Measure METHODS, each in a fresh process: parameters, multiply-adds, time of a forward pass, peak memory.

    The records go to OUT/runtime, from where 'harness report' takes them. Exits 1 when a method could not be measured.
    """
    from harness.errors import HarnessError, unknown_name
    from harness.reporting.runtime import runtime_tables
    from harness.run import in_brackets
    from harness.runs.plan import parse_methods
    from harness.runs.runtime import RuntimeRequest, measured
    from harness.runs.runtime_records import FOLDER, write
    from harness.training.backend import PRECISIONS

    match = re.fullmatch(r"(\d+)[x×](\d+)", size)
    if not match or min(sides := (int(match[1]), int(match[2]))) < 32:
        raise HarnessError(f"--size {size!r}: expected height x width, at least 32x32, e.g. 512x1024")
    if precision not in PRECISIONS:
        raise unknown_name("precision", precision, PRECISIONS)
    found, failed = [], False
    for name, variant in parse_methods(load(plugin_files), methods):
        title = in_brackets(name, variant)
        files = tuple(str(file) for file in plugin_files)
        try:
            record = measured(RuntimeRequest(name, variant, *sides, repeats, precision, files))
        except HarnessError as error:
            failed = True
            click.echo(f"harness: {error}", err=True)
            continue
        write(out / FOLDER, record)
        found.append(record)
        click.echo(f"{title}: {statistics.median(record.milliseconds):.1f} ms", err=True)
    for table in runtime_tables(found, []):
        click.echo(table.markdown())
    if failed:
        click.get_current_context().exit(1)
