"""Every method of this repository passes the kit that its users' methods are tested by; what is wrong with one is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import pytest

from harness import HarnessError, Method, ModelOptions, Recipe, Stage, Variant
from harness.host.plugins import load_host
from harness.testing import check_method, verdicts

if keras.backend.backend() != "tensorflow":
    pytest.skip("the kit itself starts the other backends", allow_module_level=True)
HOST = load_host()


@pytest.mark.parametrize("name", sorted(HOST.methods))
def test_method(name: str, check_method: Any) -> None:
    """Through the pytest plugin, as others use it; a step on each installed backend costs a process, so for one method here."""
    check_method(name, backends=None if name == "mcnn" else [])


def build(options: ModelOptions) -> keras.Model:
    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, strides=4, padding="same", activation="relu", name="first")(image)
    x = keras.layers.Conv2D(1, 1, name="last")(x)
    return keras.Model(image, keras.layers.Rescaling(options.heads_a_cell(4), dtype="float32")(x))


def unscaled(options: ModelOptions) -> keras.Model:
    image = keras.Input((None, None, 3))
    return keras.Model(image, keras.layers.Conv2D(1, 4, strides=4, padding="same", dtype="float32")(image))


def loss(batch: Any, outputs: Any, options: ModelOptions) -> dict[str, Any]:
    from harness.nn.losses import euclidean_density

    return {"density": euclidean_density(outputs["density"], batch.density(4))}


GOOD = Method("good", "Good", "me", build, loss, Recipe("paper", epochs=1), stride=4)


def failures(method: Method) -> dict[str, str]:
    return {verdict.check: verdict.message for verdict in verdicts(method, backends=[]) if not verdict.ok}


def test_a_sound_method_passes() -> None:
    assert failures(GOOD) == {}


def test_variants_are_tried_too() -> None:
    def of_variant(options: ModelOptions) -> keras.Model:
        if options.variant.get("broken"):
            raise KeyError("x")
        return build(options)

    variants = {"whole": Variant({}), "part": Variant({"broken": True})}
    found = failures(replace(GOOD, build=of_variant, variants=variants))
    assert found.keys() == {"variants"} and "good[part]: " in found["variants"] and "KeyError" in found["variants"]
    assert failures(replace(GOOD, variants={"whole": Variant({})})) == {}
    with pytest.raises(TypeError, match=r"variant 'part' is a dict; expected harness\.Variant"):
        replace(GOOD, variants={"part": {"broken": True}})  # type: ignore[dict-item]


def test_a_variant_is_checked_by_its_name() -> None:
    for name in ("ssr_hef[no_ssr]", "at_cfcn[base]"):  # the latter's recipe names terms of the whole method
        done = list(verdicts(name, backends=[]))
        assert done and [verdict.message for verdict in done if not verdict.ok] == []
        assert "variants" not in {verdict.check for verdict in done}
    with pytest.raises(HarnessError, match=r"unknown variant of ssr_hef 'no_sr'\. Did you mean 'no_ssr'\?"):
        list(verdicts("ssr_hef[no_sr]", backends=[]))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{method: own, dataset: shtech_a, maes: 9.9}", "table 1, row 1: unknown key 'maes'. Did you mean 'mae'?"),
        ("{method: own, dataset: shtech_a, categories: {q: {mea: 1}}}", "row 1, category 'q': unknown key 'mea'."),
        (
            "{method: own, dataset: shtech_a, game: [1, x]}",
            "table 1, row 1, GAME value 2: Input should be a valid number",
        ),
        (
            "{method: own, dataset: shtech_a, scenes: {S1: x}}",
            "table 1, row 1, scene 'S1': Input should be a valid number",
        ),
        ("own", "table 1, row 1: expected keys and values"),
        ("{method: own, dataset: nwpu_crowd_val, mae: 9.9}", ""),
        ("{method: own, dataset: shtech_c, mae: 1.2e2}", ""),
        ("{method: own, dataset: worldexpo15, mae: 1e2}", ""),
        ("{method: own, dataset: shtechA, mae: 9.9}", "dataset 'shtechA' is unknown. Did you mean 'shtech_a'?"),
        ("{method: own, dataset: sthech_a, mae: 9.9}", "dataset 'sthech_a' is unknown. Did you mean 'shtech_a'?"),
        ("{method: owm, dataset: shtech_a, mae: 9.9}", "its published numbers are of owm; none is of 'own'"),
        ("{method: own, dataset: shtech_a, mae: .nan}", "table 1, row 1, mae: Input should be a finite number"),
        (
            "{method: own, dataset: shtech_a, mae: -3}",
            "table 1, row 1, mae: Input should be greater than or equal to 0",
        ),
        ("{method: own, dataset: shtech_a, mae: true}", "table 1, row 1, mae: Input should be a valid number"),
        ('{method: "own[ful]", dataset: shtech_a, mae: 9.9}', "'own[ful]' is none of its variants (full)"),
        ("{method: own[full], dataset: shtech_a, mae: 9.9}", "a variant in brackets needs quotes"),
        ('{method: "own[full]", dataset: shtech_a, mae: 9.9}', ""),
    ],
)
def test_published_numbers_are_looked_at(row: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "published.yaml").write_text(f"paper: Mine\ntables:\n- table: Table 1\n  rows: [{row}]\n")
    (tmp_path / "own.py").write_text(OWN.format(file=str(tmp_path / "published.yaml")))
    found = {each.check: each for each in verdicts("own", [tmp_path / "own.py"], backends=[])}
    told = found["published numbers"]
    assert told.ok == (not message) and message in told.message, told.message


OWN = """
from harness import Method, Recipe, Variant, hookimpl

