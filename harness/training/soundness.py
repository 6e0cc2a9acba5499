"""What every method must do before its numbers mean anything: seconds to find out, and each cell begins with it.

Each check raises `InvalidMethodError` with one line: what was found, what is expected, and the plugin's own file and line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from keras import ops

from harness.errors import InvalidMethodError, nearest
from harness.localisation import ACCEPTED
from harness.method import Method, ModelOptions, inference_network, named_outputs
from harness.nn.batch import FRAME, REGION, Batch
from harness.recipe import Recipe
from harness.training import backend
from harness.training.any_size import check_any_size
from harness.training.complaints import called, wrong
from harness.training.network import fed, matches

LEAST_SIDE = 64  # pixels
LARGEST_COUNT = 40.0
ROUND_OFF = 1e-3


def check(method: Method, options: ModelOptions, recipe: Recipe) -> tuple[str, ...]:
    """Builds the method's network (without pretrained weights), tries it and its loss on drawn noise; the names of its terms.

    Raises:
        InvalidMethodError: it is not what `harness.Method` describes.
    """
    options = replace(options, pretrained="none", largest_count=options.largest_count or LARGEST_COUNT)
    network = built(method, options)
    check_density(method, network)
    check_repeats(method, network)
    terms = check_loss(method, network, options)
    check_names(method, *names_to_name(method, network, terms, options), recipe)
    check_scale(method, network, options)
    check_any_size(method, network, options, recipe)
    return terms


def names_to_name(
    method: Method, network: keras.Model, terms: Iterable[str], options: ModelOptions
) -> tuple[set[str], set[str]]:
    """The layers and the terms of the loss that a recipe may name: those of a variant, and of the method without one."""
    layers, named = names_of_layers(network), set(terms)
    if options.variant:  # a recipe may name what a variant leaves out
        whole = replace(options, variant={})
        of_method = built(method, whole)
        layers, named = layers | names_of_layers(of_method), named | {*check_loss(method, of_method, whole)}
    return layers, named


def built(method: Method, options: ModelOptions) -> keras.Model:
    """The network: a Keras model from any size of image, with a "density"."""
    network = called(method, "build", method.build, options)
    if not isinstance(network, keras.Model):
        raise wrong(method, method.build, f"build returned {type(network).__name__}; expected a keras.Model")
    inputs = getattr(network, "input", None)  # Keras raises AttributeError where there is none
    if inputs is None:
        raise wrong(
            method,
            method.build,
            f"build returned a {type(network).__name__} without inputs; expected a functional keras.Model",
        )
    image = inputs["image"] if isinstance(inputs, dict) else inputs
    if tuple(image.shape) != (None, None, None, method.channels):
        raise wrong(
            method,
            method.build,
            f"its input is {tuple(image.shape)}; expected (None, None, None, {method.channels}): any size, the channels it "
            f"declares",
        )
    outputs = named_outputs(network.output)
    if not isinstance(outputs, Mapping) or "density" not in outputs:
        found = sorted(outputs) if isinstance(outputs, Mapping) else type(outputs).__name__
        raise wrong(method, method.build, f"its outputs are {found}; one must be called 'density'")
    return network


def side(method: Method, least: int = LEAST_SIDE) -> int:
    """The least multiple of what the network wants that is at least `least` pixels."""
    return -(-least // method.side_multiple) * method.side_multiple


def crops(method: Method, options: ModelOptions, seed: int = 0) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Two crops of noise with sixteen and nine heads, and noise for label maps: what `PointTrainer.train` takes."""
    length, generator = side(method), np.random.default_rng(seed)
    images = generator.integers(0, 255, (2, length, length, method.channels)).astype(np.uint8)
    points = np.full((2, 16, 4), [0, 0, 4, 1], np.float32)
    points[..., :2] = generator.uniform(0, length, (2, 16, 2))
    points[1, 9:, 3] = 0  # padding
    maps = {name: generator.uniform(0, 1, (2, length, length, 1)).astype(np.float32) for name in method.maps(options)}
    maps[FRAME] = np.broadcast_to(np.array([0, 0, length, length], np.float32), (2, 1, 1, 4))
    return images, points, maps


