"""The one module of training that imports a backend: seeds, determinism, precision, XLA, device names."""

from __future__ import annotations

import gc
import logging
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.image_store import cache_folder

BACKENDS = ("tensorflow", "jax", "torch")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
CPUINFO = Path("/proc/cpuinfo")
BFLOAT16 = {"amx_bf16", "avx512_bf16"}  # as Linux calls what x86 processors compute it with


def start() -> None:
    """Imports Keras without its backend's start-up chatter, ready to use; an import that fails still says why."""
    settings()
    gc.disable()  # a million objects that stay: to look through them again and again is a sixth of the import
    with quiet():
        import keras
    # A person's keras.json may say otherwise, for other work.
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")
    gc.freeze()
    gc.enable()
    _settle_graphs()


def settings() -> None:
    """What backends read from the environment as they are imported, unless it is there; a plugin may import one early."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    # TensorFlow takes oneDNN's kernels by itself on newer processors alone. On one that has AVX2 and no more, a step of CSRNet
    # took 1.4 CPU seconds with them and 2.0 without, of MCNN 0.09 and 0.17.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    # Images of many sizes are traced again for each, which TensorFlow warns of and we mean to do.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # A cell is a process, and a VGG-sized network takes JAX up to a minute to compile: the next cell finds it here.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_folder() / "jax"))


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
    """Turns off TensorFlow's graph optimisers (Grappler).

    Constant folding breaks networks that see one input through several dilations: it gives all of them the padding of one
    ("padded_shape[0]=680 is not divisible by block_shape[0]=3"), once a network was called with images of two heights
    (TensorFlow 2.21; tensorflow/tensorflow#26797). Dependency optimisation orders the terms of sums of three and more gradients
    differently from one process to the next, so that runs of networks that fork did not repeat to the bit; nor did they always
    with these two alone turned off. Steps are as fast without any (MCNN, CSRNet and SASNet on a CPU), and begin sooner.
    """
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow

        tensorflow.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def prepare(seed: int, precision: str = "float32") -> None:
    """Seeds Python, NumPy and the backend, asks for repeatable kernels, and sets the precision policy."""
    import keras

    with quiet():  # Keras seeds TensorFlow too wherever it is installed, and so imports it
        keras.utils.set_random_seed(seed)
    _settle_graphs()
    if keras.backend.backend() == "tensorflow":
        import tensorflow

        tensorflow.config.experimental.enable_op_determinism()
    elif keras.backend.backend() == "torch":
        import torch

        torch.use_deterministic_algorithms(True, warn_only=True)
    keras.mixed_precision.set_dtype_policy(precision)


def random_states() -> dict[str, np.ndarray]:
    """The states of generators that only this backend has: PyTorch's own (its dropout)."""
    import keras

    if keras.backend.backend() != "torch":
        return {}
    import torch

    found = {
        "cpu": torch.get_rng_state(),
        **{f"cuda{n}": state for n, state in enumerate(torch.cuda.get_rng_state_all())},
    }
    return {name: state.numpy() for name, state in found.items()}


def set_random_states(states: Mapping[str, np.ndarray]) -> None:
    """Goes on drawing where `random_states` was called; generators that `states` does not name are left as they are."""
    for name, state in states.items():
        import torch

        if name == "cpu":
            torch.set_rng_state(torch.from_numpy(state))
        elif int(name.removeprefix("cuda")) < torch.cuda.device_count():
            torch.cuda.set_rng_state(torch.from_numpy(state), int(name.removeprefix("cuda")))


def begin_anew() -> None:
    """Forgets the networks built so far, so that layers without a name are called as in a new process; call `prepare` next."""
    import keras

    keras.utils.clear_session(free_memory=False)


def jit_compile(sizes_vary: bool = False) -> bool | str:
    """Whether to compile a training step with XLA; `sizes_vary` where its crops differ in size from step to step.

    With JAX always. With TensorFlow not on a CPU (measured twice as slow), nor where sizes vary: its own graphs take any
    size, XLA compiles for each.
    """
    import keras

    name = keras.backend.backend()
    if name == "jax":
        return True
    return "auto" if name == "tensorflow" and not sizes_vary and accelerator() else False


def compiles_each_size() -> bool:
    """Whether every new size of picture is a new compilation, so that they had better be few."""
    import keras

    return keras.backend.backend() == "jax"


def steps_a_dispatch() -> int:
    """How many training steps are sent in one dispatch where the pictures already lie on the device.

    Several with JAX on an accelerator: the host then prepares and passes on a state of hundreds of arrays that much seldomer. A
    CPU gains nothing by it.
    """
    return 8 if compiles_each_size() and accelerator() else 1


def compiles_steps() -> bool:
    """Whether a step is compiled, and may so take numbers that only the device knows; PyTorch asks the device for them."""
    import keras

    return keras.backend.backend() != "torch"


def emulated(precision: str) -> str:
    """One line on what takes long where the processor that trains has no instructions for `precision`, else "".

    Linux alone says what a processor has; elsewhere nothing is known and nothing said.
    """
    if precision != "mixed_bfloat16" or accelerator() is not None:
        return ""
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), None)
    if flags is None or BFLOAT16 & set(flags):
        return ""
    return (
        f"--precision {precision}: this processor has neither {' nor '.join(sorted(BFLOAT16))}, so bfloat16 is emulated and "
        f"training takes many times as long; use --precision float32"
    )


