"""A run's log: a line as it starts, one an epoch and one as the test begins, for people who look in on a long run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any


def epoch_lines(clock: Callable[[], float] = time.time) -> Callable[[str, Mapping[str, Any]], str]:
    """What a run's log says of its events: a function of an event's kind and its values to a line, "" where it says nothing.

    Args:
        clock: seconds since 1970, for the time of day and for how long is left.
    """
    began, first, tested = clock(), 0, False

    def line(kind: str, values: Mapping[str, Any]) -> str:
        nonlocal began, first, tested
        now = clock()
        if kind == "start":
            began, first = now, values["resumed_at"]
            said = _length(values) + (f", {first} of them done" if first else "")
        elif kind == "epoch":
            said = _of_epoch(values, (now - began) / max(1, values["epoch"] - first))
        elif kind == "test" and not tested:
            said, tested = f"test on {values['total']} images", True
        else:
            return ""
        return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(now))}  {said}"

    return line


def _length(values: Mapping[str, Any]) -> str:
    """Where a budget is of steps the last epoch may be short."""
    epochs, steps, last = values["epochs"], values["steps"], values["last_steps"]
    if epochs == 1:
        return f"1 epoch of {last} steps"
    return f"{epochs} epochs of {steps} steps" + (f", the last of {last}" if last != steps else "")


def _of_epoch(values: Mapping[str, Any], seconds: float) -> str:
    """`seconds`: what an epoch took so far, with its validation."""
    parts = [
        f"epoch {values['epoch']}/{values['epochs']}",
        f"stage {values['stage']}",
        f"loss {values['loss']:.4g}",
        f"MAE of crops {values['mae']:.4g}",
        f"validation MAE {values['val_mae']:.1f}" if values.get("val_mae") is not None else "",
        f"{_duration(values['seconds'])}",
        f"{_duration(seconds * (values['epochs'] - values['epoch']))} left"
        if values["epoch"] < values["epochs"]
        else "",
    ]
    return "  ".join(filter(None, parts))


def _duration(seconds: float) -> str:
    """ "48 s", "12 min", "5 h 20 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
