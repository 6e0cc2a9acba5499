"""What `harness bench` is asked: a file, flags, or both; and the file it leaves behind."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from harness.errors import HarnessError
from harness.files.atomic import written
from harness.run import LARGEST_SEED
from harness.runs.experiment import FILE, Asked, Experiment, load, text_of
from harness.runs.plan import split_names

WRITTEN = "# Written by harness bench."


def asked_for(file: Path | None, flags: dict[str, Any]) -> Asked:
    """The experiment of a file, with the flags that are on the command line in the place of what it says.

    Raises:
        HarnessError: what is wrong with the file or a flag.
    """
    asked = load(file) if file else Asked(Experiment())
    said = _words(flags)
    source = click.get_current_context().get_parameter_source
    given = {key: value for key, value in said.items() if source(_flag(key)) is click.core.ParameterSource.COMMANDLINE}
    asked = asked.changed(given)
    environment = {
        key: value for key, value in said.items() if source(_flag(key)) is click.core.ParameterSource.ENVIRONMENT
    }
    unsaid = {key: value for key, value in environment.items() if key not in asked.experiment.model_fields_set}
    return asked.changed(unsaid)


def _flag(key: str) -> str:
    return "plugin_files" if key == "plugins" else key


def _words(flags: dict[str, Any]) -> dict[str, Any]:
    """Flags by the keys of a file, and as a file says them."""
    said = {key: value for key, value in flags.items() if key != "plugin_files"}
    for key in ("methods", "datasets"):
        said[key] = tuple(split_names(flags[key])) or (flags[key],)
    return said | {
        "seeds": _seeds(flags["seeds"]),
        "slurm": _slurm(flags["slurm"]),
        "plugins": tuple(map(str, flags["plugin_files"])),
        "out": str(flags["out"]),
        "data_root": str(flags["data_root"]) if flags["data_root"] else None,
    }


def keep(asked: Asked) -> str:
    """Writes the experiment to its folder, unless a file lies there that a person wrote; what to say of it, or "".

    Raises:
        HarnessError: it cannot be written.
    """
    wanted = asked.experiment
    path = Path(wanted.out) / FILE
    text = f"{WRITTEN} Again, or on: harness bench {path}\n{text_of(wanted)}"
    try:
        there = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else WRITTEN
    except OSError as error:
        raise HarnessError(f"{path}: cannot be read ({error.strerror or error})") from None
    if not there.startswith(WRITTEN):
        try:
            same = load(path).experiment == wanted
        except (HarnessError, ValueError):  # somebody's file of that name
            same = False
        return "" if same else f"{path} is not ours to write over: it says something else than what runs now"
    with written(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return ""


def _slurm(pairs: tuple[str, ...]) -> dict[str, Any]:
    """("slurm_partition=gpu", "cpus_per_task=8") → a dict; whole numbers as such, unless they begin with 0 (accounts)."""
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise HarnessError(f"--slurm {pair!r}: expected KEY=VALUE, e.g. slurm_partition=gpu")
        found[key] = int(value) if re.fullmatch(r"0|[1-9][0-9]*", value) else value
    return found


def _seeds(text: str) -> tuple[int, ...]:
    try:
        seeds = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        seeds = []
    if not seeds or any(not 0 <= seed <= LARGEST_SEED for seed in seeds):
        raise HarnessError(f"--seeds {text!r}: expected whole numbers from 0 to {LARGEST_SEED}, e.g. 0,1,2")
    return tuple(dict.fromkeys(seeds))
