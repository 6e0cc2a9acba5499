"""What the numbers of recipes, stages, sigmas and budgets may be: the same in Python and in an experiment file."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from harness import LabelMap, Method, ModelOptions, Recipe, Sigma, Stage, Variant
from harness.budgets import Budget
from harness.errors import HarnessError
from harness.runs.experiment import load


def recipe(**changed: Any) -> Recipe:
    return Recipe(**{"name": "mine", "epochs": 3} | changed)


def budget(**changed: Any) -> Budget:
    return Budget("mine", **changed)


@pytest.mark.parametrize(
    ("make", "field", "value", "expected"),
    [
        (recipe, "epochs", 0, "expected a whole number of at least 1"),
        (recipe, "epochs", True, "expected a whole number of at least 1"),
        (recipe, "epochs", 2.5, "expected a whole number of at least 1"),
        (recipe, "epochs", "3", "expected a whole number of at least 1"),
        (recipe, "crop", (256, 0), "expected a whole number of at least 1"),
        (recipe, "crop_share", (0.5, 1.5), "expected a finite number above 0, at most 1"),
        (recipe, "scales", (0.0, 1.0), "expected a finite number above 0"),
        (recipe, "flip", 1.1, "expected a finite number of at least 0, at most 1"),
        (recipe, "ema", 1.0, "expected a finite number of at least 0, below 1"),
        (recipe, "noise", math.inf, "expected a finite number of at least 0"),
        (recipe, "density_scale", math.nan, "expected a finite number above 0"),
        (recipe, "patience", -1, "expected a whole number of at least 0"),
        (Stage, "learning_rate", 0.0, "expected a finite number above 0"),
        (Stage, "decay_epochs", 0, "expected a whole number of at least 1"),
        (Stage, "rates", {"a": 1.0, "b": -1.0}, "expected a finite number of at least 0"),
        (Stage, "loss_weights", {"density": math.nan}, "expected a finite number"),
        (Sigma, "pixels", 0.0, "expected a finite number above 0"),
        (budget, "steps", 0, "expected a whole number of at least 1"),
    ],
)
def test_a_number_out_of_bounds_is_refused_in_python_and_in_a_file(
    tmp_path: Path, make: Callable[..., Any], field: str, value: Any, expected: str
) -> None:
    with pytest.raises(ValueError, match=f"{field} is .*{expected}$"):
        make(**{field: value})
    said = {field: list(value) if isinstance(value, tuple) else value}
    keys = {
        recipe: {"recipe": said},
        Stage: {"recipe": said},
        Sigma: {"recipe": {"sigma": said}},
        budget: {"budget": said},
    }
    file = tmp_path / "experiment.yaml"
    file.write_text(yaml.safe_dump({"methods": "mcnn", "datasets": "synth", **keys[make]}))
    with pytest.raises(HarnessError, match=field):
        load(file)


@pytest.mark.parametrize(
    "make",
    [
        lambda: recipe(epochs=1, crop=None, images_per_step=1, crop_share=1),
        lambda: recipe(epochs=np.int64(3), flip=np.float32(1), grey=0, ema=0.999, crop=(1, 1), scales=(0.5, 0.5)),
        lambda: Stage(learning_rate=1, rates={"front*": 0}, warmup_steps=0, share=1),
        lambda: Sigma(neighbours=3, smallest=2, largest=2),
        lambda: Sigma(neighbours=3, smallest=0),
        lambda: recipe(flip=False, scales=[0.5, 2]),
        lambda: budget(crops=1, steps=None),
    ],
)
def test_what_lies_on_a_bound_is_taken(make: Callable[[], Any]) -> None:
    make()


def method(**changed: Any) -> Method:
    given = {"name": "mine", "title": "Mine", "citation": "me", "build": print, "loss": print, "recipe": recipe()}
    return Method(**given | {"stride": 4} | changed)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: method(name="mine[net]"), r"'mine\[net\]' cannot be a name; expected one without"),
        (lambda: method(stride=0), "stride is 0; expected at least 1"),
        (lambda: method(multiple_of=6), "multiple_of is 6; expected a multiple of its stride, 4, or 0"),
        (lambda: method(margin=-1), "margin is -1; expected at least 0"),
        (lambda: method(channels=2), "channels is 2; expected 3 for RGB or 1 for grey"),
        (lambda: method(outside="nothing"), "outside is 'nothing'; expected 'mask' or 'blur'"),
        (lambda: recipe(crop=None, images_per_step=1, crop_share=()), r"crop_share is \(\); expected one or more"),
        (lambda: recipe(scales=(2.0, 1.0)), r"scales is \(2.0, 1.0\); expected \(lowest, highest\)"),
        (lambda: Sigma(smallest=3, largest=2), "smallest is 3; expected at most largest, which is 2"),
        (lambda: method(variants={"a ": Variant({})}), "'a ' cannot be a name"),
        (lambda: recipe(scales=[-1.0, 2.0]), r"scales is \[-1.0, 2.0\]; expected a finite number above 0"),
        (lambda: recipe(epochs=100.0), "epochs is 100.0; expected a whole number"),
        (lambda: recipe(epochs=-(10**400)), "expected a whole number of at least 1"),
        (lambda: recipe(scales=(0.5,)), r"scales is \(0.5,\); expected \(lowest, highest\)"),
        (lambda: method(variants={"a]b": Variant({})}), r"'a\]b' cannot be a name"),
        (lambda: method(name="all"), "'all' stands for every method"),
        (lambda: Stage(decay="cosin"), "Did you mean 'cosine'"),  # type: ignore[arg-type]
    ],
)
def test_what_its_parts_are_to_each_other(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: recipe(sigma=4.0), r"recipe 'mine': sigma is 4.0; expected harness.Sigma\(pixels=4.0\)"),
        (lambda: recipe(stages=Stage()), "stages is Stage.*; expected a tuple of harness.Stage"),
        (lambda: recipe(stages=({"share": 1},)), "one of its stages is .*; expected harness.Stage"),
        (lambda: Stage(trains="front"), "trains is 'front'; expected a tuple of names"),
        (lambda: Stage(loss_weights=[1.0]), "loss_weights is .*; expected a mapping"),
        (lambda: method(variants=[Variant({})]), "variants is .*; expected a mapping of names to harness.Variant"),
        (lambda: Variant("abc"), "options is 'abc'; expected a mapping"),
        (lambda: Variant({"x": {1, 2}}), "option 'x' is .*; expected a JSON value"),
        (lambda: Variant({"x": {1: 4}}), r"option 'x' is \{1: 4\}, which JSON gives back as \{'1': 4\}"),
        (lambda: Variant({1: 2}), "the name of an option is 1; expected a word"),
        (lambda: method(stride="8"), "method 'mine': stride is '8'; expected a whole number of pixels"),
        (lambda: method(stride=8.0), "stride is 8.0; expected a whole number of pixels"),
        (lambda: method(variants={1: Variant({})}), "is 1; expected a word"),
        (lambda: Variant({"x": math.nan}), "option 'x' is nan; expected a JSON value"),
    ],
)
def test_what_kind_its_parts_are_of(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make()


def test_options_are_what_whoever_loads_the_weights_will_see() -> None:
    variant = Variant({"tasks": ("de", "se"), "n": 2, "w": {"a": ((1, 2), [(3,)])}})
    assert variant.options == {"tasks": ["de", "se"], "n": 2, "w": {"a": [[1, 2], [[3]]]}}


@pytest.mark.parametrize("name", ["alpha=0.5", "λ0", "_x", "no pra", "50%", "de+ct", "größe"])
def test_names_that_break_nothing_are_taken(name: str) -> None:
    assert method(name=name, variants={name: Variant({})}).name == name


def test_what_was_in_one_module_is_found_there_still() -> None:
    from harness import recipe as recipes
    from harness.method import COMMON, FINE_TUNING, Recipe, Sigma, Stage, common_recipe

    assert (COMMON, FINE_TUNING, common_recipe) == (recipes.COMMON, recipes.FINE_TUNING, recipes.common_recipe)
    assert (Recipe, Sigma, Stage) == (recipes.Recipe, recipes.Sigma, recipes.Stage)


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (lambda options: {"depth": 3}, "expected names with a harness.LabelMap each"),
        (lambda options: 1 / 0, "label_maps raised ZeroDivisionError"),
        (lambda options: {"region": LabelMap("x", print)}, "the harness' own map has this name"),
    ],
)
def test_label_maps_that_are_none_are_told(maps: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(HarnessError, match=f"method mine: .*{message}"):
        method(label_maps=maps).maps(ModelOptions())
