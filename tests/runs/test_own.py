"""Recipes and budgets of one's own: what they make, what they are called, and that built-in ones keep their ids."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from string import ascii_letters, digits
from typing import Any

import pytest

from harness.budgets import BUDGETS, Budget, plan
from harness.errors import HarnessError
from harness.head_spacing import Sigma
from harness.host.plugins import Host, Plugin, load_host
from harness.method import Method, Variant
from harness.recipe import COMMON, FINE_TUNING, Recipe, Stage
from harness.run import Request, Run, identity_hash
from harness.runs import own
from harness.runs.resolve import resolve

STAGES = (
    Stage("a", 0.25, "sgd", 1e-5, options={"momentum": 0.9}),
    Stage("b", 0.75, decay="step", trains=("x*",)),
)
TRIAL = Method(
    "trial",
    "Trial",
    "x, 2020",
    lambda options: None,  # type: ignore[arg-type,return-value]
    lambda batch, outputs, options: {},
    Recipe("paper", epochs=7, crop=96, sigma=Sigma(neighbours=3), stages=STAGES),
    stride=8,
    pretrained="vgg16",
    variants={"half": Variant({"width": 0.5})},
)
HOST = Host(
    [],
    {"trial": TRIAL},
    {"synth": load_host().benchmarks["synth"]},
    {},
    {"trial": Plugin("trial", "crowd-harness", "1.0")},
    [],
)


def resolved(method: str = "trial", **asked: Any) -> Run:
    return resolve(HOST, Request(method, "synth", **asked), "fingerprint")


def owned(recipe: dict[str, Any] | None = None, budget: dict[str, Any] | None = None, **asked: Any) -> Run:
    """The run of an own recipe and budget under their names from the content, through JSON as to a cell's process."""
    if recipe is not None:
        asked |= {"recipe": own.name_of(recipe), "own_recipe": recipe}
    if budget is not None:
        asked |= {"budget": own.name_of(budget), "own_budget": budget}
    request = Request("trial", "synth", **asked)
    return resolve(HOST, Request(**json.loads(json.dumps(asdict(request)))), "fingerprint")


@pytest.mark.parametrize(
    ("asked", "identifier"),
    [
        ({"pretrained": "none"}, "c196b6f723048baa"),
        ({}, "574e8337a2c875e7"),
        ({"variant": "half", "seed": 2, "budget": "smoke", "recipe": "paper"}, "8951275294786402"),
        ({"budget": "standard", "recipe": "paper", "select": "test-oracle"}, "83b9b4ce37e91318"),
        ({"budget": "paper", "precision": "mixed_bfloat16", "pretrained": "none"}, "c82e7be8569e0b4a"),
    ],
)
def test_runs_with_built_in_names_keep_the_ids_of_0_2(asked: dict[str, Any], identifier: str) -> None:
    """Literal ids, made by 0.2: a field that is new and off must be left out of an identity, or all runs are run again."""
    assert resolved(**asked).id == identifier


def test_a_name_from_the_content() -> None:
    assert (
        own.name_of({"from": "common", "learning_rate": 3e-4, "epochs": 100})
        == "common+epochs=100,learning_rate=0.0003"
    )
    assert own.name_of({"steps": 20_000}) == "steps=20000"
    assert own.name_of({"from": "standard", "crops": 6000}) == "standard+crops=6000"
    assert own.name_of({"from": "paper", "crop": None, "scales": [0.5, 2.0]}) == "paper+crop=none,scales=0.5_2.0"
    assert own.name_of({"from": "common", "sigma": {"neighbours": 3}}) == "common+sigma.neighbours=3"
    assert own.name_of({"from": "common", "epochs": 1}) == own.name_of({"epochs": 1, "from": "common"})


@pytest.mark.parametrize(
    "asked",
    [
        {"from": "common", "stages": [{"learning_rate": 1e-3, "share": 0.5}, {"share": 0.5}]},
        {"from": "common", "optimizer": "../x y|z"},
        {"from": "common", "options": {"../a/b": 1}},
        {"from": "common", "trains": ["a_b"]},
        {"from": "common", **{field.name: 1000000 for field in fields(Recipe)}},
    ],
)
def test_every_name_is_safe_for_a_folder_and_of_one_content(asked: dict[str, Any]) -> None:
    name = own.name_of(asked)
    assert len(name) <= 80 and not set(name) - set(ascii_letters + digits + "._+=,-")
    for key in asked:
        if key != "from":
            assert own.name_of(asked | {key: 7}) != name


