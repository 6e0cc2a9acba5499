"""`harness bench`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from harness.commands import load
from harness.commands.cli import data_root_option, plugin_option


@click.command("bench")
@click.option("--methods", required=True, help='"all", or names: mcnn,csrnet. A variant in brackets: NAME[VARIANT].')
@click.option("--datasets", required=True, help='"all", or names: shtech_a,ucf_cc_50. See: harness data list.')
@click.option(
    "--budget", default="quick", show_default=True, help="smoke, quick, standard or paper: how much work a run may be."
)
@click.option("--recipe", default="common", show_default=True, help="common (one schedule for all) or paper.")
@click.option("--seeds", default="0", show_default=True, help="Seeds, e.g. 0,1,2.")
@click.option(
    "--select",
    default="validation",
    show_default=True,
    help="What chooses the checkpoint: validation, or test-oracle (as many papers did; marked in every table).",
)
@click.option("--precision", default="float32", show_default=True, help="float32, mixed_bfloat16 or mixed_float16.")
@click.option(
    "--pretrained",
    default="default",
    show_default=True,
    help="imagenet, none, or a weights file. Default: imagenet where the method has a pretrained part, none for smoke.",
)
@click.option("--retry", default="", help="Run failed cells again: oom,timeout,failed,diverged or all.")
@click.option("--timeout", type=float, help="Minutes a cell may take.")
@click.option("--memory", type=float, default=2.0, show_default=True, help="GiB of decoded images held in memory.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder of the runs.",
)
@click.option("--executor", default="local", show_default=True, help="Where cells run: local, slurm or ray.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Cells at once; a GPU each.")
@click.option("--data-parallel", is_flag=True, help="Share each run among all devices (JAX).")
@click.option("--address", default="", help="For ray: the address of a cluster. Default: one on this machine.")
@click.option("--slurm", multiple=True, metavar="KEY=VALUE", help="For slurm: a parameter of submitit; repeatable.")
@click.option("--track", default="", help="Send losses to a tracker: tensorboard or mlflow.")
@click.option("--dry-run", is_flag=True, help="Say what would run, and stop.")
@data_root_option
@plugin_option
def command(**options: Any) -> None:
    """Train METHODS on DATASETS, test once, and print and write the comparison table.

    Cells that were run before are not run again; a killed one continues. Exits 0 when every cell is there, 1 when some
    failed, 2 when nothing could start.
    """
    from rich.console import Console

    from harness.host import trackers
    from harness.reporting.leaderboard import comparison
    from harness.runs import plan as bench
    from harness.runs.executors import executor_named
    from harness.training import backend

    console = Console(stderr=True)
    _check_precision(options["precision"])  # what needs no data is refused before every file is read for its checksum
    executor_named(options["executor"])
    if options["data_parallel"]:
        backend.check_data_parallel()
        os.environ[backend.PARALLEL] = "1"
    if options["track"]:
        trackers.choose(options["track"], options["out"] / "track")
    retry = bench.parse_retry(options["retry"])
    host = load(options["plugin_files"])
    cells = bench.plan_cells(
        host,
        bench.parse_methods(host, options["methods"]),
        bench.parse_datasets(host, options["datasets"]),
        _seeds(options["seeds"]),
        options["out"],
        options["data_root"],
        **{key: options[key] for key in ("budget", "recipe", "select", "precision", "pretrained")},
    )
    todo = list(bench.to_run(cells, retry))
    console.print(f"{len(cells)} cells, {len(cells) - len(todo)} there already, {len(todo)} to run", highlight=False)
    if options["dry_run"]:
        for cell in todo:
            click.echo(cell.run.name)
        return
    _check_pretrained(todo)
    _run(host, todo, options, console)
    finished = [bench.existing_record(cell.folder) for cell in cells]
    found = [record for record in finished if record is not None]
    path = options["out"] / "comparison.md"
    _write(path, comparison(found, host))
    click.echo(comparison(found, host, compact=True))
    console.print(f"the whole table: {path}", markup=False, highlight=False, soft_wrap=True)
    if any(record.status != "ok" for record in found):
        click.get_current_context().exit(1)


def _run(host: Any, todo: list[Any], options: dict[str, Any], console: Any) -> None:
    from harness.commands.display import cell_display
    from harness.runs.executors import Settings, executor_named, job_of

    executor = executor_named(options["executor"])
    timeout = options["timeout"] * 60 if options["timeout"] else None
    memory = int(options["memory"] * (1 << 30))
    jobs = [job_of(host, cell, options["data_root"], options["plugin_files"], memory, timeout) for cell in todo]
    settings = Settings(
        jobs=options["jobs"],
        address=options["address"],
        slurm=_slurm(options["slurm"]),
        folder=options["out"],
        watch=lambda number, name: cell_display(name, f"[{number}/{len(jobs)}]", console),
    )
    for number, (job, record) in enumerate(executor.run(jobs, settings), 1):
        if record.results:
            what = f"MAE {record.results.mae:.1f}  RMSE {record.results.rmse:.1f}"
        else:
            what = f"{record.status}: {record.message.splitlines()[0] if record.message else ''}"
        console.print(f"[{number}/{len(jobs)}] {job.name}  {what}", markup=False, highlight=False, soft_wrap=True)
        if record.status == "ok" and record.message:
            console.print(record.message, markup=False, highlight=False, soft_wrap=True)


def _slurm(pairs: tuple[str, ...]) -> dict[str, Any]:
    """("slurm_partition=gpu", "cpus_per_task=8") → a dict; whole numbers as such."""
    from harness.errors import HarnessError

    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise HarnessError(f"--slurm {pair!r}: expected KEY=VALUE, e.g. slurm_partition=gpu")
        found[key] = int(value) if value.isdigit() else value
    return found


def _seeds(text: str) -> list[int]:
    from harness.errors import HarnessError

    try:
        seeds = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        seeds = []
    if not seeds or any(seed < 0 for seed in seeds):
        raise HarnessError(f"--seeds {text!r}: expected whole numbers from 0, e.g. 0,1,2")
    return list(dict.fromkeys(seeds))


def _check_precision(name: str) -> None:
    from harness.errors import unknown_name
    from harness.training.backend import PRECISIONS

    if name not in PRECISIONS:
        raise unknown_name("precision", name, PRECISIONS)


def _check_pretrained(todo: list[Any]) -> None:
    """Weights that cannot be had must stop the bench before any training, not fail every cell in turn."""
    found = {(cell.run.method.pretrained or "", cell.run.options.pretrained) for cell in todo}
    wanted = [(part, source) for part, source in sorted(found) if source != "none"]
    if wanted:
        from harness.training import backend

        backend.start()
        from harness.nn import vgg, vgg_weights

        for part, source in wanted:
            vgg_weights.check(vgg.BY_NAME.get(part, vgg.VGG16), source)


def _write(path: Path, text: str) -> None:
    from harness.errors import HarnessError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise HarnessError(f"{path}: cannot be written ({error.strerror or error})") from None
