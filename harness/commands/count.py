"""`harness count`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.commands import load
from harness.commands.cli import plugin_option, weights_options

if TYPE_CHECKING:
    from harness.host.plugins import Host
    from harness.runs.counting import Predict


@click.command("count")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", help="A model that ships: sparse, dense, auto or a name of 'harness models'.  [default: auto]")
@weights_options(required=False)
@click.option("--roi", type=click.Path(path_type=Path), help="Count inside these polygons: a JSON file, see below.")
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
@click.option(
    "--csv",
    "csv_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a table of all counts to this file.",
)
@click.option("--json", "as_json", is_flag=True, help="A JSON list on standard output.")
@plugin_option
def command(
    images: tuple[Path, ...],
    model: str | None,
    method_name: str | None,
    weights: Path | None,
    roi: Path | None,
    overlay: Path | None,
    points_folder: Path | None,
    csv_file: Path | None,
    as_json: bool,
    plugin_files: tuple[Path, ...],
) -> None:
    """Count the people in IMAGES (JPEG, PNG, … of any size, and folders of them).

    Without --method and --weights a model counts that ships with the harness.

    A file for --roi holds a polygon, [[x, y], …] in pixels; or several by name, {"gate": [[x, y], …], …}; or either for each
    picture, {"street.jpg": …}. In the place of a polygon may stand {"polygon": [[x, y], …], "square_metres": 120}, which
    gives people per m².
    """
    from harness.commands.display import bar
    from harness.errors import DataError, HarnessError
    from harness.files.atomic import make_folder
    from harness.files.region_file import read_regions
    from harness.runs.counting import (
        check_apart,
        check_outputs,
        counts,
        draw,
        located,
        names_of,
        pictures_of,
        write_csv,
    )
    from harness.runs.point_files import Pointed, write_coco

    host = load(plugin_files)
    predict = _predictor(host, model, method_name, weights)
    pictures = pictures_of(images)
    check_apart(images, {"--overlay": overlay, "--points": points_folder})
    regions = read_regions(roi) if roi else None
    inside = {path: regions.of(path) if regions else () for path in pictures}
    names = names_of(pictures)
    methods = [method_name] if method_name else sorted(host.methods)
    check_outputs(names, methods, (weights, roi), overlay, points_folder, csv_file)
    if csv_file is not None:
        make_folder(csv_file.parent)
    told: list[dict[str, Any]] = []
    pointed: list[Pointed] = []
    unread: list[HarnessError] = []
    for path in bar(pictures, "counting"):
        rows: list[dict[str, Any]] = []
        there = []
        try:
            prediction = predict(path)
        except DataError as error:  # one bad picture, or region, does not cost the others
            unread.append(error)
            continue
        if prediction.inexact:
            click.echo(
                f"{path}: too large for {prediction.method.name} to see whole, as it must: a rough count", err=True
            )
        for region in inside[path] or (None,):
            try:
                rows += counts(path, prediction, [region] if region else [])
                there += [region] if region else []
            except DataError as error:
                unread.append(error)
        try:
            if rows and overlay is not None:
                drawn = draw(overlay, path, prediction, there, names[path])
                rows = [{**row, "overlay": str(drawn)} for row in rows]
            if rows and points_folder is not None:
                pointed.append(located(points_folder, path, prediction, there, names[path]))
                rows = [{**row, "points": str(pointed[-1].table)} for row in rows]
        except HarnessError as error:  # a picture that cannot be drawn
            unread.append(type(error)(f"{path}: {error}"))
        told += rows
        for row in [] if as_json else rows:
            click.echo(_line(row))
    if unread and not told:
        raise unread[0]
    if as_json:
        click.echo(json.dumps(told))
    if points_folder is not None:
        write_coco(points_folder, pointed)
    if csv_file is not None:
        write_csv(csv_file, told)
    for missed in unread:
        click.echo(f"not counted: {missed}", err=True)
    if unread:
        click.get_current_context().exit(1)


def _predictor(host: Host, model: str | None, method_name: str | None, weights: Path | None) -> Predict:
    from harness.errors import HarnessError
    from harness.runs.counting import predictor, shipped

    if method_name is None and weights is None:
        return shipped(host, model or "auto")
    if method_name is None or weights is None:
        raise HarnessError("--method and --weights belong together: give both, or neither for a model that ships")
    if model is not None:
        raise HarnessError(
            f"--model {model}: that is for models that ship; leave out --method and --weights, or --model"
        )
    return predictor(host, host.method(method_name), weights)


def _line(row: dict[str, Any]) -> str:
    parts = [f"{row['count']:8.1f}", row["image"], row.get("region"), row.get("model") and f"by {row['model']}"]
    if "people_per_square_metre" in row:
        parts.insert(3, f"{row['people_per_square_metre']:.2f} people per m²")
    parts += [f"→ {row[written]}" for written in ("overlay", "points") if written in row]
    return "  ".join(filter(None, parts))
