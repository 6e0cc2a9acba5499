"""Models that ship: made from runs, found by name and kind, counted with; and those that are in the package."""

from __future__ import annotations

import json
import shutil
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from conftest import ROOT
from made_records import make_record

from harness.commands.cli import cli
from harness.errors import HarnessError
from harness.host.plugins import load_host
from harness.method import ModelOptions, inference_network
from harness.runs import examples, models, records
from harness.training import weights
from harness.training.prediction import density_of

sys.path.insert(0, str(ROOT / "docs"))
import make_models

TRUE, PREDICTED, SIZES = (100.0, 20.0, 60.0), (130.0, 20.0, 50.0), ((500, 800), (1000, 500), (400, 500))
MOST_BYTES = 3_000_000  # of all models in a wheel
SHIPPED = models.FOLDER
PLUGIN = ROOT / "tests" / "methods_on_trial.py"


@pytest.fixture(autouse=True)
def _none_ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "FOLDER", tmp_path / "models")
    monkeypatch.setattr(make_models, "load_host", lambda: load_host([PLUGIN]))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of a small method: made-up counts, drawn weights that give densities above zero, a picture."""
    folder = tmp_path_factory.mktemp("run")
    records.write(folder, a_record())
    network = load_host([PLUGIN]).method("tiny").build(ModelOptions())
    generator = np.random.default_rng(0)
    network.set_weights([np.abs(generator.normal(0, 0.1, one.shape)) for one in network.get_weights()])
    weights.save(network, folder / "best.weights.h5", "tiny", ModelOptions())
    (folder / examples.FOLDER).mkdir()
    cv2.imwrite(str(folder / examples.FOLDER / "0-picture.png"), picture())
    index = [{"image": "i", "true": 1, "predicted": 1, "picture": "0-picture.png"}]
    index[0] |= {"true_density": "", "predicted_density": ""}
    (folder / examples.FOLDER / examples.INDEX).write_text(json.dumps(index))
    return folder


def a_record() -> records.Record:
    record = make_record("tiny", TRUE, PREDICTED, sizes=SIZES, steps=40, departures=["rounded points"])
    record.environment["versions"] = {"crowd-harness": "0.1.9"}
    return record


def picture(height: int = 64, width: int = 80) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3)).astype(np.uint8)


def placed(finished: Path, kind: str, name: str, heads_per_megapixel: float = 1.0) -> None:
    """A model of this name in the folder of models, of the run's weights as they are."""
    card = make_models.card_of(a_record(), kind, load_host().benchmark("synth"))
    models.FOLDER.mkdir(exist_ok=True)
    shutil.copy(finished / "best.weights.h5", models.weights_path(name))
    card = card.model_copy(update={"heads_per_megapixel": heads_per_megapixel})
    models.card_path(name).write_text(card.as_yaml(), encoding="utf-8")


def made(finished: Path, kind: str) -> models.Card:
    """The model from the run, as the developers' program makes it."""
    make_models.main([str(finished), "--kind", kind])
    return models.card_named("tiny-synth")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(one) for one in arguments])


def count(*arguments: object) -> Result:
    return run("count", *arguments, "--plugin", PLUGIN)


def test_a_card_says_what_the_record_says(finished: Path) -> None:
    made(finished, "dense")
    card = models.card_named("dense")
    record = records.read(finished / records.FILE)
    assert (card.name, card.kind, card.method, card.dataset) == ("tiny-synth", "dense", "tiny", "synth")
    assert (card.run, card.budget, card.recipe, card.seed, card.precision) == (
        record.id,
        "quick",
        "common",
        0,
        "float32",
    )
    assert (card.harness, card.plugin, card.crops) == ("0.1.9", "d 1", 40)  # one crop a step
    assert card.test.mae == pytest.approx((30 + 0 + 10) / 3, abs=0.01)
    assert card.test.rmse == pytest.approx(np.sqrt((900 + 0 + 100) / 3), abs=0.01)
    assert card.test.images == 3
    assert 0 <= card.test.mae_interval[0] <= card.test.mae <= card.test.mae_interval[1] <= 30
    assert card.heads_per_megapixel == 250  # of 100 on 0.4, 20 on 0.5 and 60 on 0.2 megapixels: 250, 40, 300
    assert "20 to 100 heads, 40 to 300 a megapixel, of 500 × 400 to 500 × 1000 pixels" in card.limits[0]
    assert "off by 30 heads" in card.limits[1] and card.limits[-1] == "data: rounded points"
    assert card.stored == "float16" and 0 < card.changed <= 1e-3
    assert "draws" in card.licence


