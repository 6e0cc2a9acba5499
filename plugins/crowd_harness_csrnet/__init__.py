"""CSRNet, configuration B (Li et al., CVPR 2018) as a harness plugin."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness import Batch, Method, ModelOptions, Recipe, Sigma, Stage, hookimpl


def build(options: ModelOptions) -> Any:
    """The network; see `model.build`."""
    from crowd_harness_csrnet import model

    return model.build(options)


def loss(batch: Batch, outputs: Any, options: ModelOptions) -> dict[str, Any]:
    """The paper's Euclidean loss (its Eq. 3)."""
    from harness.nn.losses import euclidean_density

    return {"density": euclidean_density(outputs["density"], batch.density(METHOD.stride))}


# The official code's convention throughout: its rate belongs to the plain sum of squares (ours is half of it, hence the 2) over
# a whole image a step, and its epoch passes over the images four times.
PAPER = Recipe(
    name="paper",
    epochs=4 * 400,
    images_per_step=1,
    crops_per_image=1,
    crop=None,
    crop_share=1.0,
    sigma=Sigma(pixels=15.0, neighbours=3, beta=0.3),
    density_scale=64.0,  # heads a cell, as the official code
    flip=0.0,
    stages=(
        Stage(
            "sgd",
            optimizer="sgd",
            learning_rate=1e-7,
            options={"momentum": 0.95},
            l2=5e-4,
            loss_weights={"density": 2.0},
        ),
    ),
)

METHOD = Method(
    name="csrnet",
    title="CSRNet",
    citation="Li et al., CSRNet: Dilated Convolutional Neural Networks for Understanding the Highly Congested Scenes, "
    "CVPR 2018",
    build=build,
    loss=loss,
    recipe=PAPER,
    recipes={"shtech_b": replace(PAPER, sigma=Sigma(pixels=15.0))},
    stride=8,
    channels=3,
    margin=152,
    pretrained="vgg16",
)


@hookimpl
def harness_methods() -> list[Method]:
    return [METHOD]
