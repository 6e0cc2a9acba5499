"""Experiments as files: every field of a recipe is taken, every mistake is named by its line, and what is written is read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import yaml

from harness.budgets import BUDGETS, Budget
from harness.errors import HarnessError
from harness.host.plugins import load_host
from harness.recipe import COMMON, Recipe, Stage
from harness.runs import own
from harness.runs.experiment import EXAMPLE, Experiment, load, schema, text_of
from harness.runs.plan import parse_datasets


def loaded(tmp_path: Path, text: str) -> Experiment:
    path = tmp_path / "it.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path).experiment


def test_what_is_said_in_short_or_at_length_is_the_same(tmp_path: Path) -> None:
    short = loaded(tmp_path, "methods: mcnn, sasnet[no_pra]\ndatasets: synth\nseeds: 0,1\n")
    long = loaded(tmp_path, "methods:\n  - mcnn\n  - sasnet[no_pra]\ndatasets: [synth]\nseeds: [0, 1]\n")
    assert short == long and short.methods == ("mcnn", "sasnet[no_pra]") and short.seeds == (0, 1)
    assert loaded(tmp_path, "seeds: 7\n").seeds == (7,)
    assert short.choices() == {
        "recipe": "common",
        "budget": "quick",
        "select": "validation",
        "precision": "float32",
        "pretrained": "default",
        "resident": False,
    }


def test_own_recipe_and_budget(tmp_path: Path) -> None:
    text = "recipe: {from: common, name: mine, learning_rate: 3e-4, epochs: 100, crop: 384}\nbudget: {steps: 20000}\n"
    choices = loaded(tmp_path, text).choices()
    assert choices["recipe"] == "mine" and choices["budget"] == "steps=20000"
    assert choices["own_recipe"] == {"from": "common", "learning_rate": 0.0003, "epochs": 100, "crop": 384}
    assert choices["own_budget"] == {"steps": 20000}
    unnamed = loaded(tmp_path, "recipe: {learning_rate: 3e-4, epochs: 100}\nbudget: {crops: 6000, from: standard}\n")
    assert unnamed.choices()["recipe"] == "common+epochs=100,learning_rate=0.0003"
    assert unnamed.choices()["budget"] == "standard+crops=6000"


@pytest.mark.parametrize("word", ["1e3", "12e5", "007", "yes", "2026-11-30", "0x1F", "1_000"])
def test_words_that_look_like_numbers_come_back_as_words(tmp_path: Path, word: str) -> None:
    said = yaml.safe_dump({"methods": "mcnn", "datasets": [word], "out": word}, default_style="'")
    once = loaded(tmp_path, said)
    assert once.out == word and once.datasets == (word,)
    assert loaded(tmp_path, text_of(once)) == once


def test_a_folder_with_a_comma_in_its_name_is_one_dataset(tmp_path: Path) -> None:
    folder = tmp_path / "p,q" / "pics"
    folder.mkdir(parents=True)
    (benchmark,) = parse_datasets(load_host(), str(folder))
    assert benchmark.name == "pics"
    assert loaded(tmp_path, f"datasets: '{folder}'\n").datasets == (str(folder),)
    assert [one.name for one in parse_datasets(load_host(), "synth, mall")] == ["synth", "mall"]


def test_a_built_in_one_without_a_change_is_that_one(tmp_path: Path) -> None:
    choices = loaded(tmp_path, "recipe: {from: paper}\nbudget: {from: standard, at_most: false}\n").choices()
    assert (choices["recipe"], choices["budget"]) == ("paper", "standard")
    assert not choices.get("own_recipe") and not choices.get("own_budget")


def some(hint: Any, name: str) -> Any:
    """A value of the type of a field, whatever fields there are."""
    if hint is bool or hint is str:
        return {bool: True, str: "adam"}[hint]
    if get_origin(hint) is Literal:
        return get_args(hint)[-1]
    if hint in (int, float):
        return {int: 1, float: 0.5}[hint]
    if get_origin(hint) is tuple:
        return [some(part, name) for part in get_args(hint) if part is not Ellipsis]
    if get_origin(hint) is Mapping:
        return {"a": 0.5}
    if get_args(hint):
        return some(get_args(hint)[0], name)
    return {field.name: some(get_type_hints(hint)[field.name], field.name) for field in fields(hint)}


@pytest.mark.parametrize("kind", [Recipe, Stage, Budget])
def test_every_field_of_a_recipe_a_stage_and_a_budget_is_taken(tmp_path: Path, kind: Any) -> None:
    """From the dataclasses, so that a field that is new is taken too, and reaches the recipe."""
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind) if field.name not in ("name", "share", "exact")]
    assert len(names) > 7
    for name in names:
        value = some(hints[name], name)
        if name == "stages":
            value[0]["share"] = 1.0
        said = {name: value} | ({"images_per_step": 1} if kind is Recipe and name in ("crop", "crop_share") else {})
        where = "budget" if kind is Budget else "recipe"
        choices = loaded(tmp_path, yaml.safe_dump({where: said})).choices()
        asked = choices[f"own_{where}"]
        made = own.budget("x", asked) if kind is Budget else own.recipe(COMMON, "x", asked, "common")
        found = getattr(made.stages[0], name) if kind is Stage else getattr(made, name)  # type: ignore[union-attr]
        assert json.loads(json.dumps(found, default=vars)) == json.loads(json.dumps(value, default=vars)), name


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("methods: mcnn\nbudgets: quick\n", 2, "unknown key 'budgets'. Did you mean 'budget'?"),
        ("recipe:\n  from: common\n  epoch: 5\n", 3, "recipe: unknown key 'epoch'. Did you mean 'epochs'?"),
        ("recipe:\n  stages:\n    - share: 1\n      rate: 5\n", 4, "recipe.stages[0]: unknown key 'rate'"),
        ("recipe:\n  sigma: {pixel: 3}\n", 2, "recipe.sigma: unknown key 'pixel'. Did you mean 'pixels'?"),
        ("budget:\n  step: 3\n", 2, "budget: unknown key 'step'. Did you mean 'steps'?"),
        ("\nrecipe: comon\n", 2, "unknown recipe 'comon'. Did you mean 'common'?"),
        ("recipe:\n  from: papr\n", 2, "unknown recipe 'papr'. Did you mean 'paper'?"),
        ("budget: quik\n", 1, "unknown budget 'quik'. Did you mean 'quick'?"),
        ("select: test\n", 1, "unknown selection 'test'. Did you mean 'test-oracle'?"),
        ("precision: float8\n", 1, "unknown precision 'float8'"),
        ("executor: slrum\n", 1, "unknown executor 'slrum'. Did you mean 'slurm'?"),
        ("recipe:\n  flip: 0.1\n  epochs: many\n", 3, "recipe.epochs is 'many'; expected a whole number"),
        ("recipe:\n  epochs: 0\n", 2, "recipe.epochs is 0; expected at least 1"),
        ("recipe:\n  epochs: 2.5\n", 2, "recipe.epochs is 2.5; expected a whole number"),
        ("recipe: {learning_rate: 0}\n", 1, "recipe.learning_rate is 0; expected above 0"),
        ("recipe: {learning_rate: fast}\n", 1, "recipe.learning_rate is 'fast'; expected a number"),
        ("recipe: {flip: 1.5}\n", 1, "recipe.flip is 1.5; expected at most 1"),
        ("recipe: {noise: .nan}\n", 1, "recipe.noise is nan; expected a finite number"),
        ("recipe: {crop: big}\n", 1, "recipe.crop is 'big'; expected a whole number or a list"),
        ("recipe:\n  crop:\n    - 64\n    - x\n", 4, "recipe.crop[1] is 'x'; expected a whole number"),
        (
            "recipe:\n  stages:\n    - decay: cosin\n",
            3,
            "recipe.stages[0].decay is 'cosin'; expected 'constant', 'cosine'",
        ),
        ("jobs: yes\n", 1, "jobs is True; expected a whole number"),
        ("seeds: [0, -1]\n", 1, "seeds[1] is -1; expected at least 0"),
        ("seeds: x\n", 1, "seeds is 'x'; expected a whole number"),
        ("methods: []\n", 1, "methods is []; expected at least one"),
        ("timeout: 0\n", 1, "timeout is 0; expected above 0"),
        ("recipe: [1]\n", 1, "recipe is [1]; expected keys and values"),
        ("recipe:\n  stages: [{share: 0.5}, {share: 0.4}]\n", 1, "the shares of its stages add up to 0.9; expected 1"),
        ("recipe:\n  from: paper\n  stages: [{share: 0.5}]\n", 1, "the shares of its stages add up to 0.5; expected 1"),
        ("recipe: {crop: null}\n", 1, "images_per_step is 4"),
        ("recipe: {optimizer: sgd, stages: [{}]}\n", 1, "optimizer beside stages"),
        ("recipe: {name: paper, epochs: 3}\n", 1, "recipe 'paper' is built in; an own one needs another name"),
        ("budget: {name: quick, steps: 3}\n", 1, "budget 'quick' is built in"),
        ("recipe: {name: a/b, epochs: 3}\n", 1, "expected a name of at most 40 letters"),
        ("budget: {steps: 3, crops: 4}\n", 1, "one of crops, steps, epochs sets the length, found crops and steps"),
        ("budget: {crops: 3, at_most: true}\n", 1, "at_most is for steps and epochs"),
    ],
)
def test_mistakes_name_file_line_value_and_what_is_expected(tmp_path: Path, text: str, line: int, message: str) -> None:
    with pytest.raises(HarnessError) as caught:
        loaded(tmp_path, text)
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 'it.yaml'}, line {line}: ") and message in said and "\n" not in said


def test_what_is_written_is_read_as_the_same(tmp_path: Path) -> None:
    text = (
        "methods: [mcnn, 'sasnet[no_pra]']\ndatasets: synth\nseeds: [3]\nbudget: {steps: 9}\njobs: 2\n"
        "recipe: {learning_rate: 1e-5, crop: null, images_per_step: 1, sigma: {pixels: 8}}\nout: elsewhere\n"
    )
    asked = loaded(tmp_path, text)
    written = text_of(asked)
    assert loaded(tmp_path, written) == asked and loaded(tmp_path, written).choices() == asked.choices()
    assert list(yaml.safe_load(written)) == [
        *("methods", "datasets", "seeds", "recipe", "budget", "select", "precision", "pretrained", "jobs", "out")
    ], "all that decides, and of the rest what is not as always"


def test_the_example_and_what_it_leaves_as_comments_are_right(tmp_path: Path) -> None:
    """Each commented alternative, put in the place of the line above it."""
    text = EXAMPLE.read_text(encoding="utf-8")
    asked = loaded(tmp_path, text)
    assert asked.datasets == ("synth",) and asked.budget == "smoke" and asked == loaded(tmp_path, text_of(asked))
    commented = [line.removeprefix("# ") for line in text.splitlines() if re.match(r"# ( +)?\w+: ", line)]
    block = "\n".join(line for line in commented if line.startswith(("recipe:", "  ")))
    assert loaded(tmp_path, block).choices()["recipe"] == "mine"
    single = [line for line in commented if not line.startswith(("  ", "recipe:"))]
    assert len(single) >= 8
    for line in single:
        loaded(tmp_path, line + "\n")
    keys = set(Experiment.model_fields) - {"data_parallel", "address", "slurm", "memory", "track", "plugins"}
    assert all(re.search(rf"^(# )?{key}:", text, re.MULTILINE) for key in keys)


def test_the_schema_names_every_key_with_what_it_is() -> None:
    made = schema()
    assert made["properties"].keys() == Experiment.model_fields.keys() and made["additionalProperties"] is False
    recipe, budget = made["$defs"]["OwnRecipe"], made["$defs"]["OwnBudget"]
    assert {field.name for field in fields(Recipe)} | {"from", "learning_rate"} <= recipe["properties"].keys()
    assert {"from", "steps", "crops", "at_most"} <= budget["properties"].keys() and "exact" not in budget["properties"]
    assert recipe["properties"]["patience"]["description"].startswith("stop after so many validations")
    assert recipe["properties"]["epochs"]["type"] == "integer" and recipe["properties"]["epochs"]["minimum"] == 1
    assert '"default": null' not in json.dumps(made)
    (words,) = (one for one in made["properties"]["seeds"]["anyOf"] if one["type"] == "string")
    assert re.search(words["pattern"], "0, 1,2") and not re.search(words["pattern"], "0;1")
    assert sorted(BUDGETS) == made["properties"]["budget"]["oneOf"][0]["enum"]
