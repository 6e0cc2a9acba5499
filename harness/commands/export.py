"""`harness export`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.commands import load
from harness.commands.cli import plugin_option, weights_options

if TYPE_CHECKING:
    from harness.training.export import Agreement

FORMATS = ("onnx", "savedmodel", "tflite")  # of `harness.training.export`, which is too heavy for --help


@click.command("export")
@weights_options()
@click.option("--format", "format_name", required=True, type=click.Choice(FORMATS))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The new file; of savedmodel a folder.")
@click.option("--size", help="Height x width of all pictures it will see, e.g. 768x1024. Without: any size.")
@click.option("--picture", type=click.Path(path_type=Path), help="Compare on this one, not on a drawn one.")
@plugin_option
def command(
    method_name: str,
    weights: Path,
    format_name: str,
    out: Path,
    size: str | None,
    picture: Path | None,
    plugin_files: tuple[Path, ...],
) -> None:
    """Write METHOD's network with WEIGHTS to OUT, for programs without Keras.

    It takes float32 [batch, height, width, channels], values 0–255, sides multiples of the method's, and gives heads a
    cell: their sum is the count. What was written is read back and compared with the network to a thousandth, on pictures of
    two sizes; exits 1, leaving no file, where it computes something else.
    """
    from harness.errors import HarnessError
    from harness.files.images import read_image
    from harness.training.export import check_packages, check_size

    host = load(plugin_files)
    method = host.method(method_name)
    sides = _sides(size)
    if sides is not None:
        check_size(method, sides)
    if method.backend not in ("", "tensorflow"):
        raise HarnessError(
            f"{method.name} runs on {method.backend} alone; expected a network of Keras layers, which TensorFlow exports. Use "
            f"what {method.backend} has itself (torch.onnx, say)"
        )
    if out.exists():
        raise HarnessError(f"{out}: already there; expected a new name")
    check_packages(format_name)
    if picture is not None:
        image = read_image(picture, method.channels)
    else:
        drawn = host.benchmark("synth")
        image = drawn.read_image(drawn.index(Path())[0], method.channels)
    # The converters are TensorFlow's, whatever trained the weights; a processor's float32 is the same everywhere.
    os.environ.update(KERAS_BACKEND="tensorflow", CUDA_VISIBLE_DEVICES="-1")
    from harness.training import backend

    backend.start()
    from harness.training.export import export
    from harness.training.weights import load_inference_network

    network = load_inference_network(host, method, weights)
    for agreement in export(network, method, out, format_name, image, sides):
        click.echo(_told(agreement))
    any_size = f"of any size in multiples of {method.side_multiple}" if sides is None else f"of {sides[0]} × {sides[1]}"
    click.echo(
        f"{out}: {'RGB' if method.channels == 3 else 'grey'} pictures {any_size} → heads a cell of {method.stride}"
    )


def _told(one: Agreement) -> str:
    return (
        f"{one.size[0]} × {one.size[1]} pixels: largest difference {one.difference:.1e} heads a cell (of {one.largest:.2g}), "
        f"counts {one.counts[0]:.4f} and {one.counts[1]:.4f}"
    )


def _sides(size: str | None) -> tuple[int, int] | None:
    from harness.errors import HarnessError

    if size is None:
        return None
    match = re.fullmatch(r"(\d+)[x×](\d+)", size)
    if not match or not all(map(int, match.groups())):
        raise HarnessError(f"--size {size!r}: expected height x width, e.g. 768x1024")
    return int(match[1]), int(match[2])
