"""What a paper contributes: a `Method` and its `Recipe`, both plain values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, get_args
from weakref import WeakKeyDictionary

from harness.bounds import (
    AboveZero,
    AtLeastOne,
    Finite,
    FromZero,
    Momentum,
    Probability,
    Share,
    WholeFromZero,
    out_of_bounds,
)
from harness.errors import unknown_name
from harness.head_spacing import Sigma
from harness.nn.batch import FRAME, REGION

if TYPE_CHECKING:
    import keras

    from harness.label_map import LabelMap
    from harness.nn.batch import Batch


# Fields of recipes and stages that came later, and what they are where unused: a recipe that uses none of them keeps the
# identity it had before.
LEFT_OUT: Mapping[str, Any] = {"ema": 0.0, "clip": 0.0, "rates": {}}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")  # commands, folders and files have it; [ and ] are round variants
OUTSIDE = ("mask", "blur")
Decay = Literal["constant", "cosine", "rise", "step"]


@dataclass(frozen=True)
class Stage:
    """One stretch of a run under one optimiser.

    Attributes:
        name: what logs and messages call it.
        share: its part of the run's epochs; the shares of a recipe add up to 1.
        optimizer: a name `keras.optimizers.get` knows.
        learning_rate: the rate after its warm-up and before its decay.
        options: further arguments of that optimiser ({"momentum": 0.9}).
        decay: "constant", "cosine" (to zero over the stage), "rise" (linearly to the rate over the stage: a warm-up) or "step".
        decay_factor, decay_epochs: for "step", the rate is multiplied by the factor every so many epochs.
        warmup_steps: the rate rises linearly over the first so many steps.
        trains: names (or prefixes ending in "*") of the layers that learn in this stage; empty means all. Those that `build`
            froze learn in none.
        loss_weights: what each named term of the method's loss is multiplied by; 1 where not named.
        l2: adds l2 · w to the gradient of every trainable weight w, as weight_decay of PyTorch's SGD and Adam does. (Keras'
            own `weight_decay`, an option of its optimisers, is decoupled from gradient and momentum.)
        selects: whether the checkpoint may be one of this stage's; of the last it always may.
        rates: what the learning rate of single layers is multiplied with, by names (or prefixes ending in "*"); 1 where not
            named. The first name that fits counts.
    """

    name: str = "train"
    share: Share = 1.0
    optimizer: str = "adam"
    learning_rate: AboveZero = 1e-4
    options: Mapping[str, Any] = field(default_factory=dict)
    decay: Decay = "constant"
    decay_factor: AboveZero = 0.1
    decay_epochs: AtLeastOne = 20
    warmup_steps: WholeFromZero = 0
    trains: tuple[str, ...] = ()
    loss_weights: Mapping[str, Finite] = field(default_factory=dict)
    l2: FromZero = 0.0
    selects: bool = True
    rates: Mapping[str, FromZero] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.decay not in get_args(Decay):
            raise ValueError(str(unknown_name(f"decay of stage {self.name!r}", self.decay, get_args(Decay))))
        for wrong in out_of_bounds(self):
            raise ValueError(f"stage {self.name!r}: {wrong}")


@dataclass(frozen=True)
class Recipe:
    """How a method is trained.

    Attributes:
        name: "paper", "common", or what an own one is called.
        epochs: passes over the training images.
        images_per_step, crops_per_image: a step sees their product in crops.
        crop: side of the square crops in pixels, (height, width), or None for `crop_share`.
        crop_share: crops of this share of the image's sides (0.5: a quarter of its area; 1: the whole image), or several
            shares of which each step draws one. Such crops differ in size, so `images_per_step` must be 1. Where the images
            of a run make more than eight sizes at a share, its crops have eight, none larger than the share.
        sigma: the rule for the kernels of the density targets.
        benchmark_kernels: whether the kernels of a benchmark that has its own (0.2 m on WorldExpo'10) replace `sigma` there.
        density_scale: what the last layer predicts is heads a pixel × this, whatever its stride. A density is of order 0.001
            heads a pixel; a scale of 100 keeps an optimiser's steps small against it, with weights of ordinary size. A
            scale of stride² has the layer predict heads a cell, as most official codes do.
        scales: range of the random rescaling of images.
        flip, grey: probability of mirroring, of removing colour.
        noise: standard deviation of added Gaussian noise in grey values, applied with probability 0.5.
        stages: one after another, shares adding up to 1.
        patience: stop after so many validations of a stage without improvement; 0 never stops early.
        ema: what is validated, kept and tested is an exponential moving average of the weights with this momentum (0.999),
            begun anew in each stage; 0 averages nothing.
        clip: the gradient's norm, over all weights together, is scaled down to at most this; 0 clips nothing.
    """

    name: str
    epochs: AtLeastOne
    images_per_step: AtLeastOne = 4
    crops_per_image: AtLeastOne = 1
    crop: AtLeastOne | tuple[AtLeastOne, AtLeastOne] | None = 256
    crop_share: Share | tuple[Share, ...] = 1.0
    sigma: Sigma = Sigma()
    benchmark_kernels: bool = False
    density_scale: AboveZero = 1.0
    scales: tuple[AboveZero, AboveZero] = (1.0, 1.0)
    flip: Probability = 0.5
    grey: Probability = 0.0
    noise: FromZero = 0.0
    stages: tuple[Stage, ...] = (Stage(),)
    patience: WholeFromZero = 0
    ema: Momentum = 0.0
    clip: FromZero = 0.0

    def __post_init__(self) -> None:
        for wrong in out_of_bounds(self):
            raise ValueError(f"recipe {self.name!r}: {wrong}")
        if self.crop_share == ():
            raise ValueError(f"recipe {self.name!r}: crop_share is (); expected one or more shares")
        if self.scales[0] > self.scales[1]:
            raise ValueError(f"recipe {self.name!r}: scales is {self.scales}; expected (lowest, highest)")
        total = sum(stage.share for stage in self.stages)
        if abs(total - 1) > 1e-6:
            raise ValueError(f"recipe {self.name!r}: the shares of its stages add up to {total:g}; expected 1")
        if self.crop is None and self.images_per_step != 1:
            raise ValueError(
                f"recipe {self.name!r}: images_per_step is {self.images_per_step}; crops by share differ in size from "
                f"image to image, so expected 1"
            )

    def check_asked(self) -> None:
        """Raises `ValueError` where it asks for crops in pixels and by share; a budget that caps crops leaves it so."""
        if self.crop is not None and self.crop_share != 1:
            raise ValueError(
                f"recipe {self.name!r}: crop is {self.crop} and crop_share {self.crop_share}; where crops are by share, "
                f"expected crop None (null in a file)"
            )

    def as_json(self) -> dict[str, Any]:
        """The recipe as JSON values, for records and run identities; without what `LEFT_OUT` names where it is unused."""
        stages = tuple(_used(stage) for stage in asdict(self)["stages"])
        return {**_used(asdict(self)), "stages": stages}


def _used(values: Mapping[str, Any]) -> dict[str, Any]:
    used = {key: value for key, value in values.items() if value or key not in LEFT_OUT}
    names = list(used.get("rates", ()))
    if names != sorted(names):  # of them the first that fits counts, and keys are sorted before they are hashed
        used["rates_in_order"] = names
    return used


COMMON = Recipe(
    name="common",
    epochs=300,
    images_per_step=4,
    crops_per_image=1,
    crop=256,
    sigma=Sigma(pixels=4.0),
    benchmark_kernels=True,
    density_scale=100.0,
    flip=0.5,
    stages=(Stage("common", optimizer="adam", learning_rate=3e-4, decay="cosine", warmup_steps=20),),
)
"""One schedule, one kind of crop and one kind of density map for every method: the fair comparison. The rate is that of new
weights (docs/protocol.md has how it was chosen)."""

FINE_TUNING = replace(COMMON, stages=(replace(COMMON.stages[0], learning_rate=1e-5),))
"""`COMMON` for networks that begin from published weights, which a rate that new weights need would undo.

It is the rate at which HSRNet, SASNet, DM-Count and P2PNet tune VGG with Adam.
"""


def common_recipe(pretrained: str) -> Recipe:
    """The recipe `common` of a network that begins from `pretrained`: "none", or anything else as records have it."""
    return COMMON if pretrained == "none" else FINE_TUNING


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
    """An ablation row of the paper: options for `build` and `loss`, and where the paper reports it."""

    options: Mapping[str, Any]
    description: str = ""


@dataclass(frozen=True)
class Method:
    """A crowd-counting method, as a value with plain functions in it.

    Attributes:
        name: what the command line calls it ("mcnn"): letters, digits, "_", "-" and ".".
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
        parts: tuple[tuple[str, Mapping[str, Any], type], ...] = (
            ("variant", self.variants, Variant),
            ("recipe for", self.recipes, Recipe),
            ("recipe", {"paper": self.recipe}, Recipe),
        )
        for what, given, kind in parts:
            for key, value in given.items():
                if not isinstance(value, kind):
                    raise TypeError(
                        f"method {self.name!r}: {what} {key!r} is a {type(value).__name__}; expected harness.{kind.__name__}"
                    )
        if not NAME.fullmatch(self.name):
            raise ValueError(f"method {self.name!r}: expected a name of letters, digits, '_', '-' and '.'")
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
                raise ValueError(f"method {self.name!r}: {name} is {getattr(self, name)!r}; expected {expected}")
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
            ValueError: one has a name that the harness uses.
        """
        maps = self.label_maps(options) if self.label_maps else {}
        if taken := sorted(maps.keys() & {REGION, FRAME}):
            raise ValueError(
                f"{self.name}: label map {taken[0]!r}: the harness' own map has this name; give it another"
            )
        return maps

    @property
    def side_multiple(self) -> int:
        return self.multiple_of or self.stride


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


_INFERENCE: WeakKeyDictionary = WeakKeyDictionary()  # made once, so that what is compiled for it is compiled once


def named_outputs(outputs: Any) -> Mapping[str, Any]:
    """A network's outputs as the dict that losses take."""
    return outputs if isinstance(outputs, dict) else {"density": outputs}