def test_contents_that_look_alike_have_names_of_their_own() -> None:
    alike = [
        ({"trains": ["a_b"]}, {"trains": ["a", "b"]}),
        ({"optimizer": "sgd,patience=3"}, {"optimizer": "sgd", "patience": 3}),
        ({"options": {"a.b": 1}}, {"options": {"a": {"b": 1}}}),
    ]
    for one, other in alike:
        assert own.name_of({"from": "common"} | one) != own.name_of({"from": "common"} | other)


def test_the_order_in_which_options_are_written_down_says_nothing() -> None:
    for key, values in (("options", {"nesterov": True, "momentum": 0.9}), ("loss_weights", {"b": 2.0, "a": 1.0})):
        names = {
            own.name_of({"from": "common", key: dict(pairs)}) for pairs in (values.items(), reversed(values.items()))
        }
        assert len(names) == 1
    rates = {"*": 0.1, "head": 1.0}
    assert own.name_of({"rates": rates}) != own.name_of({"rates": dict(reversed(rates.items()))}), (
        "the first that fits counts"
    )


def test_a_name_alone_is_what_it_is_made_from_by_another_name() -> None:
    from harness.runs.experiment import Experiment

    said = Experiment.model_validate({"budget": {"name": "full"}, "recipe": {"name": "mine"}}).choices()
    assert own.budget("full", said["own_budget"]) == replace(BUDGETS["paper"], name="full")
    run = resolved(**said)
    assert run.recipe == replace(FINE_TUNING, name="mine") and run.budget.name == "full"


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"images_per_step": 0},
        {"crops_per_image": 0},
        {"crop": -5},
        {"crop": (0, 64)},
        {"flip": 7.0},
        {"crop": None, "images_per_step": 1, "crop_share": ()},
        {"crop": None, "images_per_step": 1, "crop_share": (0.5, 2.0)},
        {"scales": (-1.0, -1.0)},
        {"scales": (2.0, 1.0)},
        {"density_scale": 0.0},
        {"clip": float("nan")},
        {"patience": -1},
    ],
)
def test_a_recipe_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"recipe 'r': .*{next(name for name in reversed(wrong))}"):
        Recipe("r", **{"epochs": 1, **wrong})


@pytest.mark.parametrize(
    "wrong", [{"share": 2.0}, {"learning_rate": -1e-4}, {"decay": "cosin"}, {"rates": {"head": -1.0}}]
)
def test_a_stage_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"stage|decay"):
        Stage("s", **wrong)


@pytest.mark.parametrize(
    ("options", "recipe", "message"),
    [
        ({"learning_rate": 5.0}, {}, "learning_rate has no effect in options; expected learning_rate of the stage"),
        ({"use_ema": True}, {}, "use_ema has no effect in options; expected ema of the recipe"),
        ({"global_clipnorm": 9.0}, {"clip": 1.0}, "both the recipe's clip and global_clipnorm"),
    ],
)
def test_options_that_would_do_nothing_are_refused(
    options: dict[str, float], recipe: dict[str, float], message: str
) -> None:
    from harness.training import optimizers

    with pytest.raises(HarnessError, match=message):
        optimizers.check(Recipe("r", 1, stages=(Stage(options=options),), **recipe))  # type: ignore[arg-type]


def test_a_long_name_of_a_folder_is_cut_and_the_id_stays() -> None:
    run = resolved()
    long = replace(run, benchmark=replace(run.benchmark, name="é" * 200))
    assert len(long.name.encode()) <= 200 and long.name.endswith(run.name.removeprefix("synth")) and long.name[0] == "é"


def test_own_fields_are_set_on_the_built_in_recipe() -> None:
    run = owned(
        {"from": "common", "epochs": 100, "crop": 384, "sigma": {"pixels": 8.0}, "scales": [0.8, 1.2]}, {"steps": 9}
    )
    name = "common+crop=384,epochs=100,scales=0.8_1.2,sigma.pixels=8.0"
    expected = replace(
        FINE_TUNING, name=name, epochs=100, crop=384, sigma=replace(COMMON.sigma, pixels=8.0), scales=(0.8, 1.2)
    )
    assert run.recipe == expected and isinstance(run.recipe.scales, tuple)
    assert run.identity["recipe"] == json.loads(json.dumps(expected.as_json()))


