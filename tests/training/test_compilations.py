"""How often a network is compiled: a bounded number of times, whatever the sizes of the pictures, and to the same numbers."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from harness.benchmark import Sample
from harness.data.datasets.synth import SYNTH
from harness.data.image_store import ImageStore
from harness.data.pipeline import Pipeline
from harness.data.scenes import Scene
from harness.head_spacing import Sigma
from harness.host.plugins import load_host
from harness.method import Method, ModelOptions, inference_network
from harness.nn.batch import Batch
from harness.recipe import Recipe, Stage
from harness.training import backend, prediction
from harness.training.evaluation import evaluate
from harness.training.network import PointTrainer
from harness.training.prediction import fixed_sides, predict_density, spans

pytestmark = pytest.mark.backend
BACKEND = keras.backend.backend()
# Height and width of the fifty pictures of UCF_CC_50, each once.
UCF_CC_50 = (
    *((328, 496), (384, 600), (424, 600), (424, 640), (424, 720), (432, 1024), (440, 640), (448, 640), (480, 640)),
    *((496, 360), (496, 744), (528, 640), (600, 456), (600, 800), (600, 896), (648, 984), (648, 1024), (656, 1024)),
    *((680, 1024), (712, 1024), (744, 1024), (752, 1024), (768, 1024), (824, 1024), (1024, 680), (1024, 1024)),
)
MOST = 8


def averaging(channels: int = 1, stride: int = 4) -> keras.Model:
    """A network as small as can be of that stride."""
    image = keras.Input((None, None, channels))
    x = keras.layers.AveragePooling2D(stride)(image)
    return keras.Model(image, keras.layers.Conv2D(1, 3, padding="same", use_bias=False)(x))


def pictures(sizes: Any, channels: int = 1) -> list[Scene]:
    generator = np.random.default_rng(0)
    return [
        Scene(
            Sample(f"{number}", Path(), None),
            generator.integers(0, 255, (*size, channels), np.uint8),
            np.zeros((0, 2)),
            None,
        )
        for number, size in enumerate(sizes)
    ]


def test_the_pictures_of_ucf_cc_50_are_few_compilations() -> None:
    """26 sizes, with MCNN's stride and margin; again with other weights and frozen layers, which compiles nothing."""
    method = load_host().method("mcnn")
    network, compiled = averaging(), backend_compilations()
    for pass_ in range(2):
        results = evaluate(network, method, pictures(UCF_CC_50))
        assert len(results) == 26 and all(np.isfinite(result.predicted) for result in results)
        network.set_weights([weight + 1 for weight in network.get_weights()])
        network.trainable = False
        if BACKEND == "jax":
            assert 1 < backend.compilations(network) <= MOST and compiled() <= MOST, pass_
        elif BACKEND == "tensorflow":
            assert backend.compilations(network) == 1


def backend_compilations() -> Any:
    """What JAX itself counts from here on: also what is compiled beside the network."""
    count = [0]
    if BACKEND == "jax":
        import jax

        def heard(event: str, *_: Any, **__: Any) -> None:
            count[0] += event == "/jax/core/compile/backend_compile_duration"

        jax.monitoring.register_event_duration_secs_listener(heard)
    return lambda: count[0]


def test_weights_are_read_anew() -> None:
    network = averaging()
    image = np.random.default_rng(0).integers(0, 255, (1, 16, 24, 1)).astype(np.float32)
    first = backend.forward(network, image)
    network.set_weights([2 * weight for weight in network.get_weights()])
    np.testing.assert_allclose(backend.forward(network, image), 2 * first, rtol=1e-5)
    assert first.dtype == np.float32 and first.shape == (1, 4, 6, 1) and np.abs(first).max() > 0


def test_the_network_of_inference_is_made_once() -> None:
    image = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(1, 3)(image)
    network = keras.Model(image, {"density": x, "other": keras.layers.Conv2D(1, 1)(x)})
    assert inference_network(network) is inference_network(network) is not network
    plain = averaging()
    assert inference_network(plain) is plain


