"""What draws random numbers in training beside Keras' seed generators, which are variables of the network."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any

import numpy as np

from harness.training import backend

PYTHON, NUMPY, KERAS = "python", "numpy", "keras"


def random_states() -> dict[str, np.ndarray]:
    """The states, by name: of Python's and NumPy's own generators, of Keras' (behind `keras.random` without a seed), where
    something has drawn from it, and of the backend's.
    """
    import keras
    from keras.src.backend.common.global_state import get_global_attribute
    from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR

    found = {PYTHON: _text(random.getstate()), NUMPY: _text(_plain(np.random.get_state(legacy=False)))}
    generator = get_global_attribute(GLOBAL_SEED_GENERATOR)
    if generator is not None:
        found[KERAS] = np.asarray(keras.ops.convert_to_numpy(generator.state.value))
    return {**found, **backend.random_states()}


def set_random_states(states: Mapping[str, np.ndarray]) -> None:
    """Goes on drawing where `random_states` was called; generators that `states` does not name are left as they are."""
    if KERAS in states:  # where it is not there yet, to be made takes a draw of Python's: so that comes after
        from keras.src.random.seed_generator import global_seed_generator

        global_seed_generator().state.assign(states[KERAS])
    for name, state in states.items():
        if name == PYTHON:
            version, numbers, gauss = json.loads(str(state))
            random.setstate((version, tuple(numbers), gauss))
        elif name == NUMPY:
            np.random.set_state(json.loads(str(state)))
    backend.set_random_states({name: state for name, state in states.items() if name not in (PYTHON, NUMPY, KERAS)})


def _text(state: Any) -> np.ndarray:
    return np.array(json.dumps(state))


def _plain(values: Any) -> Any:
    """`values` with lists in the place of arrays."""
    if isinstance(values, dict):
        return {key: _plain(value) for key, value in values.items()}
    return values.tolist() if isinstance(values, np.ndarray) else values
