"""ZIP (Ma et al., 2025), sizes P, N and T, as a harness plugin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import Batch, Method, ModelOptions, Recipe, Stage, Variant, hookimpl

UNIT = 16.0**2  # the last layers predict heads in a block of 16 × 16 pixels, under every recipe


def build(options: ModelOptions) -> Any:
    """The network; see `model.build`."""
    from crowd_harness_zip import model

    return model.build(options)


def loss(batch: Batch, outputs: Any, options: ModelOptions) -> dict[str, Any]:
    """The official code's four terms: likelihood of the counts of blocks, their classes, errors at three scales, the count.

    Of a block that a region of interest cuts, what is predicted counts by its share inside, as in test; it has no class.
    """
    from crowd_harness_zip import losses
    from harness.nn.targets import inside_region, shares_inside

    variant, density = options.variant, inside_region(outputs["density"], batch, METHOD.stride)
    counts = losses.block_counts(batch, METHOD.stride)
    terms = {}
    if variant.get("regression") == "poisson":
        terms["likelihood"] = losses.poisson_nll(density, counts)
    elif variant.get("regression") == "mae":
        terms["blocks"] = losses.absolute_error(density, counts)
    else:
        terms["likelihood"] = losses.zero_inflated_nll(
            outputs["zero_logits"], inside_region(outputs["rate"], batch, METHOD.stride), counts
        )
    if variant.get("classification", True):
        terms["classes"] = losses.classification(outputs["class_logits"], counts, shares_inside(batch, METHOD.stride))
    if variant.get("multiscale", True):
        terms["scales"] = losses.multiscale_error(density, counts)
    terms["count"] = losses.count_error(density, counts)
    return terms


# The official schedule: 25 epochs of warm-up, then cosines of 5, 10, 20 … 640 epochs, each from the full rate on. It chooses no
# checkpoint before epoch 100, where the fifth of them begins.
WARM_UP, CYCLES, CHOOSES_FROM = 25, tuple(5 * 2**number for number in range(8)), 100
EPOCHS = WARM_UP + sum(CYCLES)


def _stages() -> tuple[Stage, ...]:
    adam = Stage(optimizer="adam", learning_rate=1e-4, options={"epsilon": 1e-8}, l2=1e-4)
    stages = [replace(adam, name="warm-up", share=WARM_UP / EPOCHS, decay="rise", selects=False)]
    begin = WARM_UP
    for number, epochs in enumerate(CYCLES, 1):
        cosine = replace(adam, name=f"cosine {number}", share=epochs / EPOCHS, decay="cosine")
        stages.append(replace(cosine, selects=begin >= CHOOSES_FROM))
        begin += epochs
    return tuple(stages)


PAPER = Recipe(
    name="paper",
    epochs=EPOCHS,
    images_per_step=8,
    crops_per_image=1,
    crop=448,
    density_scale=UNIT,
    scales=(1 / 2.0, 1 / 0.75),
    flip=0.5,
    stages=_stages(),
)

VARIANTS = {
    "n": Variant({"size": "n"}, "size N: MobileNetV4-Conv-Small at full width"),
    "t": Variant({"size": "t"}, "size T: MobileNetV4-Conv-Medium"),
    "poisson": Variant({"regression": "poisson"}, "plain Poisson likelihood, the empty block a class like others"),
    "mae": Variant(
        {"regression": "mae"}, "absolute errors of blocks for the likelihood, the empty block a class like others"
    ),
    "no_classes": Variant({"classification": False}, "without the cross-entropy of classes"),
    "no_scales": Variant({"multiscale": False}, "without the errors at three scales"),
}

METHOD = Method(
    name="zip",
    title="ZIP",
    citation="Ma et al., ZIP: Scalable Crowd Counting via Zero-Inflated Poisson Modeling, arXiv:2506.19955, 2025",
    build=build,
    loss=loss,
    recipe=PAPER,
    recipes={
        "shtech_b": replace(PAPER, scales=(1 / 2.5, 1 / 0.75)),
        **dict.fromkeys(("ucf_qnrf", "nwpu_crowd"), replace(PAPER, crop=672)),
    },
    stride=16,
    multiple_of=32,
    channels=3,
    margin=1088,  # of size T; P's cells see 544 pixels far
    unit=UNIT,
    variants=VARIANTS,
)


@hookimpl
def harness_methods() -> list[Method]:
    return [METHOD]


@hookimpl
def harness_published() -> list[Path]:
    return [Path(__file__).with_name("published.yaml")]
