"""What the kit tries of a method, a function a check: each returns what it saw, and raises where that is not right."""

from __future__ import annotations

import difflib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import HarnessError, last_line, one_line
from harness.method import Method, ModelOptions, inference_network, named_outputs
from harness.recipe import Stage
from harness.run import in_brackets, out_of_brackets

if TYPE_CHECKING:
    from harness.host.plugins import Host

STEPS = 4
STARTS = 3  # a unit that is dead by the chance of its start is not dead from every start
LARGEST_COUNT = 40.0
ROUND_OFF = 1e-4


def options_of(method: Method, variant: str = "") -> ModelOptions:
    chosen = method.variants[variant].options if variant else {}
    return ModelOptions(dict(chosen), density_scale=method.recipe.density_scale, largest_count=LARGEST_COUNT)


def try_recipe(method: Method, datasets: Sequence[str]) -> str:
    """Of the paper, and for single datasets: in training's own words, with names of datasets that are known or unlike them."""
    from harness.training import optimizers

    for where, recipe in {"": method.recipe, **method.recipes}.items():
        of = f"the recipe for {where!r}: " if where else ""
        if where and where not in datasets and (hint := _near(where, datasets)):
            raise AssertionError(f"{of}no dataset is called so. Did you mean {hint!r}?")
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


def builds(method: Method, options: ModelOptions) -> Any:
    from harness.training import soundness

    return soundness.built(method, options)


def try_output(method: Method, network: Any) -> str:
    from harness.training import soundness

    soundness.check_density(method, network)
    points = " and points" if "points" in named_outputs(network.output) else ""
    return f"density{points} at stride {method.stride}, float32"


def try_loss(method: Method, network: Any, options: ModelOptions) -> str:
    from harness.training import soundness

    terms = soundness.check_loss(method, network, options)
    try:
        soundness.check_loss(method, network, options, region=True)
    except HarnessError as error:
        raise HarnessError(f"on crops with a region of interest: {error}") from None
    return f"terms {', '.join(terms)}; with a region of interest too"


def try_names(method: Method, network: Any, options: ModelOptions) -> str:
    """Of the paper's recipe, and of those it has for single benchmarks."""
    from harness.training import soundness

    terms = soundness.check_loss(method, network, options)
    layers, named = soundness.names_to_name(method, network, terms, options)
    for recipe in (method.recipe, *method.recipes.values()):
        soundness.check_names(method, layers, named, recipe)
    return "every name in its stages is a term's or a layer's"


def try_scale(method: Method, network: Any, options: ModelOptions) -> str:
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


def try_any_size(method: Method, network: Any, options: ModelOptions) -> str:
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


def try_margin(method: Method, network: Any, options: ModelOptions) -> str:
    from harness.training.reach import check_margin

    check_margin(method, network)
    return f"no change beyond {method.margin} px was seen" if method.local else "depends on the whole picture"


def train(method: Method, options: ModelOptions) -> tuple[list[float], list[str]]:
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


def try_gradients(method: Method, network: Any, options: ModelOptions) -> str:
    from harness.training import backend

    losses: list[float] = []
    still: list[str] = []
    for start in range(STARTS):
        backend.prepare(start)
        losses, dead = train(method, options)
        assert np.isfinite(losses).all(), f"losses of {STEPS} steps: {losses}"
        still = dead if start == 0 else [path for path in still if path in dead]
        if not still:
            break
    assert not still, f"{len(still)} trainable weights get no gradient: {', '.join(still[:5])}"
    return f"losses {', '.join(f'{loss:.3g}' for loss in losses)}; every trainable weight moves"


def try_round_trip(method: Method, network: Any, options: ModelOptions) -> str:
    image = _image(method, _side(method), _side(method))
    first, second = network, method.build(options)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.weights.h5")
        first.save_weights(path)
        second.load_weights(path)
    first, second = inference_network(first), inference_network(second)
    _alike(_density(first, image), _density(second, image), "the output after saving and loading the weights")
    return "the same density from loaded weights"


def try_repeatable(method: Method, network: Any) -> str:
    from harness.training import soundness

    soundness.check_repeats(method, network)
    return "training=False repeats"


def _density(network: Any, image: np.ndarray) -> np.ndarray:
    from keras import ops

    return ops.convert_to_numpy(named_outputs(network(image, training=False))["density"])


