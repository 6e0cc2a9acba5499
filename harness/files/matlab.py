"""MATLAB files → variables, read by a process of its own: a damaged file can kill its reader, not the run."""

from __future__ import annotations

import atexit
import os
import pickle
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from harness.errors import DataError, signal_name

WORKER = "harness.files.mat_worker"


class Reader:
    """A process that reads MATLAB files, started for the first of them and again after its death. For several threads.

    It ends with the process that started it, however that ends.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._ending = ""
        self._asked = 0.0

    @property
    def pid(self) -> int | None:
        """The process, where one runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def read(self, path: Path) -> dict[str, Any]:
        """Every variable of the file.

        Raises:
            DataError: it is no MATLAB file, or kills or holds up whoever reads it.
        """
        with self._lock:
            fresh = self.pid is None
            variables, why = self._ask(path)
            if variables is None and why is None and not fresh:
                # An earlier file may have hurt the process, or it left for want of work: a new one tells.
                variables, why = self._ask(path)
            ending = self._ending
        if variables is not None:
            return variables
        if why is not None:
            raise DataError(f"{path}: not a MATLAB file ({why})")
        raise DataError(f"{path}: damaged: what reads MATLAB files {ending} on it. Copy the file again.")

    def close(self) -> None:
        """Ends the process."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        code = process.wait()
        how = f"crashed ({signal_name(-code)})" if code < 0 else f"ended with exit status {code}"
        self._ending = f"{how} after {time.monotonic() - self._asked:.0f} s"
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):  # a request that it did not take is still in there
                pipe.close()  # type: ignore[union-attr]

    def _ask(self, path: Path) -> tuple[dict[str, Any] | None, str | None]:
        """The variables, or why there are none; neither where the process ended."""
        if self.pid is None:
            self.close()
            self._process = _started(path)
        self._asked = time.monotonic()
        assert self._process is not None and self._process.stdin is not None and self._process.stdout is not None
        try:
            pickle.dump(os.path.abspath(path), self._process.stdin)
            self._process.stdin.flush()
            return pickle.load(self._process.stdout)
        except Exception:  # the pipe broke, or what came through it is no answer
            self.close()
            return None, None
        except BaseException:  # Ctrl-C: the answer to this must not be taken for that to the next
            self.close()
            raise


def _started(path: Path) -> subprocess.Popen[bytes]:
    paths = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"},
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except OSError as error:
        raise DataError(f"{path}: no process to read it could be started ({error})") from None


_reader = Reader()
_parents: list[Reader] = []  # kept in a forked process: to end them is not its business


def read(path: Path) -> dict[str, Any]:
    """Every variable of a MATLAB file, by the one reader of this process; see `Reader.read`."""
    _follow_this_process()
    return _reader.read(path)


@cache
def _follow_this_process() -> None:
    """The reader ends with this process, and a forked one has a reader of its own."""
    atexit.register(_at_exit)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)


def _after_fork() -> None:
    global _reader
    _parents.append(_reader)
    _reader = Reader()


def _at_exit() -> None:
    _reader.close()  # the one of the time: a fork changes it
