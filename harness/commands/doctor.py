"""`harness doctor`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from harness.commands.cli import data_root_option, plugin_option


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@data_root_option
@plugin_option
def command(as_json: bool, data_root: Path | None, plugin_files: tuple[Path, ...]) -> None:
    """Versions, backend, device, plugins and data found, and the one thing most likely wrong. Exits 1 if something is."""
    from harness.commands.findings import findings, most_likely
    from harness.host.plugins import load_host

    found = list(findings(load_host(plugin_files), data_root))
    if as_json:
        lines = [asdict(finding) for finding in found]
        click.echo(json.dumps({"findings": lines, "most_likely_wrong": most_likely(found)}))
    else:
        for finding in found:
            click.echo(f"{'!' if finding.wrong else ' '} {finding.topic:<10} {finding.text}")
        click.echo(f"\nmost likely wrong: {most_likely(found)}")
    if any(finding.wrong for finding in found):
        click.get_current_context().exit(1)
