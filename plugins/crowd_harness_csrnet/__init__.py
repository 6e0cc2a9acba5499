"""CSRNet, configuration B (Li et al., CVPR 2018) as a harness plugin."""

from __future__ import annotations

from typing import Any

from harness import Method, ModelOptions, Recipe, Sigma, Stage, hookimpl


def build(options: ModelOptions) -> Any:
    """The network; see `model.build`."""
    from crowd_harness_csrnet import model

    return model.build(options)


def loss(batch: Any, outputs: Any, options: ModelOptions) -> dict[str, Any]:
    """The paper's Euclidean loss (its Eq. 3)."""
    from harness.nn.losses import euclidean_density

    return {"density": euclidean_density(outputs["density"], batch.density(METHOD.stride))}


PAPER = Recipe(
    name="paper",
    epochs=400,
    images_per_step=1,
    crops_per_image=9,
    crop=None,
    crop_share=0.5,
    sigma=Sigma(pixels=15.0, neighbours=3, beta=0.3),
    density_scale=64.0,  # heads a cell, as the official code
    flip=0.5,
    stages=(Stage("sgd", optimizer="sgd", learning_rate=1e-7, options={"momentum": 0.95, "weight_decay": 5e-4}),),
)

METHOD = Method(
    name="csrnet",
    title="CSRNet",
    citation="Li et al., CSRNet: Dilated Convolutional Neural Networks for Understanding the Highly Congested Scenes, "
    "CVPR 2018",
    build=build,
    loss=loss,
    recipe=PAPER,
    stride=8,
    channels=3,
    margin=152,
    pretrained="vgg16",
)


@hookimpl
def harness_methods() -> list[Method]:
    return [METHOD]
