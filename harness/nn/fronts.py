"""The parts of networks that can be pretrained, by the name that `Method.pretrained` gives."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from harness.nn import mobilenet, vgg, vgg_weights

CHECKS: dict[str, Callable[[str], None]] = {
    mobilenet.NAME: mobilenet.check,
    **{name: partial(vgg_weights.check, one) for name, one in vgg.BY_NAME.items()},
}


def check(part: str, source: str) -> None:
    """Raises `HarnessError` unless the weights of `part` that `source` names can be had.

    A part of another name is a plugin's own, which its `build` alone can load: nothing is tried.
    """
    if part in CHECKS:
        CHECKS[part](source)
