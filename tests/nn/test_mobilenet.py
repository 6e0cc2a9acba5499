"""The front of MobileNetV2 beside Keras' own network, from files of random weights; nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from compiled import outputs_of
from keras import layers, ops

from harness import Method, ModelOptions, Recipe, Stage
from harness.commands.bench import _check_pretrained
from harness.errors import HarnessError
from harness.nn import mobilenet
from harness.training import backend
from harness.training.network import PointTrainer
from harness.training.soundness import check


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of no training, in which nothing is 0 or 1 or alike."""
    network = keras.applications.MobileNetV2(weights=None, include_top=False, input_shape=(224, 224, 3))
    generator = np.random.default_rng(0)
    for variable in network.weights:
        spread = np.sqrt(2 / np.prod(variable.shape[:3])) if "kernel" in variable.path else 0.1
        mean = 1.0 if variable.path.endswith(("gamma", "moving_variance")) else 0.0
        variable.assign(generator.normal(mean, spread, variable.shape))
    folder = tmp_path_factory.mktemp("weights")
    network.save_weights(folder / "mobilenet.weights.h5")
    network.save(folder / "mobilenet.h5")  # the older format, in which Keras offers its own
    return folder


@pytest.fixture(scope="module")
def network(weights: Path) -> keras.Model:
    """Both of the front's ends, stride 8 and 16, behind images 0–255 of any size."""
    image = keras.Input((None, None, 3))
    front = keras.Model(image, mobilenet.front(mobilenet.scaled(image), 16))
    mobilenet.load_pretrained(front, str(weights / "mobilenet.weights.h5"))
    return keras.Model(image, [front.get_layer(end).output for end in mobilenet.ENDS.values()])


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 255, (1, height, width, 3)).astype(np.float32)


@pytest.mark.backend
def test_it_computes_what_keras_network_does_at_any_size(weights: Path, network: keras.Model) -> None:
    """Keras' network is built for that size, and has the official scaling before it."""
    image = noise(80, 112)
    theirs = keras.applications.MobileNetV2(weights=None, include_top=False, input_shape=(80, 112, 3))
    theirs.load_weights(weights / "mobilenet.weights.h5")
    inner = keras.Model(theirs.input, [theirs.get_layer(end).output for end in mobilenet.ENDS.values()])
    expected = outputs_of(inner, keras.applications.mobilenet_v2.preprocess_input(image.copy()))
    for found, wanted, shape in zip(
        outputs_of(network, image), expected, [(1, 10, 14, 192), (1, 5, 7, 576)], strict=True
    ):
        assert found.shape == shape and np.std(ops.convert_to_numpy(wanted)) > 0.05
        np.testing.assert_allclose(ops.convert_to_numpy(found), ops.convert_to_numpy(wanted), atol=1e-4)


def test_a_cell_sees_as_far_as_is_said(network: keras.Model) -> None:
    """Pixels beyond are of no effect; those just within are."""
    image = noise(320, 320)
    for end, (stride, reach) in enumerate(((8, 29), (16, 133))):
        place = 160 // stride  # the cell's row and column
        first, last = 160 - reach, 160 + stride + reach  # all that it may see
        beyond, within = image.copy(), image.copy()
        beyond[:, :first] = beyond[:, :, :first] = beyond[:, last:] = beyond[:, :, last:] = 0
        within[:, last - stride : last] = 255 - within[:, last - stride : last]
        seen, same, other = (
            ops.convert_to_numpy(network(each)[end])[0, place, place] for each in (image, beyond, within)
        )
        np.testing.assert_array_equal(same, seen)
        assert not np.array_equal(other, seen)


def test_both_formats_of_keras_are_read(weights: Path) -> None:
    kept, older = (mobilenet.read(weights / name) for name in ("mobilenet.weights.h5", "mobilenet.h5"))
    for one, other in zip(kept.weights, older.weights, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(one), ops.convert_to_numpy(other))


def test_another_stride_is_refused() -> None:
    with pytest.raises(ValueError, match="stride: expected one of 8, 16, found 4"):
        mobilenet.front(keras.Input((None, None, 3)), 4)


