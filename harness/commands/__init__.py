"""What a person types and sees: one module a command, each defining `command`, and beside them what several or one need.

Takes words from the command line; gives lines, tables and an exit status. Must not do the work itself: every command calls the
rooms below and prints what they return.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from harness.host.plugins import Host


def load(plugin_files: Iterable[Path]) -> Host:
    """The host; what is wrong with a plugin goes to standard error, a line each, and the rest go on."""
    from harness.host.plugins import load_host

    host = load_host(plugin_files)
    say_errors(host, [0] * len(host.plugins))
    return host


def say_errors(host: Host, said: Sequence[int]) -> None:
    """The errors of each plugin but the first so many of them, which were said before."""
    for plugin, known in zip(host.plugins, said, strict=True):
        for error in plugin.errors[known:]:
            click.echo(f"harness: plugin {plugin.name} ({plugin.origin}): {error}", err=True)
