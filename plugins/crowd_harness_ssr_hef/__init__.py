"""SSR-HEF (Chen et al.) as a harness plugin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import Batch, Method, ModelOptions, Recipe, Sigma, Stage, Variant, hookimpl

BLOCK = 15  # pixels a side of the foreground around a head (section III-A)
GAMMA = 2.0
UNIT = 1.0  # the loss sees heads a cell of 8×8 pixels, times this
SEGMENTATION, CLASSIFICATION = 1e-2, 1e-3  # λ1 and λ2 of Eq. 5


def build(options: ModelOptions) -> Any:
    """The network; see `model.build`."""
    from crowd_harness_ssr_hef import model

    return model.build(options)


def loss(batch: Batch, outputs: Any, options: ModelOptions) -> dict[str, Any]:
    """The three terms of Eq. 5, weighted."""
    from crowd_harness_ssr_hef import losses, model
    from harness.nn.targets import count_classes, head_blocks

    variant = options.variant
    unit = variant.get("unit", UNIT)
    predicted, target = unit * outputs["density"], unit * batch.density(METHOD.stride)
    if variant.get("focus", True):
        literal = variant.get("literal", False)
        terms = {"density": losses.hard_example_focusing(predicted, target, GAMMA, literal)}
    else:
        terms = {"density": losses.squared(predicted, target)}
    for stride in (2, 4, 8):
        if f"segmentation{stride}" in outputs:
            mask = head_blocks(batch, BLOCK, stride)
            terms[f"segmentation{stride}"] = SEGMENTATION * losses.dice(outputs[f"segmentation{stride}"], mask)
    if "classes" in outputs:
        classes = count_classes(batch.counts(), options.largest_count, variant.get("classes", model.CLASSES))
        terms["classes"] = CLASSIFICATION * losses.cross_entropy(outputs["classes"], classes)
    return terms


# Of each image 9 patches of 1/16, 4 of 1/4 and 1 of all its area, one a step: 14 steps an image, here drawn at random.
PAPER = Recipe(
    name="paper",
    epochs=14 * 200,
    images_per_step=1,
    crops_per_image=1,
    crop=None,
    crop_share=(0.25,) * 9 + (0.5,) * 4 + (1.0,),
    sigma=Sigma(pixels=4.0),
    density_scale=64.0,  # heads a cell: the last layer predicts what Eq. 4 compares
    flip=0.5,
    noise=5.0,
    stages=(Stage("adam", optimizer="adam", learning_rate=3e-5),),
)

VARIANTS = {
    "no_ssr": Variant({"refine": False}, "Table VII: without the SSR strategy"),
    "no_enhancement": Variant({"enhance": False}, "Table VII: without the feature enhancement layer"),
    "no_hef": Variant({"focus": False}, "Table VII: the Euclidean loss for Eq. 4"),
    "literal_hef": Variant({"literal": True}, "Eq. 4 with the gradient of its factor"),
    **{
        f"classes{k}": Variant({"classes": k}, f"Table VIII: {k or 'no'} classes of counts") for k in (0, 5, 10, 15, 20)
    },
    **{f"unit{unit}": Variant({"unit": float(unit)}, f"Eq. 4 on heads a cell × {unit}") for unit in (10, 100)},
}

METHOD = Method(
    name="ssr_hef",
    title="SSR-HEF",
    citation="Chen et al., SSR-HEF: Crowd Counting with Multi-Scale Semantic Refining and Hard Example Focusing, "
    "IEEE Transactions on Industrial Informatics 2022",
    build=build,
    loss=loss,
    recipe=PAPER,
    recipes={"worldexpo10": replace(PAPER, benchmark_kernels=True)},  # encoded by its perspective maps: section IV
    stride=8,
    channels=3,
    margin=128,
    variants=VARIANTS,
)


@hookimpl
def harness_methods() -> list[Method]:
    return [METHOD]


@hookimpl
def harness_published() -> list[Path]:
    return [Path(__file__).with_name("published.yaml")]
