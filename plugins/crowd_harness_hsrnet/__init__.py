"""HSRNet (Zou et al., ECAI 2020) as a harness plugin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import Batch, Method, ModelOptions, Recipe, Sigma, Stage, Variant, hookimpl


def build(options: ModelOptions) -> Any:
    """The network; see `model.build`."""
    from crowd_harness_hsrnet import model

    return model.build(options)


def loss(batch: Batch, outputs: Any, options: ModelOptions) -> dict[str, Any]:
    """Eq. 9 in units of scaled density: the final map, and the scales with fixed weights, or both with learned ones.

    The scales do not work outside a region of interest (section 4.2): neither they nor their targets are anything there.
    """
    from keras import ops

    from crowd_harness_hsrnet import losses
    from harness.nn.targets import shares_inside

    scale = options.density_scale
    target = scale * batch.density(1)
    final = losses.euclidean(scale * outputs["density"], target)
    if "scales" not in outputs or not options.variant.get("consistency", True):
        return {"density": final}
    each = losses.scale_losses(scale * outputs["scales"], target, shares_inside(batch, 1))
    if "log_variance" not in outputs:
        return {"density": final, "scales": options.variant["scale_weight"] * ops.sum(each)}
    log_variance = outputs["log_variance"][0]
    return {
        "density": losses.learned_weighting(final, log_variance[0]),
        "scales": losses.learned_weighting(each, log_variance[1:]),
    }


def learned(network: Any) -> dict[str, float]:
    """λ1 … λ5 of Eq. 9, relative to the weight of the final map, which is 1 there; nothing where λ is not learned."""
    from crowd_harness_hsrnet import model

    return {f"lambda{number}": value for number, value in enumerate(model.learned_weights(network), 1)}


PAPER = Recipe(
    name="paper",
    epochs=400,
    images_per_step=1,
    crops_per_image=14,
    crop=None,
    crop_share=0.5,
    sigma=Sigma(pixels=15.0, neighbours=3, beta=0.3),
    density_scale=100.0,
    scales=(0.8, 1.2),
    flip=0.0,
    stages=(Stage("adam", optimizer="adam", learning_rate=1e-5),),
)

# Section 4.2: patches of 115 pixels, of which the network takes multiples of 16, and kernels of one width.
RECIPES = {"trancos": replace(PAPER, crop=112, crop_share=1.0, sigma=Sigma(pixels=4.0))}

VARIANTS = {
    "baseline": Variant({"recalibration": False}, "Table 5: VGG-16 and a 1×1 convolution"),
    "srm": Variant({"focus": "none", "consistency": False}, "Table 5: with scale recalibration"),
    "channel": Variant({"focus": "channel", "consistency": False}, "Table 5: with channel focus"),
    "spatial": Variant({"focus": "spatial", "consistency": False}, "Table 5: with spatial focus"),
    "no_consistency": Variant({"consistency": False}, "Table 5: all but the scale consistency loss"),
    "spatial+channel": Variant({"focus": "spatial+channel"}, "Table 6: spatial focus first"),
    "channel+spatial": Variant({"focus": "channel+spatial"}, "Table 6: channel focus first, the method itself"),
    "average": Variant({"focus": "average"}, "Table 6: side by side, averaged"),
    "conv": Variant({"focus": "conv"}, "Table 6: side by side, joined by a convolution"),
    "fixed_weights": Variant({"scale_weight": 1.0}, "Eq. 9 with every λ fixed at 1"),
    **{f"ratio{r}": Variant({"ratio": r}, f"Figure 4: channel focus with r = {r}") for r in (8, 16, 32, 128)},
}

METHOD = Method(
    name="hsrnet",
    title="HSRNet",
    citation="Zou et al., Crowd Counting via Hierarchical Scale Recalibration Network, ECAI 2020",
    build=build,
    loss=loss,
    recipe=PAPER,
    recipes=RECIPES,
    learned=learned,
    stride=1,
    multiple_of=16,
    channels=3,
    margin=160,
    local=False,
    pretrained="vgg16",
    variants=VARIANTS,
)


@hookimpl
def harness_methods() -> list[Method]:
    return [METHOD]


@hookimpl
def harness_published() -> list[Path]:
    return [Path(__file__).with_name("published.yaml")]
