"""Makes a model that ships with the package, and its card, from a finished run.

    python docs/make_models.py RUN_FOLDER --kind sparse|dense

Writes harness/models/NAME.weights.h5 (what counting needs of best.weights.h5) and NAME.yaml (the card, from record.json alone).
Kernels are stored as float16 where that changes no count of the run's example pictures by more than a thousandth, else as
float32. One model of each kind ships; what ships may have 3 MB in the wheel.
"""

from __future__ import annotations

import argparse
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.benchmark import Benchmark
from harness.host.plugins import Host, load_host
from harness.reporting.crops_seen import crops_seen
from harness.reporting.rows import comparisons
from harness.runs import examples, models, records
from harness.training import backend

MOST_BYTES = 3_000_000  # together, as the wheel packs them
LARGEST_CHANGE = 1e-3  # of a count
AS_RECORDED = (
    "method_title",
    "dataset",
    "dataset_title",
    "fold",
    "recipe",
    "budget",
    "seed",
    "select",
    "precision",
    "pretrained",
)


def card_of(record: records.Record, kind: str, benchmark: Benchmark) -> models.Card:
    """The card of a finished run with its weights as they are; exits where its record does not say all that a card must."""
    row = comparisons([record], benchmarks={benchmark.name: benchmark})[0].rows[0]
    data, model, results, crops = record.data, record.model, record.results, crops_seen(record)
    if not (data and model and results and crops and row.mae and row.rmse):
        raise SystemExit(f"{record.name}: status {record.status}; expected a finished run")
    images = results.per_image
    if not all(image.height and image.width for image in images):
        raise SystemExit(f"{record.name}: its record has no sizes of images: made before they were kept; run it again")
    densities = [1e6 * image.true / (image.height * image.width) for image in images]  # type: ignore[operator]
    return models.Card(
        name=name_of(record),
        kind=kind,  # type: ignore[arg-type]
        method=row.method,
        **{field: getattr(record, field) for field in AS_RECORDED},
        train_images=data.train_images,
        crops=crops,
        harness=record.environment["versions"]["crowd-harness"],
        plugin=f"{record.plugin.distribution} {record.plugin.version}",
        run=record.id,
        test=models.Tested(
            images=data.test_images,
            mae=round(row.mae.value, 2),
            mae_interval=(round(row.mae.low, 2), round(row.mae.high, 2)),
            rmse=round(row.rmse.value, 2),
            rmse_interval=(round(row.rmse.low, 2), round(row.rmse.high, 2)),
        ),
        heads_per_megapixel=round(float(np.median(densities)), 1),
        parameters=model.inference_parameters,
        stored="float32",
        changed=0.0,
        limits=limits(record, densities),
        licence=licence(benchmark),
    )


def name_of(record: records.Record) -> str:
    """ "zip-n-shtech_a" of zip[n] on shtech_a."""
    variant = re.sub(r"\W+", "_", record.variant)
    return "-".join(filter(None, (record.method, variant, record.dataset)))


def limits(record: records.Record, densities: list[float]) -> list[str]:
    """What the errors were measured on, and what is known to be wrong with it."""
    assert record.results is not None and record.data is not None
    images = record.results.per_image
    true = [image.true for image in images]
    sizes = sorted((image.width * image.height, f"{image.width} × {image.height}") for image in images)  # type: ignore[operator]
    said = [
        f"tested on pictures with {min(true):.0f} to {max(true):.0f} heads, {min(densities):.0f} to {max(densities):.0f} a "
        f"megapixel, of {sizes[0][1]} to {sizes[-1][1]} pixels; what it does elsewhere was not measured",
        f"a mean error of {100 * record.results.mae / max(np.mean(true), 1e-9):.0f} % of the mean count; a single picture was "
        f"off by {max(abs(image.predicted - image.true) for image in images):.0f} heads",
    ]
    if record.results.inexact_images:
        said.append(f"{record.results.inexact_images} of the test pictures were too large to be seen whole")
    return said + [f"data: {departure}" for departure in record.data.departures]


def licence(benchmark: Benchmark) -> str:
    """What may be done with weights that learned from this benchmark."""
    if not benchmark.needs_files:
        return "trained on scenes that the harness draws: as the harness itself"
    return (
        f"trained on {benchmark.title} ({benchmark.citation}), pictures that are offered for research only: use these weights "
        f"for research only, or ask its authors ({benchmark.homepage})"
    )


def write_weights(host: Host, record: records.Record, run: Path) -> tuple[str, float]:
    """Writes the weights of the run in folder `run`; how kernels are stored, and the largest share by which a count changed."""
    from harness.training.weights import save_small

    method, target = host.method(record.method), models.weights_path(name_of(record))
    for stored in ("float16", "float32"):
        save_small(host, method, run / "best.weights.h5", target, half=stored == "float16")
        changed = largest_change(host, record, run, target)
        if changed <= LARGEST_CHANGE:
            return stored, changed
    target.unlink()
    raise SystemExit(f"{target}: counts {changed:.1%} other than {run / 'best.weights.h5'}")


def largest_change(host: Host, record: records.Record, run: Path, target: Path) -> float:
    """The largest change of a count of the run's example pictures, as a share of all mass in the density."""
    from harness.files.images import read_image
    from harness.training.prediction import density_of
    from harness.training.weights import load_inference_network

    method = host.method(record.method)
    pictures = [run / examples.FOLDER / example.picture for example in examples.read(run)]
    if not pictures:
        raise SystemExit(f"{run / examples.FOLDER}: no pictures to compare counts on")
    networks = [load_inference_network(host, method, path) for path in (run / "best.weights.h5", target)]
    shares = []
    for path in pictures:
        before, after = (density_of(network, method, read_image(path, method.channels)) for network in networks)
        shares.append(
            abs(after.sum(dtype=float) - before.sum(dtype=float)) / max(np.abs(before).sum(dtype=float), 1e-6)
        )
    return max(shares)


def packed_bytes() -> int:
    """The bytes of all models as a wheel packs them."""
    return sum(len(zlib.compress(path.read_bytes(), 9)) for path in models.FOLDER.glob("*.*"))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of a finished run")
    parser.add_argument("--kind", required=True, choices=models.KINDS)
    asked = parser.parse_args(arguments)
    record, host = records.read(asked.run / records.FILE), load_host()
    name = name_of(record)
    other = next((card for card in models.cards() if card.kind == asked.kind and card.name != name), None)
    if other:
        raise SystemExit(f"{models.card_path(other.name)}: there is a {asked.kind} model already; remove it first")
    card = card_of(record, asked.kind, host.benchmark(record.dataset))
    backend.start()
    models.FOLDER.mkdir(exist_ok=True)
    stored, changed = write_weights(host, record, asked.run)
    card = card.model_copy(update={"stored": stored, "changed": float(f"{changed:.1e}")})
    models.card_path(name).write_text(card.as_yaml(), encoding="utf-8")
    print(
        f"{models.weights_path(name)}: {stored}, counts change by at most {changed:.2%}; all models {packed_bytes():,} bytes"
    )
    if packed_bytes() > MOST_BYTES:
        raise SystemExit(f"{models.FOLDER}: more than {MOST_BYTES:,} bytes; expected less in a wheel")


if __name__ == "__main__":
    main()