def check_density(method: Method, network: keras.Model) -> None:
    """Its map has one channel, the declared stride, and is float32; where it has points, the map is their number."""
    length = side(method)
    images = np.random.default_rng(1).integers(0, 255, (2, length, 2 * length, method.channels)).astype(np.float32)
    outputs = forward(method, network, images)
    density = outputs["density"]
    expected = (2, length // method.stride, 2 * length // method.stride, 1)
    if tuple(density.shape) != expected:
        raise wrong(
            method,
            method.build,
            f"its density of a {length}×{2 * length} image is {tuple(density.shape)}; expected {expected}: one channel at the "
            f"declared stride of {method.stride}",
        )
    _check_float32(method, "density is", density)
    if "points" in outputs:
        _check_points(method, outputs["points"], ops.convert_to_numpy(density)[..., 0], 2 * length)


def _check_float32(method: Method, what: str, output: Any) -> None:
    dtype = keras.backend.standardize_dtype(output.dtype)
    if dtype != "float32":
        raise wrong(method, method.build, f"its {what} {dtype}; expected float32, whatever the precision inside")


def _check_points(method: Method, points: Any, density: np.ndarray, width: int) -> None:
    """Its candidates are float32 [B, h, w, 3·K] with scores from 0 to 1, and `density` [B, h, w] counts those it accepts."""
    shape, cells = tuple(points.shape), density.shape
    if shape[:3] != cells or len(shape) != 4 or not shape[3] or shape[3] % 3:
        raise wrong(
            method,
            method.build,
            f"its points of a {width // 2}×{width} image are {shape}; expected ({', '.join(map(str, cells))}, 3·K): "
            f"K times x, y, score a cell",
        )
    _check_float32(method, "points are", points)
    values = ops.convert_to_numpy(points).reshape(*cells, -1, 3)
    scores = values[..., 2]
    odd = ~np.isfinite(values).all(axis=-1) | (scores < 0) | (scores > 1)
    if odd.any():
        x, y, score = values[odd][0]
        raise wrong(
            method,
            method.build,
            f"one of its points is x {x:g}, y {y:g}, score {score:g}; expected finite numbers and a score from 0 to 1",
        )
    counted = (scores >= ACCEPTED).sum(axis=-1)
    if np.abs(counted - density).max() > ROUND_OFF:
        found, expected_number = density.sum(), counted.sum()
        raise wrong(
            method,
            method.build,
            f"its density counts {found:.6g} heads, but {expected_number} of its points have a score of at least {ACCEPTED:g}; "
            f"expected their number in each cell",
        )


def check_loss(method: Method, network: keras.Model, options: ModelOptions, region: bool = False) -> tuple[str, ...]:
    """Its loss is a mapping from names to finite scalars; returns the names.

    Args:
        region: whether the crops have a region of interest, their left half, as those of some benchmarks have.
    """
    images, points, maps = crops(method, options)
    if region:
        maps[REGION] = np.zeros((*images.shape[:3], 1), np.float32)
        maps[REGION][:, :, : images.shape[2] // 2] = 1
    batch = Batch(
        ops.convert_to_tensor(images),
        ops.convert_to_tensor(points),
        {k: ops.convert_to_tensor(v) for k, v in maps.items()},
    )
    outputs = named_outputs(called(method, "its network", network, fed(method, network, batch, options)))
    try:
        terms = called(method, "loss", method.loss, batch, outputs, options)
    except InvalidMethodError as error:
        if not isinstance(error.__cause__, KeyError):
            raise
        there = f"outputs are {', '.join(sorted(outputs))}, maps are {', '.join(sorted(maps))}"
        raise InvalidMethodError(f"{error}; {there} (and {REGION}, where a benchmark has one)") from error.__cause__
    if not isinstance(terms, Mapping) or not terms:
        shape = f" of shape {tuple(terms.shape)}" if hasattr(terms, "shape") else ""
        raise wrong(
            method, method.loss, f"loss returned a {type(terms).__name__}{shape}; expected a dict of named scalar terms"
        )
    for name, term in terms.items():
        if ops.shape(term):
            raise wrong(
                method,
                method.loss,
                f"term {name!r} of its loss has shape {tuple(ops.shape(term))}; expected a scalar: a mean over the batch",
            )
        value = float(ops.convert_to_numpy(term))
        if not np.isfinite(value):
            raise wrong(
                method, method.loss, f"term {name!r} of its loss is {value} on the first batch; expected a number"
            )
    if network.trainable_weights and backend.cut_off(terms.values()):
        raise wrong(
            method,
            method.loss,
            f"no term of its loss ({', '.join(terms)}) has a gradient: the network or the loss detaches its maps, or makes "
            f"them anew from numbers; compute with them as they come",
        )
    return tuple(terms)


def names_of_layers(network: keras.Model) -> set[str]:
    """Those of the layers that have weights."""
    return {layer.name for layer in network.layers if layer.count_params()}


def check_names(method: Method, layers: set[str], terms: set[str], recipe: Recipe) -> None:
    """Every name in the recipe's stages is that of a term, or of a layer with weights."""
    for stage in recipe.stages:
        for name in stage.loss_weights:
            if name not in terms:
                raise wrong(
                    method,
                    method.loss,
                    f"stage {stage.name!r} weighs the term {name!r}, which its loss does not return.{nearest(name, terms)}",
                )
        asked = [("trains", pattern) for pattern in stage.trains] + [("sets the rate of", name) for name in stage.rates]
        for what, pattern in asked:
            if not any(matches(name, pattern) for name in layers):
                raise wrong(
                    method,
                    method.build,
                    f"stage {stage.name!r} {what} {pattern!r}: no layer with weights is called so.{nearest(pattern, layers)}",
                )


def check_repeats(method: Method, network: keras.Model) -> None:
    """Outside training the same image has the same density twice; the checks that compare two densities rest on it."""
    length = side(method)
    images = np.random.default_rng(3).integers(0, 255, (1, length, length, method.channels)).astype(np.float32)
    first, second = (ops.convert_to_numpy(forward(method, network, images)["density"]) for _ in range(2))
    if np.abs(first - second).max() > 1e-4 * max(np.abs(first).max(), 1e-6):
        raise wrong(
            method,
            method.build,
            "a second call with training=False gives another density of the same image; expected no chance and no state "
            "outside training",
        )


def check_scale(method: Method, network: keras.Model, options: ModelOptions) -> None:
    """With twice the density scale and the same weights the map is half as large; the same with a unit of its own or points."""
    twice = built(method, replace(options, density_scale=2 * options.density_scale))
    twice.set_weights(network.get_weights())
    length = side(method)
    images = np.random.default_rng(2).integers(0, 255, (1, length, length, method.channels)).astype(np.float32)
    outputs = [forward(method, each, images) for each in (network, twice)]
    first, second = (ops.convert_to_numpy(each["density"]) for each in outputs)
    size = float(np.abs(first).max())
    expected, advice = 0.5, "multiply the last layer's output with options.heads_a_cell(stride), or declare Method.unit"
    if method.unit:
        expected, advice = 1.0, f"it declares a unit of its own ({method.unit:g})"
    elif "points" in outputs[0]:
        expected, advice = 1.0, "a number of points has no scale"
    if size and np.abs(second - expected * first).max() > ROUND_OFF * size:
        found = np.abs(second).sum() / np.abs(first).sum()
        raise wrong(
            method,
            method.build,
            f"with twice the density_scale its map is {found:.3g} times as large; expected {expected}: {advice}",
        )


def forward(method: Method, network: keras.Model, images: np.ndarray) -> Mapping[str, Any]:
    """The outputs of `network` for images [B, H, W, C] by name, outside training; a network's own errors name the method."""
    if isinstance(network.input, dict):
        network = inference_network(network)
    return named_outputs(called(method, "its network", lambda values: network(values, training=False), images))
