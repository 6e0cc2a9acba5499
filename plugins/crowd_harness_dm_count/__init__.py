"""DM-Count (Wang et al., NeurIPS 2020) as a harness plugin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import Batch, Method, ModelOptions, Recipe, Sigma, Stage, Variant, hookimpl

# λ1 is 0.1; the official code adds up the transport losses of the ten crops of a step and averages the other two.
TRANSPORT = 0.1 * 10
VARIATION = 0.01


def build(options: ModelOptions) -> Any:
    """The network; see `model.build`."""
    from crowd_harness_dm_count import model

    return model.build(options)


def loss(batch: Batch, outputs: Any, options: ModelOptions) -> dict[str, Any]:
    """Count, transport and variation, weighted. What lies outside a region of interest is left out."""
    from keras import ops

    from crowd_harness_dm_count import losses
    from harness.nn.targets import inside_region

    density = inside_region(outputs["density"], batch, METHOD.stride)
    heads = ops.convert_to_tensor(batch.points)
    terms = {"count": losses.count(density, heads)}
    if options.variant.get("transport", True):
        terms["transport"] = TRANSPORT * losses.transport(density, heads, METHOD.stride)
    if options.variant.get("variation", True):
        terms["variation"] = VARIATION * losses.variation(density, heads, METHOD.stride)
    return terms


PAPER = Recipe(
    name="paper",
    epochs=1000,
    images_per_step=10,
    crop=512,
    sigma=Sigma(pixels=4.0),  # nothing is rendered
    density_scale=64.0,  # heads a cell, as the official code
    stages=(Stage("adam", optimizer="adam", learning_rate=1e-5, options={"epsilon": 1e-8}, l2=1e-4),),
)

RECIPES = {
    name: replace(PAPER, crop=crop) for name, crop in (("shtech_a", 256), ("ucf_cc_50", 256), ("nwpu_crowd", 384))
}

VARIANTS = {
    "count": Variant({"transport": False, "variation": False}, "the count alone"),
    "no_tv": Variant({"variation": False}, "count and optimal transport"),
    "no_ot": Variant({"transport": False}, "count and total variation"),
}

METHOD = Method(
    name="dm_count",
    title="DM-Count",
    citation="Wang et al., Distribution Matching for Crowd Counting, NeurIPS 2020",
    build=build,
    loss=loss,
    recipe=PAPER,
    recipes=RECIPES,
    stride=8,
    multiple_of=16,
    channels=3,
    margin=176,
    local=False,
    pretrained="vgg19",
    variants=VARIANTS,
)


@hookimpl
def harness_methods() -> list[Method]:
    return [METHOD]


@hookimpl
def harness_published() -> list[Path]:
    return [Path(__file__).with_name("published.yaml")]
