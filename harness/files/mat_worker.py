"""Reads MATLAB files for the process that started it: a damaged one may kill SciPy's reader or HDF5's, and all around it.

Run as `python -m harness.files.mat_worker` by `harness.files.matlab`. Paths come in on standard input, `(variables, None)` or
`(None, why not)` goes out on standard output, all pickled. It ends with its input, after `IDLE` seconds without work, and when
one file takes longer than `DEADLINE`. Loads none of the libraries that networks
need.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import sys
import warnings
from typing import IO, Any

from harness.errors import one_line

DEADLINE = 10.0  # seconds for one file, and one more a megabyte: SciPy's reader may loop for ever in a damaged one
IDLE = 60.0


def main() -> None:
    """Answers until the input ends."""
    import scipy.io  # noqa: F401 - before the clock runs

    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    nowhere = open(os.devnull, "w")  # noqa: SIM115 - as long as the process
    os.dup2(nowhere.fileno(), 1)  # a chatty library must not speak among the answers
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to act on
    _leave_no_core()
    warnings.simplefilter("ignore")
    while True:
        _end_after(IDLE, nowhere)
        try:
            path = pickle.load(requests)
        except EOFError:
            return
        _end_after(DEADLINE + _megabytes(path), nowhere)
        try:
            answer: tuple[dict[str, Any] | None, str | None] = (load(path), None)
        except Exception as error:  # the readers raise many kinds on damaged files; all mean the same to a user
            answer = (None, one_line(error))
        try:
            pickle.dump(answer, answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()
        except BrokenPipeError:
            os._exit(0)


def load(path: str) -> dict[str, Any]:
    """Every variable of a MATLAB file; of a 7.3 file those that are matrices of numbers. Raises whatever its reader does."""
    from scipy.io import loadmat

    try:
        return loadmat(path)
    except NotImplementedError:  # version 7.3, which is HDF5
        return _load_hdf5(path)


def _load_hdf5(path: str) -> dict[str, Any]:
    """The matrices, rows and columns exchanged back: MATLAB writes columns first."""
    import h5py
    import numpy as np

    found = {}
    with h5py.File(path) as file:
        for key, value in file.items():
            if isinstance(value, h5py.Dataset) and value.dtype.kind in "biuf":
                empty = value.attrs.get("MATLAB_empty", 0)  # then it holds the matrix's dimensions, in MATLAB's order
                found[key] = np.zeros(tuple(map(int, value[()].ravel()))) if empty else np.asarray(value).T
    return found


def _megabytes(path: str) -> float:
    try:
        return os.path.getsize(path) / 1e6
    except OSError:
        return 0.0


def _end_after(seconds: float, sink: IO[str]) -> None:
    """Ends the process then, unless called again; needs no cooperation of what hangs, nor a parent that is still there."""
    faulthandler.dump_traceback_later(seconds, exit=True, file=sink)


def _leave_no_core() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