def build(options):
    import keras
    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(1, 4, strides=4, padding="same")(image)
    return keras.Model(image, keras.layers.Rescaling(options.heads_a_cell(4), dtype="float32")(x))

def loss(batch, outputs, options):
    from harness.nn.losses import euclidean_density
    return {{"density": euclidean_density(outputs["density"], batch.density(4))}}

@hookimpl
def harness_methods():
    return [Method("own", "Own", "me", build, loss, Recipe("paper", epochs=1), stride=4, variants={{"full": Variant({{}})}})]

@hookimpl
def harness_published():
    return [{file!r}]
"""


def fixed_size(options: ModelOptions) -> keras.Model:
    image = keras.Input((64, 64, 3))
    return keras.Model(image, keras.layers.Conv2D(1, 1, strides=4)(image))


def dead_weights(options: ModelOptions) -> keras.Model:
    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, strides=4, padding="same", name="used")(image)
    aside = keras.layers.Conv2D(4, 1, name="unused")(x)
    return keras.Model(image, {"density": keras.layers.Conv2D(1, 1, name="last")(x), "aside": aside})


def of_regions(batch: Any, outputs: Any, options: ModelOptions) -> dict[str, Any]:
    """Wrong where there is a region of interest: another shape."""
    terms = loss(batch, outputs, options)
    return {"density": terms["density"] * batch.maps["region"]} if "region" in batch.maps else terms


def infinite(batch: Any, outputs: Any, options: ModelOptions) -> dict[str, Any]:
    return {"density": keras.ops.sum(outputs["density"]) * float("inf")}


def random_in_test(options: ModelOptions) -> keras.Model:
    class Noise(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x + keras.random.normal(keras.ops.shape(x))

    image = keras.Input((None, None, 3))
    return keras.Model(image, Noise()(keras.layers.Conv2D(1, 3, strides=4, padding="same")(image)))


def pooled(options: ModelOptions) -> keras.Model:
    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, strides=4, padding="same", activation="relu")(image)
    x = x + keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = keras.layers.Conv2D(1, 1)(x)
    return keras.Model(image, keras.layers.Rescaling(options.heads_a_cell(4), dtype="float32")(x))


def wide(options: ModelOptions) -> keras.Model:
    """A cell of 4 pixels sees 4 beyond it on either side."""
    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(1, 12, strides=4, padding="same")(image)
    return keras.Model(image, keras.layers.Rescaling(options.heads_a_cell(4), dtype="float32")(x))


def test_a_margin_is_enough_or_the_method_says_that_it_is_not_local() -> None:
    assert "margin" not in failures(replace(GOOD, build=wide, margin=4))
    assert "margin" not in failures(replace(GOOD, build=pooled, local=False))


@pytest.mark.parametrize(
    ("method", "check", "message"),
    [
        (
            replace(GOOD, build=pooled),
            "margin",
            "what is more than margin=128 px right of a cell changes its density by",
        ),
        (replace(GOOD, build=wide, margin=0), "margin", "what is more than margin=0 px right of a cell"),
        (replace(GOOD, build=fixed_size), "builds", "its input is (None, 64, 64, 3); expected (None, None, None, 3)"),
        (replace(GOOD, build=lambda options: None), "builds", "build returned NoneType; expected a keras.Model"),
        (replace(GOOD, channels=1), "builds", "expected (None, None, None, 1)"),
        (replace(GOOD, stride=8), "output", "expected (2, 8, 16, 1): one channel at the declared stride of 8"),
        (replace(GOOD, build=dead_weights), "loss and gradients", "2 trainable weights get no gradient: unused/kernel"),
        (replace(GOOD, loss=infinite), "loss", "inf on the first batch; expected a number"),
        (replace(GOOD, build=unscaled), "density scale", "with twice the density_scale its map is 1 times as large"),
        (
            replace(GOOD, build=random_in_test),
            "same output twice",
            "a second call with training=False gives another density",
        ),
        (
            replace(GOOD, recipe=Recipe("paper", epochs=1, crop=250)),
            "recipe",
            "sides of 250 px, its network wants multiples of 4",
        ),
        (
            replace(GOOD, recipe=Recipe("paper", epochs=1, stages=(Stage(trains=("frist",)),))),
            "names",
            "trains 'frist': no layer with weights is called so. Did you mean 'first'?",
        ),
        (replace(GOOD, recipe=Recipe("paper", epochs=1, stages=(Stage(optimizer="adm"),))), "recipe", "adm"),
        (
            replace(GOOD, loss=lambda batch, outputs, options: {"density": keras.ops.mean(batch.maps["depth"])}),
            "loss",
            "KeyError: 'depth'; outputs are density, maps are frame (and region, where a benchmark has one)",
        ),
        (replace(GOOD, loss=of_regions), "loss", "on crops with a region of interest: method good"),
        (
            replace(GOOD, teach=lambda batch, options: {"mask": batch.image}),
            "inference network",
            "it has teach, but one input",
        ),
        (
            replace(GOOD, recipes={"shtech_A": Recipe("paper", epochs=5)}),
            "recipe",
            "the recipe for 'shtech_A': no dataset is called so. Did you mean 'shtech_a'?",
        ),
        (
            replace(GOOD, variants={"wide": Variant({"filtres": 32})}),
            "variants",
            "good[wide]: nothing looks at its option 'filtres'",
        ),
        (
            replace(GOOD, recipes={"synth": Recipe("paper", epochs=1, stages=(Stage(optimizer="adm"),))}),
            "recipe",
            "the recipe for 'synth': stage train: optimizer 'adm'",
        ),
        (
            replace(GOOD, recipe=Recipe("paper", epochs=1, clip=1.0, stages=(Stage(options={"clipnorm": 1.0}),))),
            "recipe",
            "both the recipe's clip and clipnorm",
        ),
    ],
    ids=[
        "pooling",
        "margin",
        "fixed size",
        "no model",
        "channels",
        "stride",
        "dead weights",
        "loss",
        "scale",
        "random",
        "crop",
        "stage",
        "optimizer",
        "key",
        "region",
        "teach",
        "dataset",
        "option",
        "optimizer of a benchmark",
        "clip twice",
    ],
)
def test_what_is_wrong_is_named(method: Method, check: str, message: str) -> None:
    found = failures(method)
    assert check in found and message in found[check], found
    with pytest.raises(AssertionError, match=f"method good fails {len(found)} checks"):
        check_method(method, backends=[])


def test_what_follows_from_a_wrong_output_is_not_said_again() -> None:
    found = list(verdicts(replace(GOOD, stride=8), backends=[]))
    assert [verdict.check for verdict in found] == ["recipe", "builds", "output"]
    assert found[-1].message.endswith("declared stride of 8. The other checks wait for this one")


def test_from_the_command_line(harness: Any, tmp_path: Any) -> None:
    (tmp_path / "p.py").write_text(
        "from harness import Method, Recipe, hookimpl\n"
        "def build(options):\n"
        "    import keras\n"
        "    image = keras.Input((None, None, 3))\n"
        "    return keras.Model(image, keras.layers.Conv2D(1, 1, strides=2)(image))\n"
        "def loss(batch, outputs, options):\n"
        "    raise ValueError('not yet')\n"
        "@hookimpl\n"
        "def harness_methods():\n"
        "    return [Method('half', 'Half', 'me', build, loss, Recipe('paper', epochs=1), stride=2)]\n"
    )
    done = harness("plugins", "check", "half", "--plugin", "p.py")
    assert done.returncode == 1, done.stderr
    assert "ok    builds" in done.stdout and "FAIL  loss and gradients" in done.stdout and "not yet" in done.stdout
    bad = harness("plugins", "check", "hlaf", "--plugin", "p.py")
    assert bad.returncode == 2 and "Did you mean 'half'" in bad.stderr
