"""What a person types and sees: one module a command, each defining `command`, and beside them what several or one need.

Takes words from the command line; gives lines, tables and an exit status. Must not do the work itself: every command calls the
rooms below and prints what they return.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from harness.host.plugins import Host


def load(plugin_files: Iterable[Path]) -> Host:
    """The host; what is wrong with a plugin goes to standard error, a line each, and the rest go on.

    Raises:
        HarnessError: one of `plugin_files` is not there, or fails to import: it was asked for.
    """
    from harness.errors import HarnessError
    from harness.host.plugins import load_host

    files = list(plugin_files)
    host = load_host(files)
    for file, plugin in zip(files, host.plugins[len(host.plugins) - len(files) :], strict=True):  # they come last
        if plugin.module is None:
            raise HarnessError(f"--plugin {file}: {'; '.join(plugin.errors)}")
    _say(host, [0] * len(host.plugins))
    return host


@contextmanager
def errors_said(host: Host) -> Iterator[None]:
    """What is found wrong with plugins in here is said as it ends; what was wrong before has been."""
    before = [len(plugin.errors) for plugin in host.plugins]
    yield
    _say(host, before)


def _say(host: Host, before: Sequence[int]) -> None:
    """The errors of each plugin but the first so many of them."""
    for plugin, known in zip(host.plugins, before, strict=True):
        for error in plugin.errors[known:]:
            click.echo(f"harness: plugin {plugin.name} ({plugin.origin}): {error}", err=True)
