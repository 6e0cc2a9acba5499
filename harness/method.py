"""What a paper contributes: a `Method` and its `Recipe`, both plain values."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from harness.bounds import must_be
from harness.errors import HarnessError, one_line
from harness.label_map import LabelMap
from harness.nn.batch import FRAME, REGION
from harness.recipe import Recipe

if TYPE_CHECKING:
    import keras

    from harness.nn.batch import Batch


# Of methods and variants: commands, folders and files have them, and [ and ] are round a variant.
NAME = re.compile(r"[^][,/\\\s]([^][,/\\]*[^][,/\\\s])?")
OUTSIDE = ("mask", "blur")


@dataclass(frozen=True)
class ModelOptions:
    """What a method's `build` is given.

    Attributes:
        variant: the options of the chosen variant; empty for the method itself.
        pretrained: "none", "imagenet", or the path of a weights file; "none" for methods without a pretrained part.
        density_scale: the network's last layer predicts heads a pixel × this (see `Recipe`) and must be multiplied with
            `heads_a_cell(stride)`, unless its paper gives it a unit of its own, as SASNet's does.
        largest_count: heads in the fullest of the images trained and validated on; 0 where nothing is trained. Losses may
            use it; `build` must not.
    """

    variant: Mapping[str, Any] = field(default_factory=dict)
    pretrained: str = "none"
    density_scale: float = 1.0
    largest_count: float = 0.0

    def heads_a_cell(self, stride: int) -> float:
        """What a last layer of `stride` is multiplied with to give heads a cell: stride² / density_scale."""
        return stride**2 / self.density_scale


@dataclass(frozen=True)
class Variant:
    """An ablation row of the paper: options for `build` and `loss`, and where the paper reports it.

    Options are JSON values by name, for they stand in records and weights files; a tuple is a list from then on.
    """

    options: Mapping[str, Any]
    description: str = ""

    def __post_init__(self) -> None:
        must_be("variant", "options", self.options, Mapping, "a mapping of names to JSON values")
        object.__setattr__(self, "options", {name: _as_json(name, value) for name, value in self.options.items()})


@dataclass(frozen=True)
class Method:
    """A crowd-counting method, as a value with plain functions in it.

    Attributes:
        name: what the command line calls it ("mcnn"); without brackets, commas and slashes.
        title: what tables call it ("MCNN").
        citation: authors, title, venue, year.
        build: options → a functional `keras.Model` from float32 [B, H, W, channels] (values 0–255, as in the file) to a
            density map float32 [B, H/stride, W/stride, 1] whose sum is the count, or to a dict of outputs of which
            "density" is that map. H and W are multiples of `multiple_of`. A method that says where heads are has "points"
            beside it, float32 [B, H/stride, W/stride, 3·K]: K candidates (x, y, score) a cell, x and y in pixels from the
            cell's upper left corner, which may lie outside it, score from 0 to 1. Those of a score of at least 0.5 are its
            points, and its density is their number in each cell.
        loss: (batch, outputs, options) → named scalar terms, each a mean over the batch. Their weighted sum is minimised.
            `outputs` is always a dict.
        recipe: what the paper did.
        recipes: what it did otherwise on some benchmarks (by their names), each a whole recipe.
        stride: input pixels a side of a density cell.
        multiple_of: image sides must be a multiple of this; 0 means `stride`.
        channels: 3 for RGB, 1 for grey.
        outside: what is done to pictures outside a benchmark's region of interest: "mask" (black) or "blur".
        margin: pixels around a tile that can influence its density (the receptive field's radius), for images too
            large to predict whole.
        local: whether nothing beyond the margin influences it. False for networks that pool over the whole picture, or
            whose resizing depends on its size: they are predicted whole up to a larger size.
        unit: where its last layer predicts heads a pixel × a unit of its paper's own under every recipe, that unit; 0 where it
            follows `density_scale`.
        pretrained: name of the pretrained part ("vgg16", "vgg19", "mobilenet_v2"), or None. Under `common` a network that
            begins from published weights is tuned at a rate of its own (`FINE_TUNING`).
        variants: the paper's ablation rows by name.
        teach: (batch, options) → further inputs by name that the network is given in training alone (a true mask, say).
            Its "density" must not depend on them. Such a network's inputs are a dict of "image" and these.
        label_maps: options → rasters by name that the loss finds in `Batch.maps` (a depth for each pixel, say).
        learned: trained network → numbers worth keeping in the record (loss weights that it learned, say).
        backend: "torch", "jax" or "tensorflow" where its network needs that one (`harness.nn.torch_module`): it then runs on
            it, whatever KERAS_BACKEND says. "" for networks and losses of `keras.ops`, which run on any.
    """

    name: str
    title: str
    citation: str
    build: Callable[[ModelOptions], keras.Model]
    loss: Callable[[Batch, Mapping[str, Any], ModelOptions], Mapping[str, Any]]
    recipe: Recipe
    stride: int
    multiple_of: int = 0
    channels: int = 3
    outside: str = "mask"
    margin: int = 128
    local: bool = True
    unit: float = 0.0
    pretrained: str | None = None
    variants: Mapping[str, Variant] = field(default_factory=dict)
    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    teach: Callable[[Batch, ModelOptions], Mapping[str, Any]] | None = None
    label_maps: Callable[[ModelOptions], Mapping[str, LabelMap]] | None = None
    learned: Callable[[keras.Model], Mapping[str, float]] | None = None
    backend: str = ""

    def __post_init__(self) -> None:
        owner = f"method {self.name!r}"
        must_be(owner, "variants", self.variants, Mapping, "a mapping of names to harness.Variant")
        must_be(owner, "recipes", self.recipes, Mapping, "a mapping of datasets to harness.Recipe")
        parts: tuple[tuple[str, Mapping[str, Any], type], ...] = (
            ("variant", self.variants, Variant),
            ("recipe for", self.recipes, Recipe),
            ("recipe", {"paper": self.recipe}, Recipe),
        )
        for what, given, kind in parts:
            for key, value in given.items():
                if not isinstance(value, kind):
                    raise TypeError(
                        f"{owner}: {what} {key!r} is a {type(value).__name__}; expected harness.{kind.__name__}"
                    )
        for name in (self.name, *self.variants):
            must_be(owner, "the name of it or of a variant", name, str, "a word")
            if not NAME.fullmatch(name):
                raise ValueError(
                    f"{owner}: {name!r} cannot be a name; expected one without [ ] , / \\ and blanks at its ends"
                )
        if self.name == "all":
            raise ValueError(f"{owner}: 'all' stands for every method; expected another name")
        for name in ("stride", "multiple_of", "margin"):
            must_be(owner, name, getattr(self, name), int, "a whole number of pixels")
        for name, holds, expected in (
            ("stride", self.stride >= 1, "at least 1"),
            (
                "multiple_of",
                self.multiple_of % max(self.stride, 1) == 0,
                f"a multiple of its stride, {self.stride}, or 0",
            ),
            ("margin", self.margin >= 0, "at least 0"),
            ("channels", self.channels in (1, 3), "3 for RGB or 1 for grey"),
            ("outside", self.outside in OUTSIDE, " or ".join(map(repr, OUTSIDE))),
        ):
            if not holds:
                raise ValueError(f"{owner}: {name} is {getattr(self, name)!r}; expected {expected}")
        for recipe in (self.recipe, *self.recipes.values()):
            recipe.check_asked()

    def recipe_for(self, benchmark: str) -> Recipe:
        """What the paper did on the benchmark of this name."""
        return self.recipes.get(benchmark, self.recipe)

    def taught(self, batch: Batch, options: ModelOptions) -> Mapping[str, Any]:
        """The training-only inputs of one step; none for most methods."""
        return self.teach(batch, options) if self.teach else {}

    def maps(self, options: ModelOptions) -> Mapping[str, LabelMap]:
        """The label maps of one run; none for most methods.

        Raises:
            HarnessError: they cannot be had, are none, or one has a name that the harness uses.
        """
        try:
            maps = self.label_maps(options) if self.label_maps else {}
        except Exception as error:
            raise HarnessError(f"method {self.name}: label_maps raised {one_line(error)}") from error
        if not isinstance(maps, Mapping) or not all(isinstance(one, LabelMap) for one in maps.values()):
            raise HarnessError(
                f"method {self.name}: label_maps gave {maps!r}; expected names with a harness.LabelMap each"
            )
        if taken := sorted(maps.keys() & {REGION, FRAME}):
            raise HarnessError(
                f"method {self.name}: label map {taken[0]!r}: the harness' own map has this name; give it another"
            )
        return maps

    @property
    def side_multiple(self) -> int:
        return self.multiple_of or self.stride


def _as_json(name: str, value: Any) -> Any:
    """`value` as JSON gives it back, so that training and whoever loads the weights see the same.

    Raises:
        TypeError: JSON has no such value, or would give back another.
    """
    must_be("variant", "the name of an option", name, str, "a word")
    try:
        found = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        raise TypeError(f"variant: option {name!r} is {value!r}; expected a JSON value") from None
    if found != _listed(value):
        raise TypeError(
            f"variant: option {name!r} is {value!r}, which JSON gives back as {found!r}; expected one it keeps"
        )
    return found


def _listed(value: Any) -> Any:
    """`value` with lists for tuples, at any depth."""
    if isinstance(value, tuple | list):
        return [_listed(one) for one in value]
    return {key: _listed(one) for key, one in value.items()} if isinstance(value, dict) else value


def inference_network(network: keras.Model) -> keras.Model:
    """`network` cut down to image → density, once: training-only heads and inputs fall out of the graph.

    Of a network with "points" it gives a dict of "density" and "points".
    """
    import keras

    if network in _INFERENCE:
        return _INFERENCE[network]
    taught = isinstance(network.input, dict)
    if not taught and not isinstance(network.output, dict):
        return network
    image = network.input["image"] if taught else network.input
    outputs = named_outputs(network.output)
    given = {name: outputs[name] for name in ("density", "points")} if "points" in outputs else outputs["density"]
    return _INFERENCE.setdefault(network, keras.Model(image, given, name=f"{network.name}_inference"))


def __getattr__(name: str) -> Any:
    """What was here before recipes had a module of their own."""
    from harness import recipe

    if name in ("Stage", "Sigma", "COMMON", "FINE_TUNING", "common_recipe"):
        return getattr(recipe, name)
    raise AttributeError(f"module 'harness.method' has no attribute {name!r}")


_INFERENCE: WeakKeyDictionary = WeakKeyDictionary()  # made once, so that what is compiled for it is compiled once


def named_outputs(outputs: Any) -> Mapping[str, Any]:
    """A network's outputs as the dict that losses take."""
    return outputs if isinstance(outputs, dict) else {"density": outputs}
