"""The `harness` command: parses, calls, prints. Imports nothing heavy; each command loads what it needs."""

from __future__ import annotations

import io
import math
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from harness.commands import errors_said

_COMMANDS = {
    "bench": ("harness.commands.bench", "Train and test methods on datasets; make the comparison table."),
    "schema": ("harness.commands.schema", "The JSON schema of experiment files, for editors."),
    "eval": ("harness.commands.evaluate", "Measure weights on a dataset."),
    "count": ("harness.commands.count", "Count the people in your own pictures."),
    "models": ("harness.commands.models", "The models that ship, and what each is: its model card."),
    "export": ("harness.commands.export", "Write a network as ONNX, SavedModel or TFLite, and compare it."),
    "report": ("harness.commands.report", "Make the reports from the records of past runs."),
    "diff": ("harness.commands.diff", "What changed between two folders of runs, as markdown."),
    "runtime": ("harness.commands.runtime", "Measure time, size and memory of methods."),
    "published": ("harness.commands.published", "The papers' own numbers, and where they disagree."),
    "data": ("harness.commands.data", "What datasets there are, and whether the files are sound."),
    "doctor": ("harness.commands.doctor", "What this machine looks like to the harness, and what is likely wrong."),
    "plugins": ("harness.commands.plugins", "What plugins there are; check one, start a new one."),
}


class _LazyGroup(click.Group):
    """Loads a command's module when it is called, so that `--help` answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_COMMANDS, *sorted(self.commands)]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in _COMMANDS:
            return import_module(_COMMANDS[name][0]).command
        if name not in self.commands and not ctx.resilient_parsing:
            _add_plugin_commands(self)
        return super().get_command(ctx, name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _add_plugin_commands(self)
        rows = [(name, text) for name, (_, text) in _COMMANDS.items()]
        rows += [(name, command.get_short_help_str()) for name, command in sorted(self.commands.items())]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            from harness.errors import unknown_name

            raise unknown_name("command", args[0], self.list_commands(ctx)) from None


def _add_plugin_commands(group: click.Group) -> None:
    """Commands of third-party plugins. Where none are installed, nothing is imported for it."""
    from importlib import metadata

    foreign = [entry for entry in metadata.entry_points(group="crowd_harness") if _is_foreign(entry)]
    if not foreign or getattr(group, "_extended", False):
        return
    group._extended = True  # type: ignore[attr-defined]
    from harness.host.plugins import load_host

    host = load_host()
    with errors_said(host):  # those of loading are said by the command that loads plugins
        for plugin, found in host.lists("harness_commands", "click.Command"):
            for command in found:
                if not isinstance(command, click.Command):
                    plugin.errors.append(
                        f"harness_commands returned an item of {type(command).__name__}; expected click.Command"
                    )
                elif command.name in _COMMANDS or command.name in group.commands:
                    plugin.errors.append(f"command {command.name!r} is there already; it needs another name")
                else:
                    group.add_command(command)


def _is_foreign(entry: Any) -> bool:
    return entry.dist is None or entry.dist.name != "crowd-harness"


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="crowd-harness", prog_name="harness")
def cli() -> None:
    """Crowd counting under one protocol: train, test and compare methods that plugins bring."""


def main() -> None:
    """The console script: one line for an error that the user can act on, exit status 2."""
    from harness.errors import HarnessError

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # an arrow must not end a command where text is not UTF-8
            stream.reconfigure(errors="replace")
    try:
        status = cli(standalone_mode=False)
    except HarnessError as error:
        click.echo(f"harness: {error}", err=True)
        status = error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        status = 2
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        resumes = bool({"bench", "fetch"} & set(sys.argv[1:3]))
        click.echo(
            f"harness: interrupted{'; the same command continues where it stopped' if resumes else ''}", err=True
        )
        status = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    sys.exit(status if isinstance(status, int) else 0)


data_root_option = click.option(
    "--data-root",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="HARNESS_DATA",
    help="Folder that holds the datasets. [env: HARNESS_DATA]",
)
plugin_option = click.option(
    "--plugin",
    "plugin_files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Load a plugin from a file; repeatable.",
)


def finite(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """A callback of options that are numbers: no "nan" or "inf"."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is no finite number")
    return value


memory_option = click.option(
    "--memory",
    type=click.FloatRange(0),
    callback=finite,
    default=2.0,
    show_default=True,
    help="GiB of decoded images held in memory.",
)


def _existing_weights(context: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
    """Names a wrong path before anything heavy starts."""
    from harness.errors import HarnessError

    if path is not None and not path.is_file():
        raise HarnessError(f"{path}: no such weights file")
    return path


def weights_options(required: bool = True) -> Callable[[Any], Any]:
    """`--method` and `--weights`: a network, as `method_name` and `weights`."""
    method = click.option("--method", "method_name", required=required, help="Whose network the weights are for.")
    weights = click.option(
        "--weights",
        required=required,
        type=click.Path(path_type=Path),
        callback=_existing_weights,
        help="Native Keras weights, or a file a plugin reads.",
    )
    return lambda command: method(weights(command))


if __name__ == "__main__":
    main()
