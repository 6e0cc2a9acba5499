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
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import HarnessError, one_line
from harness.method import Method, ModelOptions, inference_network, named_outputs
from harness.recipe import Stage
from harness.run import in_brackets, out_of_brackets
from harness.training.backend import BACKENDS

if TYPE_CHECKING:
    from harness.host.plugins import Host

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
        method: a method's name, with a variant in brackets to check that ("sasnet[no_pra]"), or the value itself.
        plugin_files: files that bring it, where it is not installed.
        backends: on which it must do a step; where None its own (`Method.backend`), else those that are installed.

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
    """Runs the checks one by one.

    Once the network builds and its output is as declared, each is tried whatever became of those before it.
    """
    from harness.host.plugins import load_host
    from harness.runs.plan import parse_method
    from harness.training import backend
    from harness.training.chosen import use_for

    files = [Path(file).resolve() for file in plugin_files]
    host = load_host(files)
    name, variant = parse_method(host, method) if isinstance(method, str) else (method.name, "")
    chosen = host.method(name) if isinstance(method, str) else method
    options = _options(chosen, variant)
    use_for(chosen)
    backend.start()
    backend.prepare(0)
    yield _verdict("recipe", _recipe, chosen)
    try:
        network = _builds(chosen, options)
    except HarnessError as error:
        yield Verdict("builds", False, str(error))
        return
    yield Verdict("builds", True, f"{network.count_params():,} weights")
    output = _verdict("output", partial(_output, network=network), chosen)
    if not output.ok:  # the others would say the same again, each in its own words
        yield replace(output, message=f"{output.message}. The other checks wait for this one")
        return
    yield output
    for what, check in (
        ("any size", _any_size),
        ("margin", _margin),
        ("loss", _loss),
        ("names", _names),
        ("density scale", _scale),
        ("loss and gradients", _gradients),
        ("save and load", _round_trip),
        ("same output twice", _repeatable),
        ("inference network", _inference),
    ):
        yield _verdict(what, partial(check, network=network, options=options), chosen)
    if chosen.variants and not variant:
        yield _verdict("variants", _variants, chosen)
    if isinstance(method, str):
        yield _verdict("published numbers", partial(_published, host=host), chosen)
    those = [chosen.backend] if chosen.backend else filter(importlib.util.find_spec, BACKENDS)
    for one in backends if backends is not None else those:
        yield _verdict(
            f"a step on {one}", partial(_step_elsewhere, variant=variant, backend_name=one, files=files), chosen
        )


def _verdict(name: str, check: Callable[[Method], str], method: Method) -> Verdict:
    try:
        return Verdict(name, True, check(method))
    except (AssertionError, HarnessError) as error:
        return Verdict(name, False, str(error) or "failed")
    except Exception as error:
        return Verdict(name, False, one_line(error))


def _options(method: Method, variant: str = "") -> ModelOptions:
    chosen = method.variants[variant].options if variant else {}
    return ModelOptions(dict(chosen), density_scale=method.recipe.density_scale, largest_count=LARGEST_COUNT)


def _recipe(method: Method) -> str:
    from harness.training import optimizers

    for where, recipe in {"": method.recipe, **method.recipes}.items():
        of = f"the recipe for {where!r}: " if where else ""
        json.dumps(recipe.as_json())
        try:
            optimizers.check(recipe)
        except HarnessError as error:
            raise HarnessError(f"{of}{error}") from None
        sides = () if recipe.crop is None else (recipe.crop,) if isinstance(recipe.crop, int) else recipe.crop
        for side in sides:
            assert side % method.side_multiple == 0, (
                f"{of}its crops have sides of {side} px, its network wants multiples of {method.side_multiple}"
            )
    return f"{len(method.recipe.stages)} stages, {method.recipe.epochs} epochs, as JSON"


def _builds(method: Method, options: ModelOptions) -> Any:
    from harness.training import soundness

    return soundness.built(method, options)