def test_what_is_not_its_weights_is_refused_before_training(tmp_path: Path) -> None:
    """As the bench checks them, in one line that names the file."""

    def cell(source: Path | str) -> SimpleNamespace:
        method, options = SimpleNamespace(pretrained="mobilenet_v2"), SimpleNamespace(pretrained=str(source))
        return SimpleNamespace(run=SimpleNamespace(method=method, options=options))

    _check_pretrained([cell("none")])
    (tmp_path / "text.h5").write_text("nothing of the kind")
    (tmp_path / "state.safetensors").write_bytes(bytes(16))
    narrow = keras.applications.MobileNetV2(alpha=0.35, weights=None, include_top=False, input_shape=(224, 224, 3))
    narrow.save_weights(tmp_path / "narrow.weights.h5")
    for name in ("text.h5", "state.safetensors", "narrow.weights.h5"):
        with pytest.raises(HarnessError, match=rf"{name}: not the weights of .* MobileNetV2 without its top") as found:
            _check_pretrained([cell(tmp_path / name)])
        assert "\n" not in str(found.value)
    with pytest.raises(HarnessError, match=r"gone\.h5: no such file; expected MobileNetV2 weights"):
        mobilenet.check(str(tmp_path / "gone.h5"))


def test_imagenet_that_cannot_be_downloaded_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(**arguments: Any) -> None:
        assert arguments["weights"] == "imagenet"
        raise OSError("no network")

    monkeypatch.setattr(keras.applications, "MobileNetV2", offline)
    with pytest.raises(
        HarnessError, match=r"weights of MobileNetV2 cannot be downloaded \(no network\)\. Connect once"
    ):
        mobilenet.check("imagenet")


def build(options: ModelOptions) -> keras.Model:
    image = keras.Input((None, None, 3))
    x = layers.Conv2D(1, 1, name="head")(mobilenet.front(mobilenet.scaled(image)))
    network = keras.Model(image, layers.Rescaling(options.heads_a_cell(8), dtype="float32")(x))
    mobilenet.load_pretrained(network, options.pretrained)
    return network


def loss(batch: Any, outputs: Any, options: ModelOptions) -> dict[str, Any]:
    return {"density": ops.mean(ops.square(outputs["density"] - batch.density(8)))}


HEAD_ALONE = Recipe("paper", epochs=2, stages=(Stage("head", trains=("head",), learning_rate=0.01),))
LIGHT = Method("light", "Light", "me", build, loss, HEAD_ALONE, stride=8, pretrained="mobilenet_v2")


def test_weights_that_do_not_fit_or_have_nowhere_to_go_are_named(weights: Path) -> None:
    path = str(weights / "mobilenet.weights.h5")
    grey = keras.Input((None, None, 1))
    with pytest.raises(
        HarnessError,
        match=r"mobilenet\.weights\.h5: Conv1 has shapes \[\(3, 3, 3, 32\)\]; expected \[\(3, 3, 1, 32\)\]",
    ):
        mobilenet.load_pretrained(keras.Model(grey, mobilenet.front(grey)), path)
    other = keras.Model(grey, keras.layers.Conv2D(2, 3)(grey))
    with pytest.raises(HarnessError, match="none of MobileNetV2's layers"):
        mobilenet.load_pretrained(other, path)


@pytest.mark.backend
def test_a_plugin_may_build_on_it_and_freeze_it(weights: Path) -> None:
    """Sound as every method must be; a stage that does not train it leaves its weights and its running averages as they are."""
    options = ModelOptions(pretrained=str(weights / "mobilenet.weights.h5"), density_scale=64.0)
    assert check(LIGHT, options, LIGHT.recipe) == ("density",)
    network = build(options)
    generator = np.random.default_rng(3)
    images = generator.integers(0, 255, (2, 32, 32, 3), np.uint8)
    points = np.concatenate([generator.uniform(0, 32, (2, 9, 2)), np.full((2, 9, 1), 4.0), np.ones((2, 9, 1))], axis=2)
    before = [ops.convert_to_numpy(variable).copy() for variable in network.weights]
    trainer = PointTrainer(network, LIGHT, options)
    trainer.start(LIGHT.recipe.stages[0], backend.jit_compile())
    trainer.train(images, points.astype(np.float32))
    after = [ops.convert_to_numpy(variable) for variable in network.weights]
    moved = {v.path for v, old, new in zip(network.weights, before, after, strict=True) if not np.array_equal(old, new)}
    assert moved == {variable.path for variable in network.get_layer("head").weights}