def test_benchmarks_of_others_are_for_research() -> None:
    benchmark = load_host().benchmark("shtech_a")
    licence = make_models.card_of(a_record(), "dense", benchmark).licence
    assert benchmark.citation in licence and "research only" in licence and benchmark.homepage in licence


def test_weights_that_float16_would_change_stay_float32(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_models, "LARGEST_CHANGE", 1e-9)
    card = made(finished, "dense")
    assert card.stored == "float32" and card.changed == 0
    assert make_models.largest_change(load_host([PLUGIN]), a_record(), finished, card.weights) == 0


def test_what_makes_no_model_is_said(finished: Path, tmp_path: Path) -> None:
    placed(finished, "dense", "other-model")
    with pytest.raises(SystemExit, match="there is a dense model already"):
        make_models.main([str(finished), "--kind", "dense"])
    for record, message in (
        (make_record("tiny", status="failed"), "status failed; expected a finished run"),
        (make_record("tiny"), "no sizes of images"),
    ):
        records.write(tmp_path, record)
        with pytest.raises(SystemExit, match=message):
            make_models.main([str(tmp_path), "--kind", "sparse"])
    assert sorted(path.name for path in models.FOLDER.iterdir()) == ["other-model.weights.h5", "other-model.yaml"]


def test_count_takes_the_model_that_the_rule_says(finished: Path, tmp_path: Path) -> None:
    """One network of both kinds: what it counts decides, by the boundary that the two cards have together."""
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), picture())
    placed(finished, "sparse", "few", heads_per_megapixel=1.0)
    (first,) = json.loads(count(photo, "--json").stdout)
    assert first["model"] == "few", "the only one"
    density = first["count"] / (64 * 80 / 1e6)
    assert density > 0
    for factor, expected in ((0.99, "many"), (1.01, "few")):
        # √(1 · x²) is x: the boundary lies just below, or just above, what is counted
        placed(finished, "dense", "many", heads_per_megapixel=(factor * density) ** 2)
        assert [one["model"] for one in json.loads(count(photo, "--json").stdout)] == [expected]
    for choice, expected in (("dense", "many"), ("few", "few"), ("auto", "few")):
        done = count(photo, "--model", choice)
        assert done.stdout.split() == [f"{first['count']:.1f}", str(photo), "by", expected]


def test_regions_tables_and_overlays_of_a_folder(finished: Path, tmp_path: Path) -> None:
    placed(finished, "dense", "many")
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, size in enumerate(((64, 80), (64, 80), (40, 64))):
        cv2.imwrite(str(photos / f"{number}.png"), picture(*size))
    roi, table = tmp_path / "roi.json", tmp_path / "counts.csv"
    halves = {"left": [[0, 0], [40, 0], [40, 64], [0, 64]]}
    halves["right"] = {"polygon": [[40, 0], [80, 0], [80, 64], [40, 64]], "square_metres": 4}  # type: ignore[assignment]
    roi.write_text(json.dumps(halves))
    done = count(photos, "--roi", roi, "--csv", table, "--overlay", tmp_path / "drawn", "--json")
    found, whole = json.loads(done.stdout), json.loads(count(photos, "--json").stdout)
    assert [(Path(one["image"]).name, one["region"]) for one in found] == [
        (f"{number}.png", side) for number in range(3) for side in ("left", "right")
    ]
    for number, one in enumerate(whole):
        left, right = found[2 * number : 2 * number + 2]
        assert left["count"] + right["count"] == pytest.approx(one["count"], rel=1e-4)
        assert right["people_per_square_metre"] == pytest.approx(right["count"] / 4)
        assert cv2.imread(left["overlay"]) is not None
    lines = table.read_text().splitlines()
    assert lines[0] == "image,region,count,people_per_square_metre,model,overlay" and len(lines) == 7
    roi.write_text(json.dumps({"0.png": halves["left"]}))
    assert "no region for 1.png" in str(count(photos, "--roi", roi).exception)


