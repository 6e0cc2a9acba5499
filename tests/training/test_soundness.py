"""Mistakes that plugin authors make: each is told in one line before any number, with the plugin's own file and line."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from harness import Method, ModelOptions, Recipe, Stage
from harness.errors import InvalidMethodError
from harness.nn.resizing import Enlarge
from harness.testing import verdicts
from harness.training.complaints import place_of
from harness.training.soundness import check

pytestmark = pytest.mark.backend
OPTIONS = ModelOptions(density_scale=100.0)
FILE = r"test_soundness\.py:\d+"


def network(strides: int = 8, channels: int = 1, scaled: bool = True, name: str = "density") -> Any:
    def build(options: ModelOptions) -> keras.Model:
        image = keras.Input((None, None, 3))
        x = layers.Conv2D(4, 5, strides=strides, padding="same", name="first")(image)
        x = layers.Conv2D(channels, 1, dtype="float32", name="last")(x)
        x = layers.Rescaling(options.heads_a_cell(8), dtype="float32")(x) if scaled else x
        return keras.Model(image, {name: x})

    return build


def fixed_size(options: ModelOptions) -> keras.Model:
    image = keras.Input((64, 64, 3))
    return keras.Model(image, layers.Conv2D(1, 1, strides=8)(image))


class Refusing(layers.Layer):
    """Knows its own shape, and fails as soon as there is a picture."""

    def compute_output_shape(self, shape: Any) -> Any:
        return shape

    def compute_output_spec(self, images: Any) -> Any:
        return keras.KerasTensor(images.shape, images.dtype)

    def call(self, images: Any) -> Any:
        raise ValueError("expected at least two of them\nand more advice")


def refusing(options: ModelOptions) -> keras.Model:
    image = keras.Input((None, None, 3))
    return keras.Model(image, layers.Conv2D(1, 8, strides=8, padding="same")(Refusing(name="refuses")(image)))


def loss(batch: Any, outputs: Any, options: Any) -> Any:
    return {"density": ops.mean(ops.square(outputs["density"] - batch.density(8)))}


SOUND = Method("mine", "Mine", "me", network(), loss, Recipe("paper", epochs=1), stride=8)


def complaint(method: Method) -> str:
    with pytest.raises(InvalidMethodError) as found:
        check(method, OPTIONS, method.recipe)
    assert "\n" not in str(found.value)
    return str(found.value)


def test_a_sound_method_gives_the_names_of_its_terms() -> None:
    assert check(SOUND, OPTIONS, SOUND.recipe) == ("density",)


def _raises(batch: Any, outputs: Any, options: Any) -> Any:
    return {"density": outputs["densty"]}


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "two channels": (
        {"build": network(channels=2)},
        rf"\({FILE}\): its density of a 64×128 image is \(2, 8, 16, 2\); expected "
        r"\(2, 8, 16, 1\): one channel at the declared stride of 8",
    ),
    "another stride": ({"build": network(strides=4)}, r"is \(2, 16, 32, 1\); expected \(2, 8, 16, 1\)"),
    "no density": ({"build": network(name="map")}, r"its outputs are \['map'\]; one must be called 'density'"),
    "no model": ({"build": lambda options: None}, r"build returned NoneType; expected a keras\.Model"),
    "a fixed size": (
        {"build": fixed_size},
        r"its input is \(None, 64, 64, 3\); expected \(None, None, None, 3\)",
    ),
    "a scalar": (
        {"loss": lambda batch, outputs, options: ops.mean(outputs["density"])},
        rf"\({FILE}\): loss returned a \w+ of shape \(\); expected a dict of named scalar terms",
    ),
    "an unreduced term": (
        {"loss": lambda batch, outputs, options: {"mask": ops.mean(outputs["density"], axis=-1)}},
        r"term 'mask' of its loss has shape \(2, 8, 8\); expected a scalar",
    ),
    "a target at another stride": (
        {"loss": lambda batch, outputs, options: {"density": ops.mean(outputs["density"] - batch.density(4))}},
        rf"\({FILE}\): loss raised \w+",
    ),
    "an output of another name": ({"loss": _raises}, rf"\({FILE}\): loss raised KeyError: 'densty'"),
    "not a number": (
        {"loss": lambda batch, outputs, options: {"density": ops.mean(outputs["density"]) * float("nan")}},
        r"term 'density' of its loss is nan",
    ),
    "a misspelt term": (
        {"recipe": Recipe("paper", 1, stages=(Stage(loss_weights={"densty": 2.0}),))},
        r"stage 'train' weighs the term 'densty', which its loss does not return\. Did you mean 'density'\?",
    ),
    "a misspelt layer": (
        {"recipe": Recipe("paper", 1, stages=(Stage(trains=("frist",)),))},
        r"stage 'train' trains 'frist': no layer with weights is called so\. Did you mean 'first'\?",
    ),
    "a misspelt layer with a rate": (
        {"recipe": Recipe("paper", 1, stages=(Stage(rates={"frist": 0.1}),))},
        r"stage 'train' sets the rate of 'frist': no layer with weights is called so\. Did you mean 'first'\?",
    ),
    "a layer that fails": (
        {"build": refusing},
        rf"\({FILE}\): its network raised ValueError: expected at least two of them \(in Refusing\.call\(\)\)$",
    ),
    "no density scale": (
        {"build": network(scaled=False)},
        r"with twice the density_scale its map is 1 times as large; expected 0\.5",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named(mistake: str) -> None:
    changes, expected = MISTAKES[mistake]
    said = complaint(replace(SOUND, **changes))
    assert said.startswith("method mine") and re.search(expected, said), said


def test_an_error_in_a_folder_of_the_plugin_has_its_place() -> None:
    """The deepest of the plugin's own lines, not that of the module which imports it."""
    scope: dict[str, Any] = {}
    source = "\n\ndef broken(options):\n    return options['absent']\n"
    exec(compile(source, str(Path(__file__).parent / "parts" / "head.py"), "exec"), scope)
    said = complaint(replace(SOUND, build=lambda options: scope["broken"]({})))
    assert said == "method mine (parts/head.py:4): build raised KeyError: 'absent'"