def try_inference(method: Method, network: Any, options: ModelOptions) -> str:
    cut = inference_network(network)
    assert not isinstance(cut.input, dict), "it still has other inputs"
    if method.teach and not method.variants:  # of which one may be what is taught
        assert isinstance(network.input, dict), (
            "it has teach, but one input; expected a dict of 'image' and what teach gives"
        )
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


class Noting(dict[str, Any]):
    """Options of a variant that note in `read` which were looked at; all, where somebody goes through them."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.read.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.read.add(name)
        return super().get(name, default)

    def __contains__(self, name: object) -> bool:
        self.read.add(str(name))
        return super().__contains__(name)

    def __iter__(self) -> Iterator[str]:
        self.read.update(super().keys())
        return super().__iter__()

    def _all(self) -> dict[str, Any]:
        self.read.update(dict.keys(self))
        return dict(zip(dict.keys(self), dict.values(self), strict=True))

    def keys(self) -> Any:
        return self._all().keys()

    def values(self) -> Any:
        return self._all().values()

    def items(self) -> Any:
        return self._all().items()

    def __eq__(self, other: object) -> bool:
        return self._all() == other

    __hash__ = None  # type: ignore[assignment]


def try_variants(method: Method) -> str:
    """What a bench of them would find before any training."""
    from harness.training import soundness

    for name in method.variants:
        try:
            options = options_of(method, name)
            given = options.variant
            noting = Noting(given)
            options = replace(options, variant=noting)
            network = soundness.built(method, options)
            soundness.check_density(method, network)
            soundness.check_loss(method, network, options)
            if unread := sorted(given.keys() - noting.read):
                raise HarnessError(f"nothing looks at its option {unread[0]!r}; expected build or loss to")
        except HarnessError as error:
            raise AssertionError(f"{in_brackets(method.name, name)}: {error}") from None
    return f"{', '.join(method.variants)}: each builds and has a loss"


def try_published(method: Method, host: Host) -> str:
    """The numbers that its plugin copies from papers: read, and of this method's names and datasets that are known."""
    from harness.reporting import published

    plugin = host.method_plugin[method.name]
    known = len(plugin.errors)
    brought = published.brought(host)
    if plugin.errors[known:]:
        raise AssertionError(plugin.errors[known])
    values = [value for _, value in brought if out_of_brackets(value.method)[0] == method.name]
    for value in values:
        variant = out_of_brackets(value.method)[1]
        if variant and variant not in method.variants:
            those = ", ".join(method.variants) or "it has none"
            raise AssertionError(f"{value.table}: {value.method!r} is none of its variants ({those})")
        # A dataset may be of a plugin that is not here; one that is spelt nearly so is a mistake.
        if value.dataset not in host.benchmarks and (near := _near(value.dataset, host.benchmarks)):
            raise AssertionError(f"{value.table}: dataset {value.dataset!r} is unknown. Did you mean {near!r}?")
    own = {name for name, brings in host.method_plugin.items() if brings is plugin}
    of = {out_of_brackets(value.method)[0] for brings, value in brought if brings is plugin}
    if of and not own & of:
        raise AssertionError(f"its published numbers are of {', '.join(sorted(of))}; none is of {method.name!r}")
    return f"{len(values)} of it" if values else "none of it"


def _near(name: str, known: Iterable[str]) -> str:
    """The one of `known` that `name` may be a mistake for: the same letters, or nearly; "" where there is none."""
    letters = {"".join(filter(str.isalnum, each.lower())): each for each in known}
    mine = "".join(filter(str.isalnum, name.lower()))
    close = difflib.get_close_matches(mine, letters, 1, 0.85)
    # nwpu_crowd_val, shtech_c and worldexpo15 would be others.
    other = close and (
        mine.startswith(close[0][:-1]) or close[0].startswith(mine[:-1]) or _worded(mine) == _worded(close[0])
    )
    return letters.get(mine) or (letters[close[0]] if close and not other else "")


def _worded(name: str) -> str:
    return "".join(filter(str.isalpha, name))


def try_step_elsewhere(method: Method, variant: str, backend_name: str, files: list[Path]) -> str:
    """A few steps in a process of its own, the method found by its name."""
    name = in_brackets(method.name, variant)
    done = subprocess.run(
        [sys.executable, "-m", "harness.testing.step", name, *map(str, files)],
        env={**os.environ, "KERAS_BACKEND": backend_name},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, last_line(done.stderr) or f"exit status {done.returncode}"
    losses = json.loads(done.stdout.splitlines()[-1])
    assert np.isfinite(losses).all(), f"losses {losses}"
    return f"losses {', '.join(f'{loss:.3g}' for loss in losses)}"
