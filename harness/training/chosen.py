"""Which backend Keras will run on, known and settled before Keras is imported."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path

from harness.errors import HarnessError, unknown_name
from harness.method import Method
from harness.training.backend import BACKENDS

VARIABLE = "KERAS_BACKEND"


def chosen() -> str:
    """What `KERAS_BACKEND` says, else Keras' own configuration file; its default is TensorFlow."""
    said = os.environ.get(VARIABLE)
    if said:
        return said
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    try:
        content = json.loads((home / "keras.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "tensorflow"
    return str(content.get("backend", "tensorflow")) if isinstance(content, dict) else "tensorflow"


def check(method: Method) -> None:
    """Raises `HarnessError` where `method` names a backend (`Method.backend`) that there is not, or that is not installed."""
    if not method.backend:
        return
    if method.backend not in BACKENDS:
        raise unknown_name(f"backend of method {method.name}:", method.backend, BACKENDS)
    if importlib.util.find_spec(method.backend) is None:
        raise HarnessError(
            f"method {method.name} runs on {method.backend}, which is not installed: pip install {method.backend}"
        )


def use_for(method: Method) -> None:
    """Lets Keras, when it is imported, run on the backend that `method` names, whatever was chosen.

    Raises:
        HarnessError: as `check`; there is no such backend, or it is not installed; or Keras runs on another one already.
    """
    check(method)
    if not method.backend and "keras" not in sys.modules:
        if chosen() not in BACKENDS:
            raise unknown_name(f"backend ({VARIABLE})", chosen(), BACKENDS)
        if importlib.util.find_spec(chosen()) is None:
            raise HarnessError(f"{VARIABLE} is {chosen()}, which is not installed: pip install {chosen()}")
    if method.backend and method.backend != chosen():
        check_not_started(method)
        os.environ[VARIABLE] = method.backend


def check_not_started(method: Method) -> None:
    """Raises `HarnessError` where Keras is imported already and runs on another backend than `method` names."""
    if method.backend and method.backend != chosen() and "keras" in sys.modules:
        raise HarnessError(
            f"method {method.name} runs on {method.backend}, and Keras was started on {chosen()}: set "
            f"{VARIABLE}={method.backend}, or import Keras inside the functions of plugins alone"
        )
