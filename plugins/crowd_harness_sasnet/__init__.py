"""SASNet (Song et al., AAAI 2021) as a harness plugin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import Batch, Method, ModelOptions, Recipe, Sigma, Stage, Variant, hookimpl

CONFIDENCE_WEIGHT = 10.0  # λ of Eq. 7


def build(options: ModelOptions) -> Any:
    """The network; see `model.build`."""
    from crowd_harness_sasnet import model

    return model.build(options)


def loss(batch: Batch, outputs: Any, options: ModelOptions) -> dict[str, Any]:
    """Eq. 7, of densities × 1000: levels, confidence and PRA, each as a term of its own."""
    from keras import ops

    from crowd_harness_sasnet import losses
    from crowd_harness_sasnet.model import PATCH, UNIT

    target = UNIT * batch.density(1)
    terms = {}
    if "levels" in outputs:
        levels = UNIT * outputs["levels"]
        terms["levels"] = ops.sum(ops.mean(ops.square(levels - target), axis=(0, 1, 2)))
        if "confidence_logits" in outputs:
            labels = losses.confidence_labels(ops.stop_gradient(levels), target, options.variant.get("patch", PATCH))
            terms["confidence"] = CONFIDENCE_WEIGHT * losses.confidence_loss(outputs["confidence_logits"], labels)
    else:
        terms["levels"] = ops.mean(ops.square(UNIT * outputs["density"] - target))
    if options.variant.get("pra", True):
        terms["pra"] = losses.pra_loss(UNIT * outputs["density"], target)
    return terms


PAPER = Recipe(
    name="paper",
    epochs=1000,
    images_per_step=8,
    crops_per_image=4,
    crop=128,
    sigma=Sigma(pixels=4.0),
    density_scale=1000.0,
    flip=0.5,
    stages=(Stage("adam", optimizer="adam", learning_rate=1e-5),),
)

PAPER_UCF_CC_50 = replace(PAPER, sigma=Sigma(pixels=15.0, neighbours=3, beta=0.3))  # geometry-adaptive there alone

VARIANTS = {
    "average": Variant({"selection": "average", "pra": False}, "Table 1: mean of the five levels, no PRA loss"),
    "hard": Variant({"selection": "hard", "pra": False}, "Table 1: the level of highest confidence alone, no PRA loss"),
    "no_pra": Variant({"pra": False}, "Tables 1 and 2: adaptive selection, no PRA loss"),
    "baseline": Variant({"levels": "top", "pra": False}, "Table 2: P1 alone, no PRA loss"),
    "baseline_pra": Variant({"levels": "top"}, "Table 2: P1 alone, with the PRA loss"),
    "patch8": Variant({"patch": 8, "pra": False}, "Table 5: patches of 8×8"),
    "patch16": Variant({"patch": 16, "pra": False}, "Table 5: patches of 16×16"),
    "patch64": Variant({"patch": 64, "pra": False}, "Table 5: patches of 64×64"),
}

METHOD = Method(
    name="sasnet",
    title="SASNet",
    outside="blur",
    citation="Song et al., To Choose or to Fuse? Scale Selection for Crowd Counting, AAAI 2021",
    build=build,
    loss=loss,
    recipe=PAPER,
    recipes={"ucf_cc_50": PAPER_UCF_CC_50},
    stride=1,
    multiple_of=32,
    channels=3,
    margin=256,
    local=False,
    unit=1000.0,
    pretrained="vgg16",
    variants=VARIANTS,
)


@hookimpl
def harness_methods() -> list[Method]:
    return [METHOD]


@hookimpl
def harness_published() -> list[Path]:
    return [Path(__file__).with_name("published.yaml")]