@pytest.mark.parametrize("margin", [0, 16, 48, 64, 128, 152, 256])
@pytest.mark.parametrize("multiple", [1, 8, 24])
def test_tiles_lie_inside_and_their_own_parts_cover(margin: int, multiple: int) -> None:
    margin = -(-margin // multiple) * multiple
    sides = fixed_sides(margin, multiple)
    assert 1 <= len(sides) <= 3 and all(side % multiple == 0 and side > 2 * margin for side in sides)
    for length in range(multiple, 2200, multiple * 7):
        found = spans(length, margin, sides)
        assert found[0][0] == 0 and found[-1][1] == length
        assert len({end - start for start, end in found}) == 1
        assert all(start % multiple == 0 for start, _ in found)
        for (_, end), (start, _) in pairwise(found):
            assert 0 < start <= end - 2 * margin
        assert found[0][1] in sides or length < min(sides)


LOCAL = sorted(name for name, method in load_host().methods.items() if method.local)
TRIED = {"tensorflow": LOCAL, "jax": ["mcnn"], "torch": []}[BACKEND]  # where tiles lie is the same on each


@pytest.mark.parametrize("name", TRIED)
def test_fixed_tiles_give_what_the_whole_gives(name: str) -> None:
    """Three tiles with 64 pixels between two margins, along the picture's width; its height is a side of its own."""
    method = load_host().method(name)
    keras.utils.set_random_seed(0)
    network = inference_network(method.build(ModelOptions(density_scale=100.0)))
    margin = -(-method.margin // method.side_multiple) * method.side_multiple
    side = 2 * margin + 64
    image = np.random.default_rng(0).integers(0, 255, (61, side + 120, method.channels), np.uint8)
    sizes = (method.stride, method.side_multiple, method.margin)
    whole = predict_density(network, image, *sizes)
    tiled = predict_density(network, image, *sizes, sides=(side,))
    assert backend.compilations(network) == (2 if BACKEND == "jax" else 1)
    assert whole.std() > 0
    np.testing.assert_allclose(tiled, whole, rtol=1e-4, atol=1e-5 * np.abs(whole).max())


def test_networks_that_see_the_whole_picture_are_given_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []
    monkeypatch.setattr(backend, "compiles_each_size", lambda: True)
    monkeypatch.setattr(
        backend, "forward", lambda network, images: seen.append(images.shape) or images[:, ::8, ::8, :1]
    )
    local: Method = replace(load_host().method("mcnn"), stride=8)
    image = np.zeros((600, 700, 1), np.uint8)
    prediction.density_of(None, replace(local, local=False), image)
    assert seen == [(1, 600, 704, 1)]
    seen.clear()
    prediction.density_of(None, local, image)
    assert {shape[1:3] for shape in seen} == {(512, 512)} and len(seen) == 4


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch compiles no step")
def test_an_epoch_of_crops_by_share_is_few_compilations() -> None:
    """16 pictures of 16 sizes with 3 to 1,500 heads, by halves and wholes: a step is traced for 8 sizes a share."""
    sides = np.random.default_rng(0).permutation([(side, 160 - side) for side in range(64, 128, 4)])
    heads = {f"{number}": 100 * number or 3 for number in range(16)}
    benchmark = replace(
        SYNTH,
        read_image=lambda sample, channels: np.zeros((*sides[int(sample.name)], channels), np.uint8),
        read_points=lambda sample: np.full((heads[sample.name], 2), 7.0),
    )
    recipe = Recipe("r", 1, images_per_step=1, crop=None, crop_share=(0.5, 1.0), sigma=Sigma(4.0), flip=0.0)
    samples = tuple(Sample(name, "train") for name in heads)
    made = Pipeline(benchmark, samples, ImageStore(benchmark, 1), recipe, 4, 0)
    traced: list[tuple[Any, ...]] = []

    def loss(batch: Batch, outputs: Any, options: ModelOptions) -> dict[str, Any]:
        traced.append((*batch.image.shape, batch.points.shape[1]))
        return {"density": keras.ops.mean(keras.ops.square(outputs["density"] - batch.density(4)))}

    options = ModelOptions()
    method = Method("m", "M", "", lambda options: averaging(), loss, recipe, stride=4, channels=1)
    trainer = PointTrainer(averaging(), method, options)
    trainer.start(Stage(optimizer="sgd"), backend.jit_compile(sizes_vary=True))
    given = set()
    for crops in made.epoch(0, 48):
        trainer.dispatched(*crops)
        given.add((*crops.images.shape, crops.points.shape[1]))
    assert 3 < len(given) <= len(traced) <= 2 * MOST if BACKEND == "jax" else 0 < len(traced) <= 3
    assert min(shape[1] for shape in given) < 64 < max(shape[1] for shape in given), "crops of both shares"


def test_tensorflow_uses_xla_only_where_crops_are_of_one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "accelerator", lambda: "a GPU")
    expected = {"tensorflow": ("auto", False), "jax": (True, True), "torch": (False, False)}
    assert (backend.jit_compile(), backend.jit_compile(sizes_vary=True)) == expected[BACKEND]
