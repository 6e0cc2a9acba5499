"""`harness published`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from harness.commands import errors_said, load
from harness.commands.cli import plugin_option


@click.command("published")
@click.option("--paper", default="", help="Only papers whose name contains this.")
@click.option("--method", default="", help="Only this method, its variants included.")
@click.option("--dataset", default="", help="Only this dataset.")
@click.option("--metric", default="", help="Only this metric: mae, rmse, nae, game0, megabytes, seconds, …")
@click.option("--conflicts", "only_conflicts", is_flag=True, help="Where papers disagree, and averages that are none.")
@click.option("--json", "as_json", is_flag=True, help="A list of objects on standard output.")
@plugin_option
def command(
    paper: str,
    method: str,
    dataset: str,
    metric: str,
    only_conflicts: bool,
    as_json: bool,
    plugin_files: tuple[Path, ...],
) -> None:
    """The numbers in the papers' tables, as printed, gathered from the plugins."""
    from harness.errors import unknown_name
    from harness.reporting import published
    from harness.reporting.conflicts import conflicts
    from harness.run import out_of_brackets

    host = load(plugin_files)
    with errors_said(host):
        values = published.gather(host)
    for option, wanted, known in (
        ("method", method, {name for value in values for name in (value.method, out_of_brackets(value.method)[0])}),
        ("dataset", dataset, {value.dataset for value in values}),
        ("metric", metric, {value.metric for value in values}),
    ):
        if wanted and wanted not in known:
            raise unknown_name(option, wanted, known)
    values = [
        value
        for value in values
        if paper.lower() in value.paper.lower()
        and (not method or method in (value.method, out_of_brackets(value.method)[0]))
        and dataset in ("", value.dataset)
        and metric in ("", value.metric)
    ]
    if only_conflicts:
        _show_conflicts(conflicts(values), as_json)
    elif as_json:
        click.echo(json.dumps([asdict(value) for value in values], ensure_ascii=False))
    else:
        _show(values)


def _show(values: list[Any]) -> None:
    from tabulate import tabulate

    lines = [
        (v.method, v.dataset, v.scene or v.category, v.metric, f"{v.value:g}", f"{v.paper}, {v.table}") for v in values
    ]
    headers = ("method", "dataset", "part", "metric", "value", "source")
    click.echo(
        tabulate(lines, headers=headers, disable_numparse=True, colalign=("left",) * 4 + ("right", "left"))
        if lines
        else ""
    )
    click.echo(f"{len(lines)} values")


def _show_conflicts(found: list[Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([asdict(conflict) for conflict in found], ensure_ascii=False))
        return
    for conflict in found:
        click.echo(f"{conflict.kind}: {conflict.where}")
        for value, source in conflict.values:
            click.echo(f"    {value:<10g} {source}")
    click.echo(f"{len(found)} conflicts")
