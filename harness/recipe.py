"""How a method is trained: a `Recipe` and its `Stage`s, plain values, and the one recipe that is common to all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from harness.bounds import (
    AboveZero,
    AtLeastOne,
    Finite,
    FromZero,
    Momentum,
    Probability,
    Share,
    WholeFromZero,
    must_be,
    out_of_bounds,
)
from harness.errors import unknown_name
from harness.head_spacing import Sigma

# Fields of recipes and stages that came later, and what they are where unused: a recipe that uses none of them keeps the
# identity it had before.
LEFT_OUT: Mapping[str, Any] = {"ema": 0.0, "clip": 0.0, "rates": {}}
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
        owner = f"stage {self.name!r}"
        for name in ("options", "loss_weights", "rates"):
            must_be(owner, name, getattr(self, name), Mapping, "a mapping of names")
        must_be(owner, "trains", self.trains, (tuple, list), "a tuple of names")
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
        owner = f"recipe {self.name!r}"
        must_be(owner, "sigma", self.sigma, Sigma, "harness.Sigma(pixels=4.0) or another")
        must_be(owner, "stages", self.stages, (tuple, list), "a tuple of harness.Stage")
        for stage in self.stages:
            must_be(owner, "one of its stages", stage, Stage, "harness.Stage(…)")
        if not isinstance(self.scales, tuple | list) or len(self.scales) != 2:
            raise ValueError(f"{owner}: scales is {self.scales!r}; expected (lowest, highest)")
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