def test_fields_of_a_stage_apply_to_a_recipe_of_one_stage() -> None:
    run = owned({"from": "common", "learning_rate": 3e-4, "optimizer": "sgd", "options": {"momentum": 0.9}})
    (stage,) = run.recipe.stages
    assert stage == replace(COMMON.stages[0], learning_rate=3e-4, optimizer="sgd", options={"momentum": 0.9})
    with pytest.raises(HarnessError) as caught:
        owned({"from": "paper", "learning_rate": 3e-4})
    said = str(caught.value)
    assert "learning_rate is a field of a stage, and recipe paper of trial has 2: a, b" in said and "stages" in said


def test_stages_can_be_given_whole() -> None:
    stages = [{"share": 0.5, "trains": ["head*"]}, {"share": 0.5, "learning_rate": 1e-6}]
    run = owned({"from": "paper", "stages": stages})
    assert run.recipe.stages == (Stage(share=0.5, trains=("head*",)), Stage(share=0.5, learning_rate=1e-6))
    assert run.recipe.epochs == 7 and run.recipe.sigma.neighbours == 3


def test_a_contradiction_is_named_with_the_recipe_it_is_in() -> None:
    with pytest.raises(HarnessError, match=r"images_per_step is 4; .* \(recipe common, changed\)"):
        owned({"from": "common", "crop": None})


def test_a_share_takes_the_place_of_crops_in_pixels_and_they_of_a_share() -> None:
    """Before, `crop_share` alone changed the caption and the id, and crops were of 256 pixels."""
    shared = owned({"from": "common", "crop_share": 0.5, "images_per_step": 1}, {"steps": 9})
    assert (shared.recipe.crop, shared.recipe.crop_share) == (None, 0.5)
    with pytest.raises(HarnessError, match=r"images_per_step is 4; crops by share .* \(recipe common, changed\)"):
        owned({"from": "common", "crop_share": 0.5})
    with pytest.raises(
        HarnessError, match=r"crop is 128 and crop_share 0\.5; where crops are by share, expected crop None"
    ):
        owned({"from": "common", "crop_share": 0.5, "crop": 128})
    by_share = own.recipe(
        replace(COMMON, crop=None, crop_share=0.5, images_per_step=1), "x", {"crop": 128}, "paper of x"
    )
    assert (by_share.crop, by_share.crop_share) == (128, 1.0)
    with pytest.raises(ValueError, match="expected crop None"):
        Method("m", "M", "me", lambda options: None, lambda *_: {}, replace(COMMON, crop_share=0.5), stride=8)  # type: ignore[arg-type]


def test_names_and_content_are_part_of_the_identity() -> None:
    base, asked = resolved(), {"from": "common", "epochs": 100}
    run = owned(asked)
    assert run.id != base.id and run.identity["asked"] == {"recipe": asked} and "asked" not in base.identity
    assert run.name.startswith("synth-trial-common+epochs=100-quick-seed0-")
    mine = resolved(recipe="mine", own_recipe=asked)
    other = resolved(recipe="mine", own_recipe=asked | {"epochs": 101})
    assert len({base.id, run.id, mine.id, other.id}) == 4 and mine.recipe.name == "mine"


def test_an_own_recipe_is_capped_by_its_budget_as_a_built_in_one() -> None:
    assert resolved(recipe="mine", own_recipe={"from": "common", "crop": 384}, budget="quick").recipe.crop == 256


def test_common_fine_tunes_published_weights_at_a_rate_of_their_own() -> None:
    """At 1e-4 CSRNet behind ImageNet's VGG-16 loses 18.8 after 340 steps on Part A, at 1e-5 10.5; MCNN wants 3e-4."""

    def rate(run: Run) -> float:
        return run.recipe.stages[0].learning_rate

    assert rate(resolved(pretrained="none")) == 3e-4 and rate(resolved(pretrained="imagenet")) == 1e-5
    assert rate(resolved(budget="smoke")) == 3e-4, "which begins from nothing"
    assert (
        rate(owned({"from": "common", "crop": 96})) == 1e-5
        and rate(owned({"from": "common", "learning_rate": 2e-4})) == 2e-4
    )
    assert (
        rate(resolved(recipe="paper")) == rate(resolved(recipe="paper", pretrained="none")) == STAGES[0].learning_rate
    )
    tuned, whole = (resolved(pretrained=choice).recipe for choice in ("imagenet", "none"))
    assert replace(tuned, stages=whole.stages) == whole, "and nothing else"


def test_a_budget_made_from_smoke_needs_no_pretrained_weights() -> None:
    assert owned(budget={"from": "smoke", "steps": 5}).options.pretrained == "none"
    assert owned(budget={"steps": 5}).options.pretrained == "imagenet"


