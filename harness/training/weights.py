"""Weight files: our own, which say whose they are, and foreign ones through the plugins' hook."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harness.errors import HarnessError, nearest, one_line, printable
from harness.files.atomic import replacing
from harness.host.plugins import Host
from harness.method import Method, ModelOptions, inference_network

ENDING = ".weights.h5"
LONGEST_REASON = 400
_ATTRIBUTE = "crowd_harness"
_COUNTING = "inference"
_UNIT = "heads a pixel"  # what options.density_scale is of; files without it were written when it was of heads a cell


def save(network: Any, path: Path, method: str, options: ModelOptions) -> None:
    """Writes native Keras weights to `path` (…`.weights.h5`) in one step, with the method and options they belong to."""
    import h5py

    with replacing(path) as temporary:
        network.save_weights(temporary)
        with h5py.File(temporary, "a") as file:
            file.attrs[_ATTRIBUTE] = json.dumps({"method": method, "options": asdict(options), "unit": _UNIT})


def save_small(host: Host, method: Method, source: Path, target: Path, half: bool) -> None:
    """Writes to `target` what counting needs of `source`, a file that `save` wrote: no training-only heads, no padding.

    Args:
        half: store tensors of two axes or more as float16; vectors (biases, means, variances) are few, and their range is wide.
    """
    import h5py

    network = load_inference_network(host, method, source)
    note = _note(source)
    if note is None:
        raise HarnessError(f"{source}: not written by a run; expected its best.weights.h5")
    with TemporaryDirectory() as folder, replacing(target) as temporary:
        whole = Path(folder) / target.name
        network.save_weights(whole)
        # The format of HDF5 1.10 has half the overhead of the default one, which is a quarter of a small network's file.
        with h5py.File(whole) as read, h5py.File(temporary, "w", libver="v110") as written:

            def copy(name: str, item: Any) -> None:
                if isinstance(item, h5py.Group):
                    copied = written.require_group(name)
                else:  # NumPy rounds; HDF5's own conversion to float16 gave some values half as large
                    values = item[()]
                    copied = written.create_dataset(
                        name, data=values.astype("float16") if half and values.ndim > 1 else values
                    )
                copied.attrs.update(item.attrs)

            read.visititems(copy)
            written.attrs[_ATTRIBUTE] = json.dumps({**note, "part": _COUNTING})


def load_network(host: Host, method: Method, path: Path) -> Any:
    """The network of `method` with the weights in `path`: native, or a foreign file that a plugin can read.

    Of a file that `save_small` wrote it is the inference network.

    Raises:
        HarnessError: no such file, weights of another method, or of another shape.
    """
    import h5py

    if not path.is_file():
        raise HarnessError(f"{path}: no such weights file")
    is_native = h5py.is_hdf5(path)
    note = _note(path) if is_native else None  # a damaged file is no plugin's to read
    foreign = _foreign(host, method, path)
    if foreign is not None:
        network = method.build(_authors_options(method))
        _set_by_layer(network, foreign, path, method)
        return network
    if not is_native:
        raise HarnessError(
            f"{path}: neither native Keras weights (.weights.h5) nor a file that a plugin reads for {method.name}"
        )
    if note and note["method"] != method.name:
        raise HarnessError(
            f"{path}: weights of method {note['method']!r}; expected {method.name!r}. Try --method {note['method']}."
        )
    options = replace(ModelOptions(**note["options"]), pretrained="none") if note else _authors_options(method)
    if note and note.get("unit") != _UNIT:
        options = replace(options, density_scale=options.density_scale * method.stride**2)
    network = method.build(options)
    if note and note.get("part") == _COUNTING:
        network = inference_network(network)
    restore(network, path, method)
    return network


def load_inference_network(host: Host, method: Method, path: Path) -> Any:
    """The part of `load_network`'s that counts: image → density."""
    return inference_network(load_network(host, method, path))


def _note(path: Path) -> dict[str, Any] | None:
    """What `save` wrote into the HDF5 file beside the weights; None in files from elsewhere."""
    import h5py

    try:
        with h5py.File(path) as file:
            note = json.loads(file.attrs[_ATTRIBUTE]) if _ATTRIBUTE in file.attrs else None
        if note is not None:
            ModelOptions(**note["options"]), note["method"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HarnessError(
            f"{path}: damaged, or written by another version ({one_line(error)}); expected weights as training leaves them"
        ) from None
    if note is not None and not path.name.endswith(ENDING):
        raise HarnessError(
            f"{path}: weights, but Keras goes by the name; call it {path.stem.partition('.')[0]}{ENDING}"
        )
    return note


def _authors_options(method: Method) -> ModelOptions:
    """What weights from elsewhere are of: the paper's own unit of density."""
    return ModelOptions(density_scale=method.recipe.density_scale)


def restore(network: Any, path: Path, method: Method) -> None:
    """Sets `network`'s weights from the native file `path`; raises `HarnessError` where they do not fit."""
    try:
        with warnings.catch_warnings():
            # Of containers that are passed over, which what is raised does not depend on.
            warnings.simplefilter("ignore")
            network.load_weights(path)
    except Exception as error:  # Keras raises ValueError, KeyError or OSError with pages of advice
        raise HarnessError(f"{path}: the weights do not fit method {method.name!r} ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    """What Keras says first; where that announces an example ("… for object <Conv2D …>:"), the example too."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return printable(" ".join(lines[:2]) if lines[0].endswith(":") else lines[0], LONGEST_REASON)


def _foreign(host: Host, method: Method, path: Path) -> Mapping[str, list[Any]] | None:
    before = [len(plugin.errors) for plugin in host.plugins]
    found = [result for _, result in host.call("harness_read_weights", method=method.name, path=path)]
    for plugin, known in zip(host.plugins, before, strict=True):
        for error in plugin.errors[known:]:
            raise HarnessError(f"{path}: plugin {plugin.name} ({plugin.origin}): {error}")
    return next((result for result in found if result is not None), None)


def _set_by_layer(network: Any, weights: Mapping[str, list[Any]], path: Path, method: Method) -> None:
    known, layers = {layer.name for layer in network.layers if layer.weights}, {layer.name for layer in network.layers}
    for name in weights:
        if name not in layers:
            raise HarnessError(
                f"{path}: the plugin that read it gives weights of a layer {name!r}, which {method.name} does not have."
                f"{nearest(name, known)}"
            )
    for layer in network.layers:
        expected = [tuple(variable.shape) for variable in layer.weights]
        found = [tuple(array.shape) for array in weights.get(layer.name, [])]
        if found != expected:
            raise HarnessError(
                f"{path}: layer {layer.name} of {method.name} has shapes {expected}; the file gives {found or 'none'}"
            )
        if expected:
            layer.set_weights(weights[layer.name])
