"""`harness count`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from harness.commands import load
from harness.commands.cli import plugin_option, weights_options


@click.command("count")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@weights_options
@click.option(
    "--overlay",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write each picture with its density drawn over it into this folder.",
)
@click.option("--json", "as_json", is_flag=True, help="A JSON list on standard output.")
@plugin_option
def command(
    images: tuple[Path, ...],
    method_name: str,
    weights: Path,
    overlay: Path | None,
    as_json: bool,
    plugin_files: tuple[Path, ...],
) -> None:
    """Count the people in IMAGES (JPEG, PNG, … of any size)."""
    from harness.errors import HarnessError
    from harness.files.images import read_image

    host = load(plugin_files)
    method = host.method(method_name)
    for path in images:  # a wrong name must not cost the time of loading a network first
        if not path.is_file():
            raise HarnessError(f"{path}: no such image")
    network = _network(host, method, weights)
    counted = []
    for path in images:
        density = _density(network, method, read_image(path, method.channels))
        entry: dict[str, Any] = {"image": str(path), "count": float(density.sum(dtype="float64"))}
        if overlay is not None:
            from harness.runs.overlay import write_overlay

            target = overlay / f"{path.stem}_{method.name}.png"
            write_overlay(target, read_image(path, 3), density, method.stride, entry["count"])
            entry["overlay"] = str(target)
        counted.append(entry)
        if not as_json:
            click.echo(f"{entry['count']:8.1f}  {path}" + (f"  → {entry['overlay']}" if overlay else ""))
    if as_json:
        click.echo(json.dumps(counted))


def _network(host: Any, method: Any, weights: Path) -> Any:
    from harness.training import backend

    backend.start()
    from harness.method import inference_network
    from harness.training.weights import load_network

    return inference_network(load_network(host, method, weights))


def _density(network: Any, method: Any, image: Any) -> Any:
    from harness.training.prediction import density_of

    return density_of(network, method, image)
