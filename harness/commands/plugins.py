"""`harness plugins`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from harness.cli import plugin_option


@click.group("plugins")
def command() -> None:
    """What plugins there are and what they add."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True)
@plugin_option
def list_command(as_json: bool, plugin_files: tuple[Path, ...]) -> None:
    """Each plugin, its distribution and version, what it adds, and what is wrong with it.

    Exits 1 when a plugin has errors.
    """
    from harness.plugins import load_host

    plugins = load_host(plugin_files).plugins
    if as_json:
        keys = ("name", "distribution", "version", "adds", "errors")
        click.echo(json.dumps([{key: getattr(plugin, key) for key in keys} for plugin in plugins]))
    else:
        for plugin in plugins:
            click.echo(f"{plugin.name:<14} {plugin.origin:<24} {', '.join(plugin.adds) or 'adds nothing'}")
            for error in plugin.errors:
                click.echo(f"{'':<14} error: {error}")
    if any(plugin.errors for plugin in plugins):
        click.get_current_context().exit(1)