def test_what_lies_in_the_plugins_folder_and_is_not_the_plugins_has_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python itself, and what is installed, below the folder in which somebody keeps a plugin's file."""
    here = Path(__file__).parent
    monkeypatch.setattr(sys, "base_prefix", str(here / "python"))
    for file in ("python/lib/json/decoder.py", "env/lib/site-packages/torch/nn.py"):
        scope: dict[str, Any] = {}
        exec(compile("def broken(options):\n    return options['absent']\n", str(here / file), "exec"), scope)
        said = complaint(replace(SOUND, build=lambda options, scope=scope: scope["broken"]({})))
        assert re.match(rf"method mine \({FILE}\): build raised KeyError", said), said


def test_a_module_that_is_installed_by_itself_is_not_all_that_is_installed(tmp_path: Path) -> None:
    """Its folder is site-packages, and so is that of every library."""
    site = tmp_path / "site-packages"
    (site / "numeric").mkdir(parents=True)
    scope: dict[str, Any] = {}
    for name, source in (
        ("numeric/solver.py", "def solve():\n    raise KeyError('absent')\n"),
        ("mycounter.py", "def build(options):\n    return 1 + solve()\ndef loss(*_): ...\n"),
    ):
        (site / name).write_text(source)
        exec(compile(source, str(site / name), "exec"), scope)
    method = replace(SOUND, build=scope["build"], loss=scope["loss"])
    with pytest.raises(KeyError) as found:
        method.build(ModelOptions())
    assert place_of(found.value, method) == "mycounter.py:2"


class AtLeastTwo(Refusing):
    def call(self, images: Any) -> Any:
        if images.shape[1] == 1:
            raise ValueError("expected more than 1 spatial element")
        return images


def test_what_no_benchmark_has_is_no_failure() -> None:
    """Instance normalisation is not defined on one cell. (TensorFlow compiles this layer for unknown sizes, and none fails.)"""

    def build(options: ModelOptions) -> keras.Model:
        image = keras.Input((None, None, 3))
        x = AtLeastTwo()(layers.Conv2D(4, 5, strides=8, padding="same")(image))
        x = layers.Conv2D(1, 1, dtype="float32")(x)
        return keras.Model(image, layers.Rescaling(options.heads_a_cell(8), dtype="float32")(x))

    found = [one for one in verdicts(replace(SOUND, build=build), backends=()) if one.check == "any size"]
    assert [one.ok for one in found] == [True]
    refused = keras.backend.backend() != "tensorflow"
    assert ("not 1×1: ValueError: expected more than 1 spatial element" in found[0].message) == refused


def test_a_unit_of_ones_own_is_declared() -> None:
    assert check(replace(SOUND, build=network(scaled=False), unit=64.0), OPTIONS, SOUND.recipe)
    assert "it declares a unit of its own (64)" in complaint(replace(SOUND, unit=64.0))
    assert np.isfinite(SOUND.unit)


def enlarging(made: Callable[[], layers.Layer], whole: bool) -> Any:
    """The map (or, if not `whole`, an output for training alone) is enlarged by the layer that `made` gives."""

    def build(options: ModelOptions) -> keras.Model:
        image = keras.Input((None, None, 3))
        x = layers.Conv2D(4, 5, strides=16, padding="same")(image)
        x = made()(x)
        density = layers.Conv2D(1, 1)(x) if whole else layers.Conv2D(1, 5, strides=8, padding="same")(image)
        density = layers.Rescaling(options.heads_a_cell(8), dtype="float32")(density)
        return keras.Model(image, {"density": density, "mask": x})

    return build


def test_a_layer_that_takes_one_size_alone_is_named_with_what_takes_any() -> None:
    """Keras' bilinear enlarging, which TensorFlow compiles for known sizes alone; on JAX and PyTorch nothing is amiss."""
    method = replace(SOUND, build=enlarging(lambda: layers.UpSampling2D(2, interpolation="bilinear", name="up"), True))
    if keras.backend.backend() != "tensorflow":
        assert check(method, OPTIONS, method.recipe)
        return
    said = complaint(method)
    assert re.search(rf"mine \({FILE}\): TensorFlow cannot compile its network for pictures of any size", said), said
    assert "layer 'up' (UpSampling2D)" in said and "harness.nn.resizing.Enlarge" in said
    (verdict,) = [one for one in verdicts(method, backends=()) if one.check == "any size"]
    assert not verdict.ok and verdict.message == said


def test_layers_that_take_any_size_are_sound() -> None:
    for made in (lambda: layers.UpSampling2D(2), lambda: layers.Conv2DTranspose(4, 2, strides=2), lambda: Enlarge(2)):
        method = replace(SOUND, build=enlarging(made, True))
        assert check(method, OPTIONS, method.recipe)


def test_what_is_for_training_alone_must_take_any_size_where_crops_differ_in_size() -> None:
    method = replace(SOUND, build=enlarging(lambda: layers.UpSampling2D(2, interpolation="bilinear"), False))
    assert check(method, OPTIONS, method.recipe)  # crops of one size, and the map alone is asked for anywhere else
    if keras.backend.backend() == "tensorflow":
        shared = Recipe("paper", 1, crop=None, crop_share=0.5, images_per_step=1)
        assert "(UpSampling2D)" in complaint(replace(method, recipe=shared))