def _output(method: Method, network: Any) -> str:
    from harness.training import soundness

    soundness.check_density(method, network)
    points = " and points" if "points" in named_outputs(network.output) else ""
    return f"density{points} at stride {method.stride}, float32"


def _loss(method: Method, network: Any, options: ModelOptions) -> str:
    from harness.training import soundness

    return f"terms {', '.join(soundness.check_loss(method, network, options))}"


def _names(method: Method, network: Any, options: ModelOptions) -> str:
    """Of the paper's recipe, and of those it has for single benchmarks."""
    from harness.training import soundness

    terms = soundness.check_loss(method, network, options)
    layers, named = soundness.names_to_name(method, network, terms, options)
    for recipe in (method.recipe, *method.recipes.values()):
        soundness.check_names(method, layers, named, recipe)
    return "every name in its stages is a term's or a layer's"


def _scale(method: Method, network: Any, options: ModelOptions) -> str:
    from harness.training import soundness

    soundness.check_scale(method, network, options)
    if "points" in named_outputs(network.output):
        return "a number of points has none"
    return "a unit of its own" if method.unit else "follows density_scale"


def _side(method: Method, least: int = 64) -> int:
    from harness.training import soundness

    return soundness.side(method, least)


def _image(method: Method, height: int, width: int) -> np.ndarray:
    generator = np.random.default_rng(height * 7 + width)
    return generator.integers(0, 255, (1, height, width, method.channels)).astype(np.float32)


