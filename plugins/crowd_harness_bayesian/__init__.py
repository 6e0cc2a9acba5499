"""Bayesian Loss (Ma et al., ICCV 2019) as a harness plugin: BL+, and BL as a variant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import Batch, LabelMap, Method, ModelOptions, Recipe, Sigma, Stage, Variant, hookimpl

if TYPE_CHECKING:
    import numpy as np

DISTANCE = "background_distance"
# d as a share of the shorter side of the image, by the rule it belongs to: that of the paper, of the code of 2019 and of the
# numbers they report, and that of the code since July 2021. The authors' note on ShanghaiTech A (0.1 there) is older.
SHARES = {"code": 1.0, "paper": 0.15}
SHARES_ON = {("paper", "shtech_a"): 0.1}


def build(options: ModelOptions) -> Any:
    """The network; see `model.build`."""
    from crowd_harness_bayesian import model

    return model.build(options)


def loss(batch: Batch, outputs: Any, options: ModelOptions) -> dict[str, Any]:
    """The Bayesian loss; see `losses.bayesian`. What lies outside a region of interest is nobody's."""
    from keras import ops

    from crowd_harness_bayesian import losses
    from harness.nn.targets import inside_region

    density = inside_region(outputs["density"], batch, METHOD.stride)
    heads = ops.convert_to_tensor(batch.points)
    rule = options.variant.get("background", "paper")
    distance = ops.convert_to_tensor(batch.maps[DISTANCE])[:, 0, 0, 0] if rule else None  # the same everywhere
    return losses.bayesian(density, heads, METHOD.stride, distance, rule)


def label_maps(options: ModelOptions) -> dict[str, LabelMap]:
    """d of the background in pixels: it follows the size of the whole image, which a loss on crops does not see."""
    rule = options.variant.get("background", "paper")
    if not rule:
        return {}

    def read(benchmark: Any, sample: Any, points: Any, size: tuple[int, int]) -> np.ndarray:
        import numpy as np

        share = SHARES_ON.get((rule, benchmark.name), SHARES[rule])
        return np.full(size, share * min(size), np.float32)

    return {DISTANCE: LabelMap(f"shorter_side_{rule}", read, lengths=True)}


PAPER = Recipe(
    name="paper",
    epochs=1000,
    images_per_step=1,
    crop=512,
    sigma=Sigma(pixels=8.0),
    density_scale=64.0,  # heads a cell, as the official code
    stages=(Stage("adam", optimizer="adam", learning_rate=1e-5, options={"epsilon": 1e-8}, l2=1e-4),),
)

RECIPES = {
    "shtech_a": replace(PAPER, crop=256, stages=(replace(PAPER.stages[0], learning_rate=1e-6),)),
    "ucf_cc_50": replace(PAPER, crop=256),
}

VARIANTS = {
    "bl": Variant({"background": ""}, "BL: heads alone, no background"),
    "released": Variant({"background": "code"}, "BL+ with the background of the code since July 2021"),
}

METHOD = Method(
    name="bayesian",
    title="BL+",
    citation="Ma et al., Bayesian Loss for Crowd Count Estimation with Point Supervision, ICCV 2019",
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
    label_maps=label_maps,
)


@hookimpl
def harness_methods() -> list[Method]:
    return [METHOD]


@hookimpl
def harness_published() -> list[Path]:
    return [Path(__file__).with_name("published.yaml")]