def forward(network: Any, images: np.ndarray) -> Any:
    """What an inference network gives float32 images [B, H, W, C]: its density float32 [B, h, w, 1], or a dict of its maps.

    TensorFlow compiles it once, for pictures of any size and without XLA; JAX once for each size; PyTorch not at all.
    """
    import keras

    # What is no Keras model (a stand-in of a test, say) answers for itself.
    if keras.backend.backend() == "torch" or not isinstance(network, keras.Model):
        outputs = network.predict_on_batch(images)
    else:
        outputs = _compiled(network).call(images)
    return keras.tree.map_structure(lambda values: np.asarray(values, np.float32), outputs)


def compilations(network: Any) -> int:
    """How often `forward` has compiled this network (JAX) or traced it (TensorFlow)."""
    return _compiled(network).count()


@dataclass(frozen=True)
class _Compiled:
    call: Callable[[np.ndarray], Any]
    count: Callable[[], int]


def _compiled(network: Any) -> _Compiled:
    """Made once and kept with the network.

    It reads the weights as they are when it is called, and compiles nothing anew when layers are frozen, as the `predict` of
    Keras does.
    """
    kept = vars(network).get(_COMPILED)
    if kept is None:
        kept = _with_jax(network) if compiles_each_size() else _with_tensorflow(network)
        object.__setattr__(network, _COMPILED, kept)  # past the model's own, which would track it as a part
    return kept


_COMPILED = "_harness_compiled"


def _with_tensorflow(network: Any) -> _Compiled:
    import tensorflow

    _settle_graphs()
    function = tensorflow.function(
        lambda images: network(images, training=False),
        input_signature=[tensorflow.TensorSpec(network.inputs[0].shape, "float32")],
        jit_compile=False,
        autograph=False,
    )
    return _Compiled(function, function.experimental_get_tracing_count)


def _with_jax(network: Any) -> _Compiled:
    import jax
    import keras

    variables = network.variables

    def applied(values: list[Any], images: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return network(images, training=False)

    function = jax.jit(applied)
    return _Compiled(lambda images: function([variable.value for variable in variables], images), function._cache_size)


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
        tensorflow.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})
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


def cut_off(values: Iterable[Any]) -> bool:
    """Whether the backend can tell that none of these tensors has a gradient: PyTorch alone can, before one is asked for."""
    import keras

    return keras.backend.backend() == "torch" and not any(getattr(value, "requires_grad", False) for value in values)


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
