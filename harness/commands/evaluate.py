"""`harness eval`."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import click

from harness.commands import load
from harness.commands.cli import data_root_option, memory_option, plugin_option, weights_options

MOST_MEMBERS = 12  # groups with more members are in --json alone
SPLITS = ("train", "val", "test", "all")


@click.command("eval")
@weights_options()
@click.option("--dataset", required=True)
@click.option(
    "--split",
    default="test",
    show_default=True,
    type=click.Choice(SPLITS),
    help="all: every image, whatever the folds.",
)
@click.option("--fold", default=0, show_default=True, help="Which fold of a cross-validated dataset is the test set.")
@memory_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@data_root_option
@plugin_option
def command(
    method_name: str,
    weights: Path,
    dataset: str,
    split: str,
    fold: int,
    memory: float,
    as_json: bool,
    data_root: Path | None,
    plugin_files: tuple[Path, ...],
) -> None:
    """Measure WEIGHTS of METHOD on a split of DATASET: MAE, RMSE, NAE, GAME(0–3), localisation and every image's counts."""
    from harness.data.regions import seen_inside
    from harness.data.splits import select
    from harness.errors import HarnessError
    from harness.localisation import named

    host = load(plugin_files)
    method = host.method(method_name)
    benchmark = seen_inside(host.benchmark(dataset), method.outside)
    if fold not in range(max(1, benchmark.folds)):
        raise HarnessError(
            f"--fold {fold}: {dataset} has {benchmark.folds or 'no'} folds; expected 0 to {max(0, benchmark.folds - 1)}"
        )
    samples = select(benchmark, benchmark.index(benchmark.require(data_root)), split, fold)
    if not samples:
        raise HarnessError(f"--split {split}: {dataset} has no images there; expected another of {', '.join(SPLITS)}")
    result = _measure(host, method, benchmark, samples, weights, memory)
    result = {"method": method.name, "dataset": benchmark.name, "split": split, **result}
    if result["inexact_images"]:
        many = _images(result["inexact_images"])
        click.echo(f"{many} too large for {method.name} to see whole, as it must: their counts are rough", err=True)
    if as_json:
        click.echo(json.dumps(result, allow_nan=False))
        return
    click.echo(f"{method.title} on {benchmark.title}, {split}: {result['images']} images in {result['seconds']:.1f} s")
    nae = "–" if result["nae"] is None else f"{result['nae']:.4f}"
    click.echo(f"MAE {result['mae']:.2f}   RMSE {result['rmse']:.2f}   NAE {nae}")
    click.echo("   ".join(f"GAME({level}) {value:.2f}" for level, value in enumerate(result["game"])))
    for name, one in result["localisation"].items():
        told = (f"{what} {'–' if value is None else f'{value:.3f}'}" for what, value in one.items())
        click.echo(f"{named(name)}: {', '.join(told)}")
    for group, members in result["groups"].items():
        if 1 < len(members) <= MOST_MEMBERS:
            told = (f"{_level(name)} {one['mae']:.2f} ({_images(one['images'])})" for name, one in members.items())
            click.echo(f"MAE by {group}: {', '.join(told)}")


def _images(number: int) -> str:
    return f"{number} image{'' if number == 1 else 's'}"


def _level(name: str) -> str:
    """ "low (≤ 300)": what a level of the count is; another group's member as it is."""
    from harness.metrics import COUNT_LEVELS

    for level, least, most in COUNT_LEVELS:
        if level == name:
            return f"{name} (≤ {most:g})" if math.isfinite(most) else f"{name} (> {least:g})"
    return name


def _measure(host: Any, method: Any, benchmark: Any, samples: Any, weights: Path, memory: float) -> dict[str, Any]:
    from harness.training import backend, chosen

    chosen.use_for(method)
    backend.start()
    from harness.commands.display import bar
    from harness.data.image_store import ImageStore
    from harness.data.scenes import scenes
    from harness.errors import DivergedError, HarnessError
    from harness.training.evaluation import by_group, check_finite, evaluate, localised, summary
    from harness.training.weights import load_inference_network

    network = load_inference_network(host, method, weights)
    store = ImageStore(benchmark, method.channels, int(memory * (1 << 30)))
    started = time.perf_counter()
    results = []
    for sample in bar(samples, "predicting"):
        try:
            results += evaluate(network, method, scenes(benchmark, (sample,), store, boxes=True), locate=True)
            check_finite(results[-1:])
        except DivergedError as error:
            raise HarnessError(f"{weights}: {error}; these weights are broken") from None
    scores = summary(results)
    return {
        "images": len(results),
        "inexact_images": sum(result.inexact for result in results),
        "mae": scores["mae"],
        "rmse": scores["rmse"],
        "nae": _number(scores["nae"]),
        "game": scores["game"],
        "localisation": {
            name: dict(zip(("precision", "recall", "f1"), map(_number, found), strict=True))
            for name, found in localised(results).items()
        },
        "groups": by_group(results),
        "seconds": time.perf_counter() - started,
        "per_image": [
            {"image": result.image, "true": result.true, "predicted": result.predicted} for result in results
        ],
    }


def _number(value: float) -> float | None:
    """`value`, or None where it is no number: JSON holds no NaN."""
    return None if value != value else value
