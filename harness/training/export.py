"""Trained networks as files for other programs, through Keras' own export; each is read back and compared before it counts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from harness.data.crops import pad_to
from harness.errors import HarnessError, one_line
from harness.method import Method, named_outputs
from harness.training import backend

TOLERANCE = 1e-3  # of a map's largest value in each cell, and of its sum in the count
LARGEST_SIDE = 1024  # pixels of the pictures compared on


@dataclass(frozen=True)
class Format:
    """A format of files.

    Attributes:
        keras: what `keras.Model.export` calls it.
        suffix: how a converter wants its file to end; "" for a folder.
        read: path → function of float32 [B, H, W, C], as other programs read it.
        packages: what converting and reading back need beside TensorFlow, by the names of their modules.
    """

    keras: str
    suffix: str
    read: Callable[[str], Callable[[np.ndarray], Any]]
    packages: tuple[str, ...] = ()


def _from_onnx(file: str) -> Callable[[np.ndarray], Any]:
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    return lambda images: session.run(None, {taken.name: images})[0]


FORMATS = {
    "onnx": Format("onnx", ".onnx", _from_onnx, ("tf2onnx", "onnxruntime")),
    "savedmodel": Format("tf_saved_model", "", backend.from_saved_model),
    "tflite": Format("litert", ".tflite", backend.from_lite_model),
}


class DisagreementError(HarnessError):
    """An exported file that does not compute what its network does."""

    exit_code = 1


@dataclass(frozen=True)
class Agreement:
    """One picture through the network and through the file.

    Attributes:
        size: height and width of the picture in pixels.
        difference: the largest between two cells, in heads.
        largest: the largest value of the network's density map, in heads a cell.
        counts: the network's and the file's.
    """

    size: tuple[int, int]
    difference: float
    largest: float
    counts: tuple[float, float]
    mass: float

    @property
    def close(self) -> bool:
        """Whether cells agree to `TOLERANCE` of the map's largest value, and counts to as much of all its mass."""
        near = self.difference <= TOLERANCE * max(self.largest, 1e-6)
        return bool(near and abs(self.counts[1] - self.counts[0]) <= TOLERANCE * max(self.mass, 1e-6))


def check_packages(name: str) -> None:
    """Raises `HarnessError` where packages that format `name` needs are missing, with what installs them."""
    missing = [package for package in FORMATS[name].packages if find_spec(package) is None]
    if missing:
        raise HarnessError(
            f"--format {name} needs {' and '.join(missing)}, which this environment lacks: pip install "
            f"{' '.join(FORMATS[name].packages)}"
        )


