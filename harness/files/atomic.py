"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.errors import HarnessError

PARTIAL = "partial-"


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """As `replacing`, in a folder that is made where there is none.

    Raises:
        HarnessError: the file cannot be written.
    """
    make_folder(path.parent)
    try:
        with replacing(path) as temporary:
            yield temporary
    except OSError as error:
        raise HarnessError(f"{path}: cannot be written ({error.strerror or error})") from None


def make_folder(folder: Path) -> None:
    """Makes `folder` where there is none; raises `HarnessError` where it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HarnessError(f"{folder}: cannot be written ({error.strerror or error})") from None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path in `path`'s folder, moved to `path` when the block ends well and removed when it does not."""
    temporary = path.with_name(f"{PARTIAL}{os.getpid()}-{threading.get_ident()}-{path.name}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_partial(folder: Path) -> None:
    """Removes what processes that were killed left of files that they were writing in `folder`, where nobody writes now."""
    for path in folder.glob(f"{PARTIAL}*"):
        with suppress(OSError):
            path.unlink(missing_ok=True)
