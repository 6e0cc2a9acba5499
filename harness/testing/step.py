"""A few steps of a method on this process' backend: `python -m harness.testing.step`, which the kit runs once a backend."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from harness.errors import HarnessError, one_line
from harness.testing import checks


def _main(name: str, *files: str) -> None:
    from harness.host.plugins import load_host
    from harness.runs.plan import parse_method
    from harness.training import backend

    backend.start()
    backend.prepare(0)
    from harness.training.any_size import check_any_size

    try:
        host = load_host(map(Path, files))
        method_name, variant = parse_method(host, name)
        method = host.method(method_name)
        options = checks.options_of(method, variant)
        check_any_size(method, checks.builds(method, options), options, method.recipe)
        print(json.dumps(checks.train(method, options)[0]))
    except HarnessError as error:
        raise SystemExit(str(error)) from None
    except Exception as error:  # JAX ends its tracebacks with a note on itself: the one line that counts is said here
        raise SystemExit(one_line(error)) from None


if __name__ == "__main__":
    _main(*sys.argv[1:])
