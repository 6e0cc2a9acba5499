"""The conformance kit: what every method must do, as one call for its author's tests.

    def test_my_method(check_method) -> None:
        check_method("my_method")

The fixture is there wherever the harness is installed (`harness.pytest_plugin`); without pytest, import `check_method` from
here.
`harness plugins check my_method` does the same from the command line.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from harness.method import Method, ModelOptions, Stage, inference_network, named_outputs
from harness.training.backend import BACKENDS

STEPS = 4
STARTS = 3  # a unit that is dead by the chance of its start is not dead from every start
LARGEST_COUNT = 40.0
ROUND_OFF = 1e-4


@dataclass(frozen=True)
class Verdict:
    """What one check found: `ok`, and in words what it saw."""

    check: str
    ok: bool
    message: str


def check_method(
    method: Method | str, plugin_files: Iterable[Path] = (), backends: Iterable[str] | None = None
) -> None:
    """Checks one method; pytest shows every failed check.

    Args:
        method: a method's name, or the value itself.
        plugin_files: files that bring it, where it is not installed.
        backends: on which it must do a step; those that are installed where None.

    Raises:
        AssertionError: at least one check failed; the message has a line for each.
    """
    failed = [verdict for verdict in verdicts(method, plugin_files, backends) if not verdict.ok]
    if failed:
        name = method if isinstance(method, str) else method.name
        lines = "\n".join(f"  {verdict.check}: {verdict.message}" for verdict in failed)
        raise AssertionError(f"method {name} fails {len(failed)} checks:\n{lines}")


def verdicts(
    method: Method | str, plugin_files: Iterable[Path] = (), backends: Iterable[str] | None = None
) -> Iterator[Verdict]:
    """Runs the checks one by one; each is tried whatever became of those before it, once the network builds."""
    from harness.host.plugins import load_host
    from harness.training import backend

    backend.start()
    backend.prepare(0)
    files = [Path(file).resolve() for file in plugin_files]
    chosen = load_host(files).method(method) if isinstance(method, str) else method
    yield _verdict("recipe", _recipe, chosen)
    built = _verdict("builds", _builds, chosen)
    yield built
    if not built.ok:
        return
    for name, check in (
        ("any size", _any_size),
        ("output", _output),
        ("loss and gradients", _gradients),
        ("save and load", _round_trip),
        ("same output twice", _repeatable),
        ("inference network", _inference),
    ):
        yield _verdict(name, check, chosen)
    for one in backends if backends is not None else filter(importlib.util.find_spec, BACKENDS):
        yield _verdict(f"a step on {one}", partial(_step_elsewhere, backend_name=one, files=files), chosen)


def _verdict(name: str, check: Callable[[Method], str], method: Method) -> Verdict:
    try:
        return Verdict(name, True, check(method))
    except AssertionError as error:
        return Verdict(name, False, str(error) or "failed")
    except Exception as error:
        return Verdict(name, False, f"{type(error).__name__}: {error}")


def _options(method: Method) -> ModelOptions:
    return ModelOptions(density_scale=method.recipe.density_scale, largest_count=LARGEST_COUNT)


def _recipe(method: Method) -> str:
    json.dumps(method.recipe.as_json())
    import keras

    for stage in method.recipe.stages:
        keras.optimizers.get({"class_name": stage.optimizer, "config": {"learning_rate": 1.0, **stage.options}})
    crop = method.recipe.crop
    sides = () if crop is None else (crop,) if isinstance(crop, int) else crop
    for side in sides:
        assert side % method.side_multiple == 0, (
            f"its crops have sides of {side} px, its network wants multiples of {method.side_multiple}"
        )
    return f"{len(method.recipe.stages)} stages, {method.recipe.epochs} epochs, as JSON"


def _builds(method: Method) -> str:
    import keras

    from harness.training.network import matches

    network = method.build(_options(method))
    assert isinstance(network, keras.Model), f"build returned {type(network).__name__}; expected a keras.Model"
    image = network.input["image"] if isinstance(network.input, dict) else network.input
    assert tuple(image.shape) == (None, None, None, method.channels), (
        f"its input is {tuple(image.shape)}; expected (None, None, None, {method.channels}): any size, channels as declared"
    )
    outputs = named_outputs(network.output)
    assert "density" in outputs, f"its outputs are {sorted(outputs)}; one must be called 'density'"
    names = [layer.name for layer in network.layers if layer.count_params()]
    for stage in method.recipe.stages:
        trained = [
            name for name in names if not stage.trains or any(matches(name, pattern) for pattern in stage.trains)
        ]
        assert trained, f"stage {stage.name!r} trains {', '.join(stage.trains)}: no layer with weights is called so"
    return f"{network.count_params():,} weights"


def _image(method: Method, height: int, width: int, batch: int = 1) -> np.ndarray:
    generator = np.random.default_rng(height * 7 + width)
    return generator.integers(0, 255, (batch, height, width, method.channels)).astype(np.float32)


def _side(method: Method, least: int = 64) -> int:
    return -(-least // method.side_multiple) * method.side_multiple


def _any_size(method: Method) -> str:
    from harness.training.prediction import density_of

    network = inference_network(method.build(_options(method)))
    for height, width in ((_side(method), _side(method, 96)), (37, 53), (1, 1)):
        image = _image(method, height, width)[0].astype(np.uint8)
        density = density_of(network, method, image)
        expected = (-(-height // method.stride), -(-width // method.stride))
        assert density.shape == expected, f"{height}×{width} gives a density of {density.shape}; expected {expected}"
        assert np.isfinite(density).all(), f"{height}×{width} gives a density that is not finite"
    return "1×1, 37×53 and more"


def _output(method: Method) -> str:
    network = inference_network(method.build(_options(method)))
    side = _side(method)
    found = np.asarray(network.predict_on_batch(_image(method, side, 2 * side, 2)))
    expected = (2, side // method.stride, 2 * side // method.stride, 1)
    assert found.shape == expected, f"its density is {found.shape}; expected {expected} at stride {method.stride}"
    assert found.dtype == np.float32, f"its density is {found.dtype}; expected float32, whatever the precision inside"
    return f"density at stride {method.stride}, float32"


def _crops(method: Method, step: int = 0) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    side, generator = _side(method), np.random.default_rng(step)
    images = generator.integers(0, 255, (2, side, side, method.channels)).astype(np.uint8)
    points = np.full((2, 16, 4), [0, 0, 4, 1], np.float32)
    points[..., :2] = generator.uniform(0, side, (2, 16, 2))
    points[1, 9:, 3] = 0  # padding
    maps = {
        name: generator.uniform(0, 1, (2, side, side, 1)).astype(np.float32) for name in method.maps(_options(method))
    }
    return images, points, maps


def _train(method: Method) -> tuple[list[float], list[str]]:
    """Losses of a few steps, and the trainable weights that did not move in them."""
    import warnings

    from keras import ops

    from harness.training import backend
    from harness.training.network import PointTrainer

    network = method.build(_options(method))
    trainer = PointTrainer(network, method, _options(method))
    stage = Stage(optimizer="sgd", learning_rate=1.0, options={"global_clipnorm": 0.05})
    trainer.start(stage, backend.jit_compile())
    before = [ops.convert_to_numpy(weight).copy() for weight in network.trainable_weights]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Gradients do not exist")  # said below, by name
        losses = [trainer.train(*_crops(method, step)) for step in range(STEPS)]
    still = [
        weight.path
        for weight, old in zip(network.trainable_weights, before, strict=True)
        if np.array_equal(ops.convert_to_numpy(weight), old)
    ]
    return losses, still


def _gradients(method: Method) -> str:
    from harness.training import backend

    losses: list[float] = []
    still: list[str] = []
    for start in range(STARTS):
        backend.prepare(start)
        losses, dead = _train(method)
        assert np.isfinite(losses).all(), f"losses of {STEPS} steps: {losses}"
        still = dead if start == 0 else [path for path in still if path in dead]
        if not still:
            break
    assert not still, f"{len(still)} trainable weights get no gradient: {', '.join(still[:5])}"
    return f"losses {', '.join(f'{loss:.3g}' for loss in losses)}; every trainable weight moves"


def _round_trip(method: Method) -> str:
    image = _image(method, _side(method), _side(method))
    first, second = (method.build(_options(method)) for _ in range(2))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.weights.h5")
        first.save_weights(path)
        second.load_weights(path)
    first, second = inference_network(first), inference_network(second)
    _alike(_density(first, image), _density(second, image), "the output after saving and loading the weights")
    return "the same density from loaded weights"


def _repeatable(method: Method) -> str:
    network = inference_network(method.build(_options(method)))
    image = _image(method, _side(method), _side(method))
    _alike(_density(network, image), _density(network, image), "the output of a second call with training=False")
    return "training=False repeats"


def _density(network: Any, image: np.ndarray) -> np.ndarray:
    from keras import ops

    return ops.convert_to_numpy(named_outputs(network(image, training=False))["density"])


def _inference(method: Method) -> str:
    network = method.build(_options(method))
    cut = inference_network(network)
    assert not isinstance(cut.input, dict) and not isinstance(cut.output, dict), "it still has other inputs or outputs"
    image = _image(method, _side(method), _side(method))
    if not isinstance(network.input, dict):
        _alike(
            _density(network, image), _density(cut, image), "the density of the network without its training-only parts"
        )
    names = {layer.name for layer in cut.layers}
    alone = [layer for layer in network.layers if layer.name not in names and layer.count_params()]
    return f"{cut.count_params():,} weights, {len(alone)} layers for training alone are left out"


def _alike(first: np.ndarray, second: np.ndarray, what: str) -> None:
    difference = float(np.abs(first - second).max())
    scale = float(np.abs(first).max()) + 1e-12
    assert difference <= ROUND_OFF * scale, f"{what} differs by {difference:g}"


def _step_elsewhere(method: Method, backend_name: str, files: list[Path]) -> str:
    """A few steps in a process of its own, the method found by its name."""
    done = subprocess.run(
        [sys.executable, "-m", "harness.testing", method.name, *map(str, files)],
        env={**os.environ, "KERAS_BACKEND": backend_name},
        capture_output=True,
        text=True,
    )
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert done.returncode == 0, lines[-1] if lines else f"exit status {done.returncode}"
    losses = json.loads(done.stdout.splitlines()[-1])
    assert np.isfinite(losses).all(), f"losses {losses}"
    return f"losses {', '.join(f'{loss:.3g}' for loss in losses)}"


def _main(name: str, *files: str) -> None:
    from harness.host.plugins import load_host
    from harness.training import backend

    backend.start()
    backend.prepare(0)
    print(json.dumps(_train(load_host(map(Path, files)).method(name))[0]))


if __name__ == "__main__":
    _main(*sys.argv[1:])
