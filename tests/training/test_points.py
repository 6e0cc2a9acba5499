"""A method that says where heads are: its points beside its density, whole and in tiles, measured and checked."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from harness import Method, ModelOptions, Recipe
from harness.benchmark import Sample
from harness.data.scenes import Scene
from harness.errors import DivergedError, InvalidMethodError
from harness.localisation import accepted
from harness.method import inference_network
from harness.nn.targets import head_counts
from harness.testing import verdicts
from harness.training import backend, evaluation
from harness.training.evaluation import evaluate, localised
from harness.training.prediction import Prediction, points_of, predict, prediction_of
from harness.training.soundness import check

pytestmark = pytest.mark.backend
STRIDE, MARGIN = 8, 32
OPTIONS = ModelOptions()
FILE = r"test_points\.py:\d+"


def pointing(
    candidates: Callable[[Any], Any] = lambda points: points,
    density: Callable[[Any], Any] = lambda points: ops.sum(
        ops.cast(points[..., 2::3] >= 0.5, "float32"), axis=-1, keepdims=True
    ),
) -> Callable[[ModelOptions], keras.Model]:
    """Two candidates a cell; `candidates` and `density` make them, and the map, otherwise."""

    def build(options: ModelOptions) -> keras.Model:
        image = keras.Input((None, None, 3))
        x = layers.Rescaling(1 / 255)(image)
        x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="first")(x)
        x = layers.Conv2D(8, 4, strides=4, padding="same", activation="relu", name="second")(x)
        places = layers.Rescaling(float(STRIDE), dtype="float32")(layers.Conv2D(4, 3, padding="same", name="places")(x))
        logits = layers.Conv2D(2, 3, padding="same", dtype="float32", name="logits")(x)
        scores = layers.Activation("sigmoid", dtype="float32")(logits)
        parts = [places[..., :2], scores[..., :1], places[..., 2:], scores[..., 1:]]
        points = candidates(ops.concatenate(parts, axis=-1))
        return keras.Model(image, {"density": density(points), "points": points, "logits": logits, "places": places})

    return build


def loss(batch: Any, outputs: Any, options: Any) -> Any:
    height, width = ops.shape(outputs["logits"])[1:3]
    counts = head_counts(batch.points, height, width, STRIDE)[..., None]
    heads = ops.cast(ops.concatenate([counts >= 1, counts >= 2], axis=-1), "float32")
    wrong = ops.mean(keras.losses.binary_crossentropy(heads, outputs["logits"], from_logits=True))
    return {"scores": wrong, "places": ops.mean(ops.square(outputs["places"]))}


SOUND = Method(
    "pointing", "Pointing", "me", pointing(), loss, Recipe("paper", epochs=1, crop=64), stride=STRIDE, margin=MARGIN
)


@pytest.fixture(scope="module")
def network() -> keras.Model:
    backend.start()
    keras.utils.set_random_seed(1)
    return inference_network(SOUND.build(OPTIONS))


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 255, (height, width, 3), np.uint8)


def test_the_network_of_inference_gives_density_and_points_alone(network: keras.Model) -> None:
    assert sorted(network.output) == ["density", "points"]
    outputs = backend.forward(network, picture(24, 40)[None].astype(np.float32))
    assert {name: (values.shape, values.dtype) for name, values in outputs.items()} == {
        "density": ((1, 3, 5, 1), np.float32),
        "points": ((1, 3, 5, 6), np.float32),
    }


@pytest.mark.parametrize("how", [{"largest": 1, "tile": 64}, {"sides": (128,)}])
def test_tiles_keep_the_points_of_their_own_part(network: keras.Model, how: dict[str, Any]) -> None:
    image = picture(133, 245)
    whole = predict(network, image, STRIDE, STRIDE, MARGIN, largest=10**9)
    tiled = predict(network, image, STRIDE, STRIDE, MARGIN, **how)
    assert whole.candidates is not None and tiled.candidates is not None
    assert whole.candidates.shape == (17, 31, 6) and 10 < whole.density.sum() < 2 * 17 * 31 - 10
    np.testing.assert_allclose(tiled.candidates, whole.candidates, atol=1e-4)
    np.testing.assert_array_equal(tiled.density, whole.density)
    assert len(points_of(whole, STRIDE)) == whole.density.sum()
    np.testing.assert_allclose(points_of(tiled, STRIDE), points_of(whole, STRIDE), atol=1e-4)


def test_its_own_points_are_matched_and_a_density_has_those_of_its_peaks(network: keras.Model) -> None:
    image, sample = picture(64, 96), Sample("one", "test")
    prediction = prediction_of(network, SOUND, image)
    assert prediction.candidates is not None
    own = accepted(prediction.candidates, STRIDE)
    heads = own[::2, :2] + [3.0, 0.0]
    assert len(heads) > 5
    scene = Scene(sample, image, heads)
    (result,) = evaluate(network, SOUND, [scene], locate=True)
    assert result.located is not None and result.located.own and len(result.located.points) == result.predicted
    assert result.located.matched == {"4": len(heads), "8": len(heads)}
    assert localised([result])["4"] == pytest.approx(
        (len(heads) / len(own), 1.0, 2 * len(heads) / (len(heads) + len(own)))
    )
    assert evaluate(network, SOUND, [scene])[0].located is None

    alone = keras.Model(network.input, network.output["density"])
    (peaked,) = evaluate(alone, SOUND, [scene], locate=True)
    assert peaked.located is not None and not peaked.located.own
    assert peaked.predicted == result.predicted >= len(peaked.located.points) > 0
    assert (peaked.located.points[:, :2] % STRIDE == STRIDE / 2).all()


def test_the_peak_of_a_cell_that_the_border_cuts_is_inside(network: keras.Model) -> None:
    alone = keras.Model(network.input, network.output["density"])
    for height, width in ((33, 41), (39, 47), (40, 48)):
        scene = Scene(Sample("one", "test"), picture(height, width), np.zeros((0, 2)))
        (result,) = evaluate(alone, SOUND, [scene], locate=True)
        assert result.located is not None and len(result.located.points)
        assert (result.located.points[:, :2] < [width, height]).all()


def test_a_point_that_is_nowhere_is_named_with_its_picture(
    network: keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, sound = Scene(Sample("street", "test"), picture(64, 96), np.zeros((0, 2))), evaluation.prediction_of

    def nowhere(*arguments: Any) -> Prediction:
        found = sound(*arguments)
        assert found.candidates is not None
        return replace(found, candidates=np.where(found.candidates >= 0.5, np.inf, found.candidates))

    monkeypatch.setattr(evaluation, "prediction_of", nowhere)
    assert len(evaluate(network, SOUND, [scene])) == 1
    with pytest.raises(DivergedError, match="point of street is not finite"):
        evaluate(network, SOUND, [scene], locate=True)


def test_points_outside_the_region_are_none(network: keras.Model) -> None:
    image, region = picture(64, 96), np.zeros((64, 96), bool)
    region[:, :48] = True
    scene = Scene(Sample("one", "test"), image, np.zeros((0, 2)), region)
    (result,) = evaluate(network, SOUND, [scene], locate=True)
    points = points_of(prediction_of(network, SOUND, image), STRIDE)
    inside = (points[:, 0] >= 0) & (points[:, 0] < 48) & (points[:, 1] >= 0) & (points[:, 1] < 64)
    assert result.located is not None and 0 < inside.sum() < len(points)
    np.testing.assert_array_equal(result.located.points, points[inside])


def test_the_count_in_a_region_is_the_number_of_points_in_it(network: keras.Model) -> None:
    """The region ends within cells: a candidate counts whole where it lies inside, and not at all where it does not."""
    image, region = picture(64, 96), np.zeros((64, 96), bool)
    region[3:59, :45] = True
    scene = Scene(Sample("one", "test"), image, np.zeros((0, 2)), region)
    (result,) = evaluate(network, SOUND, [scene], locate=True)
    assert result.located is not None and result.predicted == len(result.located.points) > 0
    assert result.predicted_grid.sum() == result.predicted
    (again,) = evaluate(network, SOUND, [scene])
    assert again.predicted == result.predicted


def test_a_method_with_points_passes_every_check() -> None:
    found = list(verdicts(SOUND, backends=()))
    assert not [verdict for verdict in found if not verdict.ok], found
    said = {verdict.check: verdict.message for verdict in found}
    assert said["output"] == "density and points at stride 8, float32"
    assert check(SOUND, OPTIONS, SOUND.recipe) == ("scores", "places")


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "four numbers a candidate": (
        {"candidates": lambda points: points[..., :4]},
        rf"\({FILE}\): its points of a 64×128 image are \(2, 8, 16, 4\); expected \(2, 8, 16, 3·K\): K times ",
    ),
    "another stride": (
        {
            "candidates": lambda points: ops.repeat(points, 2, axis=1),
            "density": lambda points: 0.0 * points[:, ::2, :, :1],
        },
        r"its points of a 64×128 image are \(2, 16, 16, 6\); expected \(2, 8, 16, 3·K\)",
    ),
    "scores that are none": (
        {"candidates": lambda points: 2.0 + points},
        r"one of its points is x \S+, y \S+, score 2\.\d+; expected finite numbers and a score from 0 to 1",
    ),
    "no number": ({"candidates": lambda points: points / 0.0}, r"score (nan|inf); expected finite numbers"),
    "half precision": (
        {
            "candidates": lambda points: ops.cast(points, "float16"),
            "density": lambda points: 0.0 * ops.cast(points[..., :1], "float32"),
        },
        r"its points are float16; expected float32",
    ),
    "a density of its own": (
        {"density": lambda points: ops.sum(points[..., 2::3], axis=-1, keepdims=True)},
        r"its density counts \S+ heads, but \d+ of its points have a score of at least 0\.5; expected their number",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named(mistake: str) -> None:
    changes, expected = MISTAKES[mistake]
    with pytest.raises(InvalidMethodError) as found:
        check(replace(SOUND, build=pointing(**changes)), OPTIONS, SOUND.recipe)
    assert "\n" not in str(found.value) and re.search(expected, str(found.value)), str(found.value)


def test_an_export_is_of_the_density_alone(network: keras.Model, tmp_path: Path) -> None:
    if keras.backend.backend() != "tensorflow":
        pytest.skip("exports are TensorFlow's")
    from harness.training.export import export

    agreements = export(network, SOUND, tmp_path / "network", "savedmodel", picture(64, 96))
    assert agreements and all(one.close for one in agreements)
