"""Mask-aware networks (Jiang et al.) as a harness plugin: `mask_aware`, and `mask_aware_csr` on CSRNet's VGG part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import Batch, Method, ModelOptions, Recipe, Sigma, Stage, Variant, hookimpl

BLOCK = 15 / 4  # sigmas a side of the foreground around a head: the support of the usual 15×15 kernel of sigma 4
GAMMA = 2.0
# The trade-off of Eq. 3, and the unit of its densities, heads a pixel × 100; the paper gives neither. In this unit a density
# errs as much as a posterior does, so that both losses shape the backbone (see README).
ALPHA = 1.0
UNIT = 100.0


def build(options: ModelOptions) -> Any:
    """The light network; see `model.build`."""
    from crowd_harness_mask_aware import model

    return model.build(options)


def build_csr(options: ModelOptions) -> Any:
    """The network on VGG-16; see `model.build_csr`."""
    from crowd_harness_mask_aware import model

    return model.build_csr(options)


def _true_mask(batch: Batch, stride: int) -> Any:
    from harness.nn.targets import head_blocks

    return head_blocks(batch, BLOCK * batch.points[..., 2], stride)


def _loss(batch: Batch, outputs: Any, options: ModelOptions, stride: int, gamma: float) -> dict[str, Any]:
    """Eq. 3: the mask loss, and α times the loss of densities in heads a pixel × 100, each a mean over cells."""
    from crowd_harness_mask_aware import losses

    unit = UNIT / stride**2  # of what the network gives, heads a cell
    target = unit * batch.density(stride)
    terms = {"density": ALPHA * losses.squared(unit * outputs.get("taught", outputs["density"]), target)}
    if "mask_logits" in outputs:
        mask = _true_mask(batch, stride)
        terms["mask"] = losses.focal(outputs["mask_logits"], mask, options.variant.get("gamma", gamma))
    if "auxiliary" in outputs:
        terms["auxiliary"] = losses.squared(unit * outputs["auxiliary"], target)
    return terms


def loss(batch: Batch, outputs: Any, options: ModelOptions) -> dict[str, Any]:
    """Mask and density loss of the light network (focal loss)."""
    return _loss(batch, outputs, options, METHOD.stride, GAMMA)


def loss_csr(batch: Batch, outputs: Any, options: ModelOptions) -> dict[str, Any]:
    """Mask and density loss of the network on VGG-16 (cross-entropy)."""
    return _loss(batch, outputs, options, METHOD_CSR.stride, 0.0)


def teach(batch: Batch, options: ModelOptions) -> dict[str, Any]:
    """The true mask, for the variants that are trained with it."""
    return {"true_mask": _true_mask(batch, METHOD.stride)}


# One epoch of the paper is 200 crops of each image, which are 25 of ours at 8 crops an image and step. It gives no number of
# epochs: 60 are three of its steps in rate.
PAPER = Recipe(
    name="paper",
    epochs=60 * 25,
    images_per_step=1,
    crops_per_image=8,
    crop=(160, 192),
    sigma=Sigma(pixels=4.0),
    density_scale=UNIT,
    stages=(
        Stage("adam", share=10 / 60, optimizer="adam", learning_rate=1e-5),
        Stage("sgd", share=10 / 60, optimizer="sgd", learning_rate=1e-5),
        Stage("sgd, rate × 0.1", share=20 / 60, optimizer="sgd", learning_rate=1e-6),
        Stage("sgd, rate × 0.01", share=20 / 60, optimizer="sgd", learning_rate=1e-7),
    ),
)

PAPER_UCF_CC_50 = replace(PAPER, epochs=60 * 60 // 8)  # 60 crops of each image an epoch

# "Original images without data augmentation unless otherwise stated"; SGD where image sizes differ, Adam elsewhere. As long
# as CSRNet, which it stands beside: 400 epochs of that code are four passes each.
PAPER_CSR = replace(
    PAPER,
    epochs=4 * 400,
    crops_per_image=1,
    crop=None,
    crop_share=1.0,
    flip=0.0,
    stages=(Stage("sgd", optimizer="sgd", learning_rate=1e-5, decay="step", decay_factor=0.1, decay_epochs=800),),
)
PAPER_CSR_ADAM = replace(PAPER_CSR, stages=(replace(PAPER_CSR.stages[0], name="adam", optimizer="adam"),))
ONE_SIZE = ("shtech_b", "worldexpo10", "mall", "ucsd", "trancos")
# Otherwise stated of UCF_CC_50: "60 patches from each image to train both methods", of a size that is not given.
PAPER_CSR_UCF_CC_50 = replace(
    PAPER_CSR,
    epochs=PAPER_UCF_CC_50.epochs,
    crops_per_image=PAPER.crops_per_image,
    crop=PAPER.crop,
    stages=(replace(PAPER_CSR.stages[0], decay_epochs=PAPER_UCF_CC_50.epochs // 2),),
)

VARIANTS = {
    **{
        f"solution{number}": Variant({"solution": f"solution{number}"}, f"Table I: solution {number}, {what}")
        for number, what in enumerate(
            (
                "density × true mask, × predicted mask in test",
                "density × posterior",
                "density × predicted mask, straight-through gradient",
                "true mask through convolutions, predicted mask in test",
                "posterior through convolutions, the method itself",
            ),
            1,
        )
    },
    "baseline1": Variant({"solution": "baseline1"}, "Table I: no mask"),
    "baseline2": Variant({"solution": "baseline2"}, "Table I: no mask, a deeper regressor"),
    "baseline3": Variant({"solution": "baseline3"}, "Table II: solution 5 with density in the place of the mask"),
    "bce": Variant({"gamma": 0.0}, "Section IV-D: cross-entropy for the focal loss"),
}

CITATION = "Jiang et al., Mask-aware networks for crowd counting, IEEE TCSVT 2019"

METHOD = Method(
    name="mask_aware",
    title="Mask-aware",
    citation=CITATION,
    build=build,
    loss=loss,
    recipe=PAPER,
    recipes={"ucf_cc_50": PAPER_UCF_CC_50},
    stride=4,
    channels=1,
    margin=128,
    variants=VARIANTS,
    teach=teach,
)

METHOD_CSR = Method(
    name="mask_aware_csr",
    title="Mask-aware CSR",
    citation=CITATION,
    build=build_csr,
    loss=loss_csr,
    recipe=PAPER_CSR,
    recipes={**dict.fromkeys(ONE_SIZE, PAPER_CSR_ADAM), "ucf_cc_50": PAPER_CSR_UCF_CC_50},
    stride=8,
    channels=3,
    margin=128,
    pretrained="vgg16",
)


@hookimpl
def harness_methods() -> list[Method]:
    return [METHOD, METHOD_CSR]


@hookimpl
def harness_published() -> list[Path]:
    return [Path(__file__).with_name("published.yaml")]