def check_size(method: Method, size: tuple[int, int]) -> None:
    """Raises `HarnessError` where `method` cannot take pictures of this (height, width)."""
    multiple = method.side_multiple
    fitting = [-(-side // multiple) * multiple for side in size]
    if fitting != list(size):
        raise HarnessError(
            f"--size {size[0]}x{size[1]}: {method.name} takes sides that are multiples of {multiple}; expected e.g. "
            f"{fitting[0]}x{fitting[1]}"
        )


def pictures_to_compare(image: np.ndarray, multiple: int, size: tuple[int, int] | None) -> list[np.ndarray]:
    """What a file is compared on: float32 [1, H, W, C] each, sides multiples of `multiple`.

    Args:
        image: uint8 [H, W, C]; of a large one the upper left part is taken.
        size: the one (height, width) that the file takes; None for a file that takes any, which is shown two sizes.
    """
    image = image[:LARGEST_SIDE, :LARGEST_SIDE]
    if size is not None:
        parts = [pad_to(image, *size)[: size[0], : size[1]]]
    else:
        image = pad_to(image, 2 * multiple, 2 * multiple)  # or two sizes of a small picture might be one
        height, width = image.shape[:2]
        parts = [image, image[: -(-height // 2), : -(-width * 2 // 3)]]
    whole = (pad_to(part, *(-(-side // multiple) * multiple for side in part.shape[:2])) for part in parts)
    return [np.ascontiguousarray(part[None], np.float32) for part in whole]


def export(
    network: Any, method: Method, path: Path, name: str, image: np.ndarray, size: tuple[int, int] | None = None
) -> list[Agreement]:
    """Writes `network` to the new file, or folder, `path`: image → density, without points. Keras must run on TensorFlow.

    The file takes float32 [B, H, W, C], values 0–255, and gives float32 [B, H/stride, W/stride, 1], heads a cell.

    Args:
        name: one of `FORMATS`.
        image: uint8 [H, W, C], the picture to compare on.
        size: (height, width) of the pictures it takes, in multiples of the method's; None: any multiples.

    Returns:
        how network and file agree on each picture compared.

    Raises:
        HarnessError: a network that cannot be converted, or a `path` that is there or cannot be written.
        DisagreementError: the file computes something else. `path` is not there then.
    """
    if path.exists():
        raise HarnessError(f"{path}: already there; expected a new name")
    network = _of_one_output(network)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix="partial-", dir=path.parent) as folder:
            made = Path(folder) / f"network{FORMATS[name].suffix}"
            found = _converted(
                network, method, made, name, pictures_to_compare(image, method.side_multiple, size), size
            )
            made.replace(path)
    except OSError as error:
        raise HarnessError(f"{path}: cannot be written ({error.strerror or error})") from None
    return found


def _of_one_output(network: Any) -> Any:
    import keras

    outputs = named_outputs(network.output)
    return network if len(outputs) == 1 else keras.Model(network.input, outputs["density"], name=network.name)


def _converted(
    network: Any, method: Method, made: Path, name: str, images: Sequence[np.ndarray], size: tuple[int, int] | None
) -> list[Agreement]:
    import keras

    expected = [np.asarray(network.predict_on_batch(image)) for image in images]
    shape = (None, None, None) if size is None else (1, *size)
    signature = [keras.InputSpec(shape=(*shape, method.channels), dtype="float32", name="image")]
    try:
        with backend.quiet(), warnings.catch_warnings(), _plain_constants(network):
            warnings.simplefilter("ignore")
            network.export(str(made), format=FORMATS[name].keras, verbose=False, input_signature=signature)
            run = FORMATS[name].read(str(made))
            given = [np.asarray(run(image)) for image in images]
    except OSError:
        raise
    except Exception as error:  # converters raise anything, with pages of advice
        hint = "" if size or not FORMATS[name].suffix else "; a fixed size may do: --size 768x1024"
        raise HarnessError(
            f"{method.name} cannot be exported as {name} by Keras {keras.__version__} ({one_line(error)}){hint}"
        ) from None
    found = [_agreement(*pair) for pair in zip(images, expected, given, strict=True)]
    for one in found:
        if not one.close:
            raise DisagreementError(
                f"--format {name}: what was exported differs from the network by {one.difference:.2g} heads a cell (the "
                f"largest is {one.largest:.2g}), counts {one.counts[0]:.3f} and {one.counts[1]:.3f}; nothing was written"
            )
    return found


@contextmanager
def _plain_constants(network: Any) -> Iterator[None]:
    """Constants of normalisation as NumPy arrays while the network is traced: tensors become inputs of an ONNX file."""
    import keras

    layers = [layer for layer in network.layers if isinstance(layer, keras.layers.Normalization)]
    held = [(layer, layer.mean, layer.variance) for layer in layers if getattr(layer, "input_mean", None) is not None]
    for layer, mean, variance in held:
        layer.mean, layer.variance = np.asarray(mean), np.asarray(variance)
    try:
        yield
    finally:
        for layer, mean, variance in held:
            layer.mean, layer.variance = mean, variance


def _agreement(image: np.ndarray, expected: np.ndarray, given: np.ndarray) -> Agreement:
    if given.shape != expected.shape:
        raise DisagreementError(f"what was exported gives maps of {given.shape}, the network of {expected.shape}")
    difference = np.abs(given - expected).max()
    return Agreement(
        image.shape[1:3],
        float(difference if np.isfinite(difference) else np.inf),
        float(np.abs(expected).max()),
        (float(expected.sum(dtype=np.float64)), float(given.sum(dtype=np.float64))),
        float(np.abs(expected).sum(dtype=np.float64)),
    )
