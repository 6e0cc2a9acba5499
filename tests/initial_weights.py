"""Initial weights drawn by NumPy: Keras' draws are a third of the time that building takes, and on JAX a compilation a shape.

Distributions and seeds are as Keras has them, the numbers are others. Whatever runs in a process of its own has Keras' own.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np


def by_numpy() -> None:
    """Lets all initialisers of Keras in this process draw so."""
    from keras.src.initializers import random_initializers

    theirs = random_initializers.random
    ours = {name: _drawn(draw, getattr(theirs, name)) for name, draw in DRAWS.items()}
    random_initializers.random = SimpleNamespace(**vars(theirs) | ours)


def _normal(generator: np.random.Generator, shape: Any, mean: float = 0.0, stddev: float = 1.0) -> np.ndarray:
    return generator.standard_normal(shape, np.float32) * np.float32(stddev) + np.float32(mean)


def _truncated_normal(generator: np.random.Generator, shape: Any, mean: float = 0.0, stddev: float = 1.0) -> np.ndarray:
    """None further than two standard deviations from the mean: those are drawn again."""
    drawn = generator.standard_normal(shape, np.float32)
    while (far := np.abs(drawn) > 2).any():
        drawn[far] = generator.standard_normal(np.count_nonzero(far), np.float32)
    return drawn * np.float32(stddev) + np.float32(mean)


def _uniform(generator: np.random.Generator, shape: Any, minval: float = 0.0, maxval: float = 1.0) -> np.ndarray:
    return generator.random(shape, np.float32) * np.float32(maxval - minval) + np.float32(minval)


DRAWS = {"normal": _normal, "truncated_normal": _truncated_normal, "uniform": _uniform}


def _drawn(draw: Any, theirs: Any) -> Any:
    def call(shape: Any, *, seed: Any, dtype: Any, **options: Any) -> Any:
        if not isinstance(seed, int):  # a generator of seeds
            return theirs(shape, seed=seed, dtype=dtype, **options)
        from keras import ops

        return ops.convert_to_tensor(draw(np.random.default_rng(seed), tuple(shape), **options), dtype)

    return call