def lengths(budget: dict[str, Any], images: int = 270, epochs: int = 300, per_step: int = 4) -> tuple[int, int, int]:
    """(steps in all, epochs, validations) of a recipe under an own budget."""
    made = own.budget("mine", budget)
    length = plan(Recipe("r", epochs, images_per_step=per_step), made, images)
    each = [length.steps_of(epoch) for epoch in range(length.epochs)]
    assert all(0 < steps <= length.steps_per_epoch for steps in each) and sum(each) == length.steps
    validated = sum(
        1 for epoch in range(1, length.epochs + 1) if epoch % length.validate_every == 0 or epoch == length.epochs
    )
    return sum(each), length.epochs, validated


@pytest.mark.parametrize("steps", [1, 67, 68, 69, 1000, 20_000])
@pytest.mark.parametrize("epochs", [1, 300, 5000])
def test_own_steps_are_that_many_steps_whatever_the_epochs(steps: int, epochs: int) -> None:
    assert lengths({"steps": steps}, epochs=epochs)[:2] == (steps, -(-steps // 68))
    assert lengths({"from": "quick", "steps": steps}, epochs=epochs)[0] == steps, "what it is made from sets no length"


def test_own_lengths() -> None:
    assert lengths({"epochs": 10}) == (680, 10, 10)
    assert lengths({"epochs": 10}, epochs=2)[1] == 10
    assert lengths({"from": "standard", "crops": 6000})[0] == pytest.approx(1500, abs=34)
    assert lengths({"steps": 20_000, "validations": 12})[2] in (12, 13)
    assert lengths({"steps": 500, "at_most": True}, epochs=2) == (136, 2, 2)
    assert lengths({"steps": 500, "epochs": 3, "at_most": True}) == (204, 3, 3)
    assert lengths({"steps": 500, "at_most": True})[1] == 7, "a cap is not passed: 7 whole epochs of 68 steps"
    assert lengths({"from": "quick", "crop": 64}) == (12 * 68, 12, 4), "no length given: quick's caps"


def test_what_an_own_budget_says_in_a_caption() -> None:
    def said(budget: dict[str, Any]) -> str:
        return own.budget(own.name_of(budget), budget).describe()

    assert said({"steps": 20_000}) == "budget steps=20000: 20,000 steps, whatever the recipe's epochs"
    assert "1 epoch, whatever the recipe's" in said({"epochs": 1})
    assert said({"steps": 500, "at_most": True}).endswith("at most 500 steps")
    crops = said({"from": "standard", "crops": 6000})
    assert crops == "budget standard+crops=6000: 6,000 crops of at most 256×256 px, whatever the recipe's epochs"
    assert said({"from": "quick", "steps": 500}).endswith(
        "500 steps of at most one crop of at most 256×256 px, whatever the recipe's epochs"
    )
    assert "the recipe's epochs" in said({"test_images": 5}) and "at most 5 test images" in said({"test_images": 5})


def test_built_in_budgets_say_what_they_said() -> None:
    assert [budget.describe() for budget in BUDGETS.values()] == [
        "budget smoke: at most 6 epochs and 60 steps of 4 crops of 48×48 px, at most 12 test images",
        "budget quick: at most 12 epochs and 2000 steps of one crop of 256×256 px",
        "budget standard: 24,000 crops of at most 256×256 px, whatever the recipe's epochs",
        "budget paper: everything the recipe asks for",
    ]
    assert "exact" not in Budget("x").as_json() and Budget("x", steps=1, exact=True).as_json()["exact"] is True


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"steps": 5, "crops": 6}, "one of crops, steps, epochs"),
        ({"crops": 5, "at_most": True}, "crops set the length"),
        ({"at_most": True}, "needs steps or epochs"),
        ({"from": "standrd"}, "Did you mean 'standard'"),
    ],
)
def test_budgets_that_contradict_themselves(budget: dict[str, Any], message: str) -> None:
    with pytest.raises(HarnessError, match=message):
        own.budget("mine", budget)


def test_the_order_of_rates_is_part_of_a_run() -> None:
    """Of the names that fit a layer the first counts. One name, or sorted ones, leave ids as they were."""
    stage = Stage(rates={"*": 0.1, "head*": 1.0})
    other = Stage(rates={"head*": 1.0, "*": 0.1})
    first, second = (Recipe("slow", 1, stages=(one,)).as_json() for one in (stage, other))
    assert identity_hash(first) != identity_hash(second)
    assert "rates_in_order" not in first["stages"][0] and second["stages"][0]["rates_in_order"] == ["head*", "*"]
