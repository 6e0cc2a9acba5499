"""What is wrong with a plugin's method, in one line with the plugin's own file and line."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.errors import InvalidMethodError, one_line
from harness.method import Method
from harness.training import backend

HARNESS = Path(__file__).parents[1]
INSTALLED = ("site-packages", "dist-packages")


def place(function: Callable[..., Any]) -> str:
    """ "plugin.py:12", where `function` begins; "" where that is not known."""
    try:
        return f"{Path(_file(function)).name}:{inspect.getsourcelines(function)[1]}"
    except (OSError, TypeError):
        return ""


def place_of(error: BaseException, method: Method) -> str:
    """ "losses.py:31" or "parts/head.py:7": the last line of the plugin's own folder that `error` passed through.

    "" if it passed through none. What is installed, and the harness itself, is not the plugin's, should it lie in that folder.
    """
    files = {Path(file) for file in map(_file, (method.build, method.loss)) if file}
    own = {file.parent for file in files if file.parent.name not in INSTALLED}
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if file in files and file.parent not in own:  # a module that is installed by itself, between packages
            return f"{file.name}:{frame.lineno}"
        for folder in own & {*file.parents}:
            others = [other for other in (HARNESS, Path(sys.prefix), Path(sys.base_prefix)) if folder in other.parents]
            inside = file.relative_to(folder)
            if not {*others} & {*file.parents} and not {*INSTALLED} & {*inside.parts}:
                return f"{inside.as_posix()}:{frame.lineno}"
    return ""


def _file(function: Any) -> str:
    try:
        return inspect.getsourcefile(function) or ""
    except TypeError:
        return ""


def wrong(method: Method, function: Callable[..., Any], message: str) -> InvalidMethodError:
    """The error that says `message` of `function`, one of the method's own."""
    return told(method, place(function), message)


def told(method: Method, where: str, message: str) -> InvalidMethodError:
    """The same of a place ("losses.py:31", or "" where none is known)."""
    return InvalidMethodError(f"method {method.name}{f' ({where})' if where else ''}: {message}")


def called(method: Method, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a plugin's function; what it raises names the plugin's line, in one line."""
    try:
        return function(*arguments)
    except Exception as error:
        if backend.out_of_memory(error):
            raise
        raise told(method, place_of(error, method) or place(function), f"{what} raised {one_line(error)}") from error
