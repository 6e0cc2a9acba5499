"""`harness count`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from harness.commands import load
from harness.commands.cli import plugin_option


@click.command("count")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--method", "method_name", required=True, help="Whose network the weights are for.")
@click.option(
    "--weights",
    required=True,
    type=click.Path(path_type=Path),
    help="Native Keras weights, or a file a plugin reads.",
)
@click.option(
    "--overlay",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write each picture with its density drawn over it into this folder.",
)
@click.option(
    "--points",
    "points_folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write into this folder where the heads are: each picture with its points, as CSV, and all as COCO key points.",
)
@click.option("--json", "as_json", is_flag=True, help="A JSON list on standard output.")
@plugin_option
def command(
    images: tuple[Path, ...],
    method_name: str,
    weights: Path,
    overlay: Path | None,
    points_folder: Path | None,
    as_json: bool,
    plugin_files: tuple[Path, ...],
) -> None:
    """Count the people in IMAGES (JPEG, PNG, … of any size)."""
    from harness.errors import HarnessError
    from harness.files.images import read_image

    host = load(plugin_files)
    method = host.method(method_name)
    if not weights.is_file():
        raise HarnessError(f"{weights}: no such weights file")
    for path in images:  # a wrong name must not cost the time of loading a network first
        if not path.is_file():
            raise HarnessError(f"{path}: no such image")
    network = _network(host, method, weights)
    counted, pointed = [], []
    for path in images:
        prediction = _prediction(network, method, read_image(path, method.channels))
        density = prediction.density
        entry: dict[str, Any] = {"image": str(path), "count": float(density.sum(dtype="float64"))}
        if overlay is not None:
            from harness.runs.overlay import write_overlay

            target = overlay / f"{path.stem}_{method.name}.png"
            write_overlay(target, read_image(path, 3), density, method.stride, entry["count"])
            entry["overlay"] = str(target)
        if points_folder is not None:
            pointed.append(_pointed(points_folder, path, method, prediction))
            entry["points"] = str(pointed[-1].table)
        counted.append(entry)
        if not as_json:
            files = [entry[key] for key in ("overlay", "points") if key in entry]
            click.echo("  → ".join((f"{entry['count']:8.1f}  {path}", *files)))
    if points_folder is not None:
        from harness.runs.point_files import write_coco

        write_coco(points_folder, pointed)
    if as_json:
        click.echo(json.dumps(counted))


def _network(host: Any, method: Any, weights: Path) -> Any:
    from harness.training import backend

    backend.start()
    from harness.method import inference_network
    from harness.training.weights import load_network

    return inference_network(load_network(host, method, weights))


def _prediction(network: Any, method: Any, image: Any) -> Any:
    from harness.training.prediction import prediction_of

    return prediction_of(network, method, image)


def _pointed(folder: Path, path: Path, method: Any, prediction: Any) -> Any:
    from harness.runs.point_files import write_points
    from harness.training.prediction import points_of

    return write_points(folder, path, f"{path.stem}_{method.name}", points_of(prediction, method.stride))
