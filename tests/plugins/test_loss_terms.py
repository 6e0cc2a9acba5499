"""Single terms of losses against NumPy, where no official code is a witness: their units, weights, blocks and sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from compiled import to_numpy
from keras import ops

from harness.host.plugins import load_host
from harness.method import Method, ModelOptions
from harness.nn.batch import Batch

METHODS = load_host().methods


def tensor(values: Any) -> Any:
    return ops.convert_to_tensor(np.asarray(values, np.float32))


def a_batch(height: int, width: int, channels: int = 3, heads: bool = True) -> Batch:
    """A black picture with heads at (8, 8) and (20.5, 11.5), or without any."""
    points = np.array([[[8.0, 8.0, 4.0, 1.0], [20.5, 11.5, 4.0, 1.0], [0, 0, 1, 0]]])
    if not heads:
        points[..., 3] = 0
    return Batch(tensor(np.zeros((1, height, width, channels))), tensor(points), {})


def terms(method: Method, batch: Batch, outputs: dict[str, Any], **options: Any) -> dict[str, float]:
    found = method.loss(batch, {name: tensor(values) for name, values in outputs.items()}, ModelOptions(**options))
    return {name: float(to_numpy(value)) for name, value in found.items()}


def test_the_pra_loss_of_sasnet_is_of_densities_times_1000() -> None:
    """Over everywhere by 0.01, so that every pixel is hard: twice the square."""
    batch = a_batch(32, 32)
    found = terms(METHODS["sasnet"], batch, {"density": to_numpy(batch.density(1)) + 0.01})
    assert found["pra"] == pytest.approx(2 * (1000 * 0.01) ** 2, rel=1e-3)


def test_segmentation_and_classes_of_ssr_hef() -> None:
    """Weighted 10⁻² and 10⁻³ (λ1 and λ2 of Eq. 5); the true masks are blocks of 15 × 15 pixels about the heads."""
    generator = np.random.default_rng(0)
    predicted = {side: generator.uniform(0, 1, (1, 32 // side, 32 // side, 1)) for side in (2, 4, 8)}
    logits = generator.normal(0, 1, (1, 15))
    outputs = {f"segmentation{side}": values for side, values in predicted.items()}
    outputs |= {"density": np.zeros((1, 4, 4, 1)), "classes": logits}
    found = terms(METHODS["ssr_hef"], a_batch(32, 32), outputs, largest_count=15.0)
    blocks = np.zeros((32, 32))
    for x, y in ((8, 8), (20, 11)):
        blocks[max(0, y - 7) : y + 8, max(0, x - 7) : x + 8] = 1
    for side, values in predicted.items():
        mask, value = blocks.reshape(32 // side, side, 32 // side, side).max(axis=(1, 3)), values[0, :, :, 0]
        dice = 1 - 2 * (value * mask).sum() / ((value**2).sum() + mask.sum())
        assert found[f"segmentation{side}"] == pytest.approx(1e-2 * dice, rel=1e-4)
    cross_entropy = np.log(np.exp(logits).sum()) - logits[0, 2]  # two heads, of classes of one head each
    assert found["classes"] == pytest.approx(1e-3 * cross_entropy, rel=1e-4)


def test_fixed_weights_of_hsrnet_add_up_the_five_scales() -> None:
    """Without heads every level of the pyramid is 0."""
    scales = np.random.default_rng(0).uniform(0, 0.1, (1, 16, 32, 5))
    found = terms(
        METHODS["hsrnet"],
        a_batch(16, 32, heads=False),
        {"density": np.zeros((1, 16, 32, 1)), "scales": scales},
        density_scale=100.0,
        variant=METHODS["hsrnet"].variants["fixed_weights"].options,
    )
    assert found["scales"] == pytest.approx(0.5 * ((100 * scales) ** 2).mean(axis=(0, 1, 2)).sum(), rel=1e-4)


def test_what_mask_aware_is_taught_is_what_its_density_loss_is_of() -> None:
    batch = a_batch(32, 32, channels=1)
    target = to_numpy(batch.density(4))
    found = terms(METHODS["mask_aware"], batch, {"density": target + 9, "taught": target + 0.16})
    assert found["density"] == pytest.approx((100 * 0.16 / 16) ** 2, rel=1e-3)


def test_how_long_the_papers_train() -> None:
    """Shares of a paper's training in the tables rest on these; each plugin's README says where they are from."""
    epochs = {"sasnet": 1000, "at_cfcn": 300, "at_csrnet": 300, "hsrnet": 400, "ssr_hef": 2800}
    assert {name: METHODS[name].recipe.epochs for name in epochs} == epochs
    joint = METHODS["at_cfcn"].recipe.stages[2]
    assert (joint.decay, joint.decay_factor, joint.decay_epochs) == ("step", 0.1, 50)


def test_what_the_papers_recipes_are_made_of() -> None:
    """Steps of at_cnn, mcnn and zip as their READMEs have them: rows are said to be trained so, and no other test says how."""
    found = {}
    for name in ("at_cfcn", "at_csrnet", "mcnn", "zip"):
        recipe = METHODS[name].recipe
        stages = {(stage.optimizer, stage.learning_rate, stage.l2, stage.warmup_steps) for stage in recipe.stages}
        crops = (recipe.images_per_step, recipe.crops_per_image, recipe.crop, recipe.scales, recipe.flip)
        found[name] = (stages, crops, recipe.sigma.pixels, recipe.density_scale)
    at_cnn = ({("sgd", 1e-3, 5e-4, 0)}, (8, 1, 224, (1.0, 1.0), 0.5), 4.0, 640.0)
    assert found == {
        "at_cfcn": at_cnn,
        "at_csrnet": at_cnn,
        "mcnn": ({("adam", 1e-5, 0.0, 0)}, (1, 1, None, (1.0, 1.0), 0.0), 15.0, 16.0),
        "zip": ({("adam", 1e-4, 1e-4, 0)}, (8, 1, 448, (1 / 2.0, 1 / 0.75), 0.5), 4.0, 256.0),
    }
    own = {name: METHODS["zip"].recipe_for(name) for name in ("shtech_a", "shtech_b", "ucf_qnrf", "nwpu_crowd")}
    assert {name: (recipe.crop, recipe.scales[0]) for name, recipe in own.items()} == {
        "shtech_a": (448, 0.5),
        "shtech_b": (448, 0.4),
        "ucf_qnrf": (672, 0.5),
        "nwpu_crowd": (672, 0.5),
    }
    assert [stage.options for stage in METHODS["at_cfcn"].recipe.stages] == [{"momentum": 0.9}] * 3
