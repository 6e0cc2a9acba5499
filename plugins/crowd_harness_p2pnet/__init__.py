"""P2PNet (Song et al., ICCV 2021) as a harness plugin: candidates for heads as points, each with a score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness import Batch, Method, ModelOptions, Recipe, Stage, Variant, hookimpl

UNIT = 8.0**2  # the map counts candidates in a cell of 8 × 8 pixels, under every recipe


def build(options: ModelOptions) -> Any:
    """The network; see `model.build`."""
    from crowd_harness_p2pnet import model

    return model.build(options)


def loss(batch: Batch, outputs: Any, options: ModelOptions) -> dict[str, Any]:
    """The paper's two terms, the second weighted: the classes of candidates, and how far the heads' are from them."""
    from keras import ops

    from crowd_harness_p2pnet import losses
    from harness.nn.targets import inside_region

    places, logits = losses.places(outputs["points"], METHOD.stride), losses.rows(outputs["logits"], 2)
    shares = inside_region(ops.ones_like(outputs["density"]), batch, METHOD.stride)
    shares = losses.rows(ops.repeat(shares, outputs["logits"].shape[-1] // 2, axis=-1), 1)[..., 0]
    heads = ops.convert_to_tensor(batch.points)
    match = losses.matched(places, logits, heads, shares)
    terms = {"classes": losses.classification(logits, match, shares)}
    if options.variant.get("regression", True):
        terms["points"] = options.variant.get("points_weight", losses.POINTS_WEIGHT) * losses.distance(
            places, match, heads
        )
    return terms


PAPER = Recipe(
    name="paper",
    epochs=3500,
    images_per_step=8,
    crops_per_image=4,
    crop=128,
    density_scale=UNIT,
    scales=(0.7, 1.3),
    flip=0.5,
    clip=0.1,
    stages=(Stage("adam", optimizer="adam", learning_rate=1e-4, options={"epsilon": 1e-8}, rates={"block*": 0.1}),),
)

VARIANTS = {
    "k1": Variant(
        {"rows": 1, "columns": 1}, "one reference point a cell, in its centre (--row 1 --line 1 of the code)"
    ),
    "k8": Variant(
        {"rows": 4, "columns": 2}, "eight reference points a cell (--row 4 --line 2 of the code), for UCF-QNRF"
    ),
    "released": Variant(
        {"points_weight": 0.0}, "the code as it runs: the places of candidates are left as they were drawn"
    ),
    "no_regression": Variant({"regression": False}, "candidates stay where their reference points are"),
}

METHOD = Method(
    name="p2pnet",
    title="P2PNet",
    citation="Song et al., Rethinking Counting and Localization in Crowds: A Purely Point-Based Framework, ICCV 2021",
    build=build,
    loss=loss,
    recipe=PAPER,
    stride=8,
    multiple_of=16,
    channels=3,
    margin=144,
    unit=UNIT,
    pretrained="vgg16",
    variants=VARIANTS,
)


@hookimpl
def harness_methods() -> list[Method]:
    return [METHOD]


@hookimpl
def harness_published() -> list[Path]:
    return [Path(__file__).with_name("published.yaml")]
