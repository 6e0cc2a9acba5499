"""One run shared among several devices, through `keras.distribution`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from harness.errors import HarnessError
from harness.method import Method
from harness.training import chosen

PARALLEL = "HARNESS_DATA_PARALLEL"  # reaches the cells' processes; no part of a run's identity


def check_data_parallel(method: Method | None = None) -> None:
    """Raises `HarnessError` where the backend of `method`, or that chosen for all, cannot share one run among devices.

    Starts no backend.
    """
    backend = (method.backend if method else "") or chosen.chosen()
    if backend != "jax":
        whose = f"that of method {method.name}" if method and method.backend else "the backend"
        raise HarnessError(
            f"--data-parallel needs keras.distribution, which Keras has for JAX; {whose} is {backend}. Set "
            f"KERAS_BACKEND=jax, or run several cells at once with --jobs, a device each"
        )


def share_among_devices(crops: int) -> None:
    """Where it was asked for, replicates what is built from now on over all devices, and shares each step's crops among them.

    Raises:
        HarnessError: `crops`, those of a step, are no multiple of the devices.
    """
    if not os.environ.get(PARALLEL):
        return
    import keras

    devices = keras.distribution.list_devices()
    if len(devices) > 1:
        if crops % len(devices):
            raise HarnessError(
                f"--data-parallel: {crops} crops a step cannot be shared equally among {len(devices)} devices; "
                f"let CUDA_VISIBLE_DEVICES name fewer"
            )
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices))


@contextmanager
def on_every_device() -> Iterator[None]:
    """What is computed in here is computed whole on each device: one image cannot be shared among them."""
    import keras

    shared = keras.distribution.distribution()
    if shared is None:
        yield
        return
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(shared)
