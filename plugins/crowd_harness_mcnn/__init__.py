"""MCNN (Zhang et al., CVPR 2016) as a harness plugin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import Batch, Method, ModelOptions, Recipe, Sigma, Stage, hookimpl


def build(options: ModelOptions) -> Any:
    """The network; see `model.build`."""
    from crowd_harness_mcnn import model

    return model.build(options)


def loss(batch: Batch, outputs: Any, options: ModelOptions) -> dict[str, Any]:
    """The paper's Euclidean loss (Eq. 3)."""
    from harness.nn.losses import euclidean_density

    return {"density": euclidean_density(outputs["density"], batch.density(METHOD.stride))}


# Of each image nine patches of a quarter of its sides, one a step: nine steps an image and epoch, here drawn anew each time.
PAPER = Recipe(
    name="paper",
    epochs=9 * 2000,
    images_per_step=1,
    crops_per_image=1,
    crop=None,
    crop_share=0.25,
    sigma=Sigma(pixels=15.0, neighbours=3, beta=0.3),
    density_scale=16.0,  # heads a cell, as the published weights
    flip=0.0,
    stages=(Stage("adam", optimizer="adam", learning_rate=1e-5),),
)

METHOD = Method(
    name="mcnn",
    title="MCNN",
    citation="Zhang et al., Single-Image Crowd Counting via Multi-Column Convolutional Neural Network, CVPR 2016",
    build=build,
    loss=loss,
    recipe=PAPER,
    recipes={
        "shtech_b": replace(PAPER, sigma=Sigma(pixels=4.0)),
        "worldexpo10": replace(PAPER, benchmark_kernels=True),  # 0.2 m by its perspective maps
    },
    stride=4,
    channels=1,
    margin=64,
)


@hookimpl
def harness_methods() -> list[Method]:
    return [METHOD]


@hookimpl
def harness_published() -> list[Path]:
    return [Path(__file__).with_name("published.yaml")]


@hookimpl
def harness_read_weights(method: str, path: Path) -> Any:
    if method != METHOD.name:
        return None
    from crowd_harness_mcnn import checkpoint

    return checkpoint.read(path)