def test_models_are_listed_and_shown(finished: Path) -> None:
    assert run("models").stdout == f"{models.NONE_SHIPS}\n"
    placed(finished, "sparse", "few", heads_per_megapixel=90.0)
    assert "auto: few\n" in run("models").stdout
    placed(finished, "dense", "many", heads_per_megapixel=1000.0)
    listed = run("models").stdout
    rows = {line.split()[0]: line.split() for line in listed.splitlines() if line.startswith(("few ", "many "))}
    assert rows["few"] == ["few", "sparse", "tiny", "synth", "13.3", "18.3", "90", "10"]
    assert rows["many"][6] == "1000" and "many counts first; where it finds fewer than 300 heads a megapixel" in listed
    card = run("models", "many").stdout
    assert card.startswith("many (0.") and "kind: dense\nmethod: tiny\n" in card
    assert [one["name"] for one in json.loads(run("models", "--json").stdout)] == ["few", "many"]
    assert json.loads(run("models", "sparse", "--json").stdout)[0]["name"] == "few"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no model ships with this version; give --method and --weights"),
        (("--model", "dense"), "no model ships with this version"),
        (("--method", "mcnn"), "--method and --weights belong together"),
        (("--method", "mcnn", "--weights", "{run}/best.weights.h5", "--model", "dense"), "--model dense: that is for"),
        (("--method", "mcnn", "--weights", "gone.h5"), "gone.h5: no such weights file"),
    ],
)
def test_what_cannot_be_counted_with_is_said(finished: Path, arguments: tuple[str, ...], message: str) -> None:
    done = run("count", "photo.jpg", *(one.format(run=finished) for one in arguments))
    assert isinstance(done.exception, HarnessError) and str(done.exception).startswith(message)


def test_a_wrong_name_or_card_is_said(finished: Path) -> None:
    placed(finished, "dense", "many")
    with pytest.raises(HarnessError, match=r"unknown model 'manny'\. Did you mean 'many'"):
        models.card_named("manny")
    with pytest.raises(HarnessError, match="unknown model 'sparse'"):
        models.card_named("sparse")
    models.card_path("many").write_text(models.card_named("many").as_yaml().replace("kind: dense", "kind: thick"))
    with pytest.raises(HarnessError, match=r"many\.yaml: not a model card: kind"):
        models.cards()


def test_what_is_in_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """One model of a kind, each counts with the method on its card, and all together fit into their part of the wheel."""
    monkeypatch.setattr(models, "FOLDER", SHIPPED)
    found, host = models.cards(), load_host()
    assert len({card.kind for card in found}) == len(found)
    assert {path.name for path in SHIPPED.glob("*.weights.h5")} == {card.weights.name for card in found}
    assert sum(len(zlib.compress(path.read_bytes(), 9)) for path in SHIPPED.glob("*")) <= MOST_BYTES
    drawn = host.benchmark("synth")
    for card in found:
        method = host.method(card.method.partition("[")[0])
        network = inference_network(weights.load_network(host, method, card.weights))
        image = drawn.read_image(drawn.index(Path())[0], method.channels)
        assert np.isfinite(density_of(network, method, image)).all()