def _any_size(method: Method, network: Any, options: ModelOptions) -> str:
    from harness.training.any_size import check_any_size
    from harness.training.prediction import density_of

    check_any_size(method, network, options, method.recipe)
    network = inference_network(network)
    for height, width in ((_side(method), _side(method, 96)), (37, 53), (1, 1)):
        image = _image(method, height, width)[0].astype(np.uint8)
        try:
            density = density_of(network, method, image)
        except Exception as error:
            if height > 1:
                raise
            # No benchmark has such a picture, and instance normalisation, for one, is not defined there.
            return f"37×53 and more; not 1×1: {one_line(error)}"
        expected = (-(-height // method.stride), -(-width // method.stride))
        assert density.shape == expected, f"{height}×{width} gives a density of {density.shape}; expected {expected}"
        assert np.isfinite(density).all(), f"{height}×{width} gives a density that is not finite"
    return "1×1, 37×53 and more"


def _margin(method: Method, network: Any, options: ModelOptions) -> str:
    from harness.training.reach import check_margin

    check_margin(method, network)
    return f"no change beyond {method.margin} px was seen" if method.local else "depends on the whole picture"


def _train(method: Method, options: ModelOptions) -> tuple[list[float], list[str]]:
    """Losses of a few steps, and the trainable weights that did not move in them."""
    import warnings

    from keras import ops

    from harness.training import backend, soundness
    from harness.training.network import PointTrainer

    network = method.build(options)
    trainer = PointTrainer(network, method, options)
    stage = Stage(optimizer="sgd", learning_rate=1.0, options={"global_clipnorm": 0.05})
    trainer.start(stage, backend.jit_compile())
    before = [ops.convert_to_numpy(weight).copy() for weight in network.trainable_weights]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Gradients do not exist")  # said below, by name
        losses = [trainer.train(*soundness.crops(method, options, step)) for step in range(STEPS)]
    still = [
        weight.path
        for weight, old in zip(network.trainable_weights, before, strict=True)
        if np.array_equal(ops.convert_to_numpy(weight), old)
    ]
    return losses, still


def _gradients(method: Method, network: Any, options: ModelOptions) -> str:
    from harness.training import backend

    losses: list[float] = []
    still: list[str] = []
    for start in range(STARTS):
        backend.prepare(start)
        losses, dead = _train(method, options)
        assert np.isfinite(losses).all(), f"losses of {STEPS} steps: {losses}"
        still = dead if start == 0 else [path for path in still if path in dead]
        if not still:
            break
    assert not still, f"{len(still)} trainable weights get no gradient: {', '.join(still[:5])}"
    return f"losses {', '.join(f'{loss:.3g}' for loss in losses)}; every trainable weight moves"


def _round_trip(method: Method, network: Any, options: ModelOptions) -> str:
    image = _image(method, _side(method), _side(method))
    first, second = network, method.build(options)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.weights.h5")
        first.save_weights(path)
        second.load_weights(path)
    first, second = inference_network(first), inference_network(second)
    _alike(_density(first, image), _density(second, image), "the output after saving and loading the weights")
    return "the same density from loaded weights"


def _repeatable(method: Method, network: Any, options: ModelOptions) -> str:
    network, image = inference_network(network), _image(method, _side(method), _side(method))
    _alike(_density(network, image), _density(network, image), "the output of a second call with training=False")
    return "training=False repeats"


def _density(network: Any, image: np.ndarray) -> np.ndarray:
    from keras import ops

    return ops.convert_to_numpy(named_outputs(network(image, training=False))["density"])


def _inference(method: Method, network: Any, options: ModelOptions) -> str:
    cut = inference_network(network)
    assert not isinstance(cut.input, dict), "it still has other inputs"
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


def _variants(method: Method) -> str:
    """What a bench of them would find before any training."""
    from harness.training import soundness

    for name in method.variants:
        try:
            options = _options(method, name)
            network = soundness.built(method, options)
            soundness.check_density(method, network)
            soundness.check_loss(method, network, options)
        except HarnessError as error:
            raise AssertionError(f"{in_brackets(method.name, name)}: {error}") from None
    return f"{', '.join(method.variants)}: each builds and has a loss"


def _published(method: Method, host: Host) -> str:
    """The numbers that its plugin copies from papers: read, and of this method's names and datasets that are known."""
    from harness.reporting import published

    plugin = host.method_plugin[method.name]
    known = len(plugin.errors)
    values = [value for value in published.gather(host) if out_of_brackets(value.method)[0] == method.name]
    if plugin.errors[known:]:
        raise AssertionError(plugin.errors[known])
    for value in values:
        variant = out_of_brackets(value.method)[1]
        if variant and variant not in method.variants:
            those = ", ".join(method.variants) or "it has none"
            raise AssertionError(f"{value.table}: {value.method!r} is none of its variants ({those})")
        # A dataset may be of a plugin that is not here; one that is spelt otherwise is a mistake.
        near = next((name for name in host.benchmarks if _letters(name) == _letters(value.dataset)), None)
        if near and value.dataset not in host.benchmarks:
            raise AssertionError(f"{value.table}: dataset {value.dataset!r} is unknown. Did you mean {near!r}?")
    return f"{len(values)} of it" if values else "none of it"


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def _step_elsewhere(method: Method, variant: str, backend_name: str, files: list[Path]) -> str:
    """A few steps in a process of its own, the method found by its name."""
    name = in_brackets(method.name, variant)
    done = subprocess.run(
        [sys.executable, "-m", "harness.testing", name, *map(str, files)],
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
    from harness.runs.plan import parse_method
    from harness.training import backend

    backend.start()
    backend.prepare(0)
    from harness.training.any_size import check_any_size

    try:
        host = load_host(map(Path, files))
        method_name, variant = parse_method(host, name)
        method = host.method(method_name)
        options = _options(method, variant)
        check_any_size(method, _builds(method, options), options, method.recipe)
        print(json.dumps(_train(method, options)[0]))
    except HarnessError as error:
        raise SystemExit(str(error)) from None
    except Exception as error:  # JAX ends its tracebacks with a note on itself: the one line that counts is said here
        raise SystemExit(one_line(error)) from None


if __name__ == "__main__":
    _main(*sys.argv[1:])
