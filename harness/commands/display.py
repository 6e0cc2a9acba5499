"""What a person sees while cells run: live bars on a terminal, one line a cell elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")
Watch = Callable[[dict[str, Any]], None]
_WORDS = {"starting": "loading Keras", "start": "training", "validate": "validating", "test": "testing"}


def plainly(console: Console) -> Callable[[str], None]:
    """Prints lines as they are: a variant's name stands in brackets, which rich would take for a style."""
    return partial(console.print, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def cell_display(title: str, position: str, console: Console) -> Iterator[Watch]:
    """A callable for a cell's events, shown as one progress bar while the context lasts; silent off a terminal."""
    if not console.is_terminal:
        yield lambda event: None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(f"{position} {title}", total=None, detail="starting")

        def watch(event: dict[str, Any]) -> None:
            kind = event.pop("event")
            if kind == "step":
                bars.update(task, completed=event["step"], total=event["total"], detail=f"loss {event['loss']:.4g}")
            elif kind in ("validate", "test"):
                bars.update(task, detail=f"{_WORDS[kind]} {event['done']}/{event['total']}")
            elif kind == "epoch":
                error = f", validation MAE {event['val_mae']:.1f}" if event.get("val_mae") is not None else ""
                bars.update(task, detail=f"epoch {event['epoch']}/{event['epochs']}{error}")
            else:
                bars.update(task, detail=_WORDS.get(kind, kind))

        yield watch


def bar(items: Sequence[Item], what: str) -> Iterator[Item]:
    """`items`, with a bar on standard error while they are worked on: of several, on a terminal."""
    console = Console(stderr=True)
    bars = Progress(
        console=console,
        transient=True,
        disable=len(items) < 2 or not console.is_terminal,
        # Lines printed meanwhile come out above the bar; where they go to a file, nothing may lead them elsewhere.
        redirect_stdout=sys.stdout.isatty(),
        redirect_stderr=False,
    )
    with bars:
        yield from bars.track(items, description=what)
