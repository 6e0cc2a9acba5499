"""The one module that knows which Keras backend runs: seeds, determinism, precision, XLA, device names."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any

from harness.data.image_store import cache_folder
from harness.errors import HarnessError

BACKENDS = ("tensorflow", "jax", "torch")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
_OFF = ("constant_folding", "dependency_optimization")


def start() -> None:
    """Imports Keras without its backend's start-up chatter, ready to use; an import that fails still says why."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    # Images of many sizes are traced again for each, which TensorFlow warns of and we mean to do.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # A cell is a process, and a VGG-sized network takes JAX up to a minute to compile: the next cell finds it here.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_folder() / "jax"))
    with quiet():
        import keras  # noqa: F401
    _settle_graphs()


@contextmanager
def quiet() -> Iterator[None]:
    """What libraries write to standard error in here is not shown; what they raise is.

    TensorFlow's C++ side writes to descriptor 2, some of it before any of its settings are read.
    """
    standard_error = os.dup(2)
    silence = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(silence, 2)
        yield
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)
        os.close(silence)


def _settle_graphs() -> None:
    """Turns off two of TensorFlow's graph optimisers.

    Constant folding breaks networks that see one input through several dilations: it gives all of them the padding of one
    ("padded_shape[0]=680 is not divisible by block_shape[0]=3"), once a network was called with images of two heights
    (TensorFlow 2.21; tensorflow/tensorflow#26797). Dependency optimisation orders the terms of sums of three and more gradients
    differently from one process to the next, so that runs of networks that fork did not repeat to the bit.
    """
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow

        tensorflow.config.optimizer.set_experimental_options(dict.fromkeys(_OFF, False))


def prepare(seed: int, precision: str = "float32") -> None:
    """Seeds Python, NumPy and the backend, asks for repeatable kernels, and sets the precision policy."""
    import keras

    keras.utils.set_random_seed(seed)
    _settle_graphs()
    if keras.backend.backend() == "tensorflow":
        import tensorflow

        tensorflow.config.experimental.enable_op_determinism()
    elif keras.backend.backend() == "torch":
        import torch

        torch.use_deterministic_algorithms(True, warn_only=True)
    keras.mixed_precision.set_dtype_policy(precision)


def begin_anew() -> None:
    """Forgets the networks built so far, so that layers without a name are called as in a new process; call `prepare` next."""
    import keras

    keras.utils.clear_session(free_memory=False)


PARALLEL = "HARNESS_DATA_PARALLEL"  # reaches the cells' processes; no part of a run's identity


def check_data_parallel() -> None:
    """Raises `HarnessError` where the chosen backend cannot share one run among devices. Starts no backend."""
    chosen = os.environ.get("KERAS_BACKEND", "tensorflow")
    if chosen != "jax":
        raise HarnessError(
            f"--data-parallel needs keras.distribution, which Keras has for JAX; the backend is {chosen}. Set "
            f"KERAS_BACKEND=jax, or run several cells at once with --jobs, a device each"
        )


def share_among_devices(crops: int) -> int:
    """Where it was asked for, replicates what is built from now on over all devices, and shares each step's crops among them.

    Returns:
        the number of devices; 1 where nothing is shared.

    Raises:
        HarnessError: `crops`, those of a step, are no multiple of the devices.
    """
    if not os.environ.get(PARALLEL):
        return 1
    import keras

    devices = keras.distribution.list_devices()
    if len(devices) > 1:
        if crops % len(devices):
            raise HarnessError(
                f"--data-parallel: {crops} crops a step cannot be shared equally among {len(devices)} devices; "
                f"let CUDA_VISIBLE_DEVICES name fewer"
            )
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices))
    return len(devices)


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


def jit_compile() -> bool | str:
    """Whether to compile with XLA: not on a CPU with TensorFlow (measured twice as slow), always with JAX."""
    import keras

    name = keras.backend.backend()
    if name == "jax":
        return True
    return "auto" if name == "tensorflow" and accelerator() else False


def trace(function: Callable[..., Any], *arguments: Any) -> None:
    """Traces `function` as TensorFlow compiles a step or a prediction; does nothing on other backends, which know every size.

    Args:
        arguments: `keras.KerasTensor`s, or dicts of them, whose unknown sides (None) are unknown to the compiler too.
    """
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow

        specs = keras.tree.map_structure(lambda one: tensorflow.TensorSpec(one.shape, one.dtype), arguments)
        tensorflow.function(function, autograph=False).get_concrete_function(*specs)


def from_saved_model(folder: str) -> Callable[[Any], Any]:
    """The function float32 [B, H, W, C] → [B, h, w, 1] that a SavedModel in `folder` holds, as any program reads it."""
    import tensorflow

    loaded = tensorflow.saved_model.load(folder)

    def run(images: Any) -> Any:
        # Other programs optimise graphs in full: what only we can compute is no export.
        tensorflow.config.optimizer.set_experimental_options(dict.fromkeys(_OFF, True))
        try:
            return loaded.serve(images)
        finally:
            _settle_graphs()

    return run


def from_lite_model(file: str) -> Callable[[Any], Any]:
    """The same of a TFLite file; its input takes the size of what it is given."""
    import tensorflow

    interpreter = tensorflow.lite.Interpreter(model_path=file)
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(images: Any) -> Any:
        if (taken["shape_signature"] == -1).any():
            interpreter.resize_tensor_input(taken["index"], images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(taken["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(given["index"])

    return run


def accelerator() -> str | None:
    """The name of the accelerator in use, or None on a CPU."""
    import keras

    name = keras.backend.backend()
    if name == "tensorflow":
        import tensorflow

        devices = tensorflow.config.list_physical_devices("GPU")
        if devices:
            details = tensorflow.config.experimental.get_device_details(devices[0])
            return str(details.get("device_name", "GPU"))
        return None
    if name == "jax":
        import jax

        device = jax.devices()[0]
        return None if device.platform == "cpu" else str(device.device_kind)
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None


def peak_device_memory() -> float | None:
    """MiB that this process held at most on the accelerator; None on a CPU, or where the backend does not say."""
    import keras

    if accelerator() is None:
        return None
    name = keras.backend.backend()
    if name == "tensorflow":
        import tensorflow

        return tensorflow.config.experimental.get_memory_info("GPU:0")["peak"] / (1 << 20)
    if name == "jax":
        import jax

        statistics = jax.devices()[0].memory_stats() or {}
        return statistics["peak_bytes_in_use"] / (1 << 20) if "peak_bytes_in_use" in statistics else None
    import torch

    return torch.cuda.max_memory_allocated() / (1 << 20)


def out_of_memory(error: BaseException) -> bool:
    """Whether `error` is any backend's way of saying that memory ran out."""
    if isinstance(error, MemoryError):
        return True
    text = f"{type(error).__name__}: {error}"
    return any(sign in text for sign in ("ResourceExhausted", "RESOURCE_EXHAUSTED", "OutOfMemory", "out of memory"))


def environment() -> dict[str, Any]:
    """What a record says about where a run ran: versions, backend, device. Never part of a run's identity."""
    import keras

    name = keras.backend.backend()
    packages = ("keras", name, "numpy", "opencv-python", "crowd-harness")
    return {
        "backend": name,
        "device": accelerator() or f"CPU ({os.cpu_count()} cores, {platform.machine()})",
        "python": platform.python_version(),
        "system": platform.system(),
        "versions": {package: _version(package) for package in packages},
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
