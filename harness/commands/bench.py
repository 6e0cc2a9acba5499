"""`harness bench`."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.commands import errors_said, load
from harness.commands.cli import data_root_option, finite, memory_option, plugin_option

if TYPE_CHECKING:
    from rich.console import Console

    from harness.host.plugins import Host
    from harness.runs.experiment import Asked, Experiment
    from harness.runs.plan import Cell


@click.command("bench")
@click.argument("file", metavar="[EXPERIMENT]", required=False, type=click.Path(path_type=Path))
@click.option("--methods", default="", help='"all", or names: mcnn,csrnet. A variant in brackets: NAME[VARIANT].')
@click.option("--datasets", default="", help='"all", or names: shtech_a,ucf_cc_50. See: harness data list.')
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
@click.option("--retry", default="", help="Run failed cells again: oom,timeout,failed,diverged,invalid or all.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), callback=finite, help="Minutes a cell may take.")
@click.option("--resident/--no-resident", help="Keep the training images on the device, where they fit into --memory.")
@memory_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder of the runs.",
)
@click.option("--executor", default="local", show_default=True, help="Where cells run: local, slurm or ray.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Cells at once; a GPU each.")
@click.option("--data-parallel/--no-data-parallel", help="Share each run among all devices (JAX).")
@click.option("--address", default="", help="For ray: the address of a cluster. Default: one on this machine.")
@click.option("--slurm", multiple=True, metavar="KEY=VALUE", help="For slurm: a parameter of submitit; repeatable.")
@click.option("--track", default="", help="Send losses to a tracker: tensorboard or mlflow.")
@click.option("--dry-run", is_flag=True, help="Say what would run, and stop.")
@click.option("--example", is_flag=True, help="Print an EXPERIMENT to start from, and stop.")
@data_root_option
@plugin_option
def command(file: Path | None, example: bool, retry: str, dry_run: bool, **flags: Any) -> None:
    """Train METHODS on DATASETS, test once, and print and write the comparison table.

    All of it can stand in a file, EXPERIMENT; flags that are given go before what the file says. What was asked is written to
    OUT/experiment.yaml either way.

    Cells that were run before are not run again; a killed one continues. Exits 0 when every cell is there, 1 when some
    failed, 2 when nothing could start.
    """
    from rich.console import Console

    from harness.commands.display import plainly
    from harness.commands.experiment import asked_for, keep
    from harness.host import trackers
    from harness.reporting.leaderboard import compared, in_markdown
    from harness.runs import plan
    from harness.runs.executors import executor_named
    from harness.runs.experiment import EXAMPLE
    from harness.training import chosen, sharing

    if example:
        click.echo(EXAMPLE.read_text(encoding="utf-8"), nl=False)
        return
    console = Console(stderr=True)
    say = plainly(console)
    asked = asked_for(file, flags)
    wanted, out = asked.experiment, Path(asked.experiment.out)
    _check_precision(wanted.precision)  # what needs no data is refused before every file is read for its checksum
    executor_named(wanted.executor)
    _refuse_contradictions(asked)
    if wanted.data_parallel:
        sharing.check_data_parallel()
        os.environ[sharing.PARALLEL] = "1"
    if wanted.track:
        with asked.at("track"):
            trackers.choose(wanted.track, out / "track")
    again = plan.parse_retry(retry)
    with asked.at("plugins"):
        host = load(map(Path, wanted.plugins))
    cells = _planned(host, asked)
    todo = list(plan.to_run(cells, again))
    for line in _splits(cells):
        say(line)
    say(f"{len(cells)} cells, {len(cells) - len(todo)} there already, {len(todo)} to run")
    for method in {cell.run.method.name: cell.run.method for cell in todo}.values():
        chosen.check(method)
        chosen.check_not_started(method)  # what a plugin imports as it is loaded here, it imports in a cell too
        if wanted.data_parallel:
            sharing.check_data_parallel(method)
    with asked.at("recipe"):
        _check_optimizers(todo)
    if dry_run:
        for cell in todo:
            click.echo(cell.run.name)
        for cell in cells:
            if cell.record and cell not in todo:
                say(f"there already: {cell.run.name}  {cell.record.status}")
        return
    _check_pretrained(todo)
    if kept := keep(asked):
        say(kept)
    if todo and not console.is_terminal:  # where there is no bar to look at
        say(f"how far each is: {out / '…' / 'log.txt'}, a line an epoch")
    _run(host, todo, wanted, console)
    finished = [plan.existing_record(cell.folder) for cell in cells]
    found = [record for record in finished if record is not None]
    path = out / "comparison.md"
    with errors_said(host):
        tables = compared(found, host)
    _write(path, in_markdown(tables))
    click.echo(in_markdown(tables, compact=True))
    say(f"the whole table: {path}")
    failed = sorted({cell.record.status for cell in cells if cell.record and cell not in todo} - {"ok"})
    if failed:
        say(f"of an earlier bench, and not run again: --retry {','.join(failed)}")
    if len(found) < len(finished):
        say(f"{len(finished) - len(found)} cells have no record: another bench may be running them")
    if len(found) < len(finished) or any(record.status != "ok" for record in found):
        click.get_current_context().exit(1)


def _refuse_contradictions(asked: Asked) -> None:
    """Raises `HarnessError` where flags and keys of an experiment do not go together."""
    from harness.errors import HarnessError

    wanted = asked.experiment
    for flag, executor in (("slurm", "slurm"), ("address", "ray")):
        if flag in asked.flags and wanted.executor != executor:  # a file may keep what another executor wants
            raise HarnessError(f"--{flag} is for --executor {executor}; found --executor {wanted.executor}")
    if "jobs" in asked.flags and wanted.jobs > 1 and wanted.executor == "ray":
        raise HarnessError(
            "--jobs is for --executor local and slurm; how many cells run at once is the Ray cluster's to say"
        )
    if wanted.data_parallel and (wanted.executor == "ray" or (wanted.executor == "local" and wanted.jobs > 1)):
        how = "--executor ray" if wanted.executor == "ray" else f"--jobs {wanted.jobs}"
        raise HarnessError(
            f"--data-parallel shares each run among all devices, and {how} gives each a device of its own"
        )


def _planned(host: Host, asked: Asked) -> list[Cell]:
    """The cells of an experiment; a name in its file that is unknown is named by its line."""
    from harness.errors import HarnessError
    from harness.runs import plan
    from harness.runs.resolve import recipe_of

    wanted, methods, datasets = asked.experiment, [], []
    for number, text in enumerate(wanted.methods):
        with asked.at("methods", number):
            methods += plan.parse_methods(host, text)
    for number, text in enumerate(wanted.datasets):
        with asked.at("datasets", number):
            datasets += plan.parse_datasets(host, text)
    missing = [key for key in ("methods", "datasets") if not getattr(wanted, key)]
    if missing:
        where = f"{asked.sheet.path}: no {missing[0]}" if asked.sheet else f"--{missing[0]} is missing"
        raise HarnessError(
            f"{where}; give --methods and --datasets, or a file that does: harness bench --example prints one"
        )
    choices = wanted.choices()
    with asked.at("recipe"):
        for (name, _), benchmark in itertools.product(methods, datasets):
            recipe_of(host.method(name), benchmark.name, choices["recipe"], choices.get("own_recipe", {}))
    return plan.plan_cells(
        host,
        list(dict.fromkeys(methods)),
        list({benchmark.reference: benchmark for benchmark in datasets}.values()),
        list(dict.fromkeys(wanted.seeds)),
        Path(wanted.out),
        Path(wanted.data_root) if wanted.data_root else None,
        **choices,
    )


def _splits(cells: list[Cell]) -> Iterator[str]:
    """How many images each dataset trains on, chooses by and is tested on, and where that is little."""
    from harness.data.splits import said

    first: dict[str, Any] = {}
    for cell in cells:
        first.setdefault(cell.run.request.dataset, cell)
    names = [cell.run.benchmark.name for cell in first.values()]
    for dataset, cell in first.items():
        alike = names.count(cell.run.benchmark.name) > 1  # as two folders may be
        name = dataset if alike else cell.run.benchmark.name
        budget, sizes = cell.run.budget, cell.split.sizes
        val, test = (
            min(sizes["val"], budget.validation_images or sizes["val"]),
            min(sizes["test"], budget.test_images or sizes["test"]),
        )
        capped = (val, test) != (sizes["val"], sizes["test"])
        measured = f" (budget {budget.name} measures {val:,} and {test:,} of these two)" if capped else ""
        yield f"{name}: {said(sizes, cell.run.benchmark.folds)}{measured}"
        if cell.split.warning():
            yield f"{name}: {cell.split.warning()}"


def _run(host: Host, todo: list[Cell], wanted: Experiment, console: Console) -> None:
    from harness.commands.display import cell_display, plainly
    from harness.reporting.asked import budget_label, proves_only
    from harness.reporting.proofs import TESTED
    from harness.runs.executors import Settings, executor_named, job_of

    executor = executor_named(wanted.executor)
    timeout = wanted.timeout * 60 if wanted.timeout else None
    memory, data_root = int(wanted.memory * (1 << 30)), Path(wanted.data_root) if wanted.data_root else None
    files, say = [Path(name) for name in wanted.plugins], plainly(console)
    jobs = [job_of(host, cell, data_root, files, memory, timeout) for cell in todo]
    said: set[str] = set()

    def warned(line: str) -> None:
        if line not in said:  # each cell finds it anew
            said.add(line)
            say(line)

    settings = Settings(
        jobs=wanted.jobs,
        address=wanted.address,
        slurm=dict(wanted.slurm),
        folder=Path(wanted.out),
        watch=lambda number, name: cell_display(name, f"[{number}/{len(jobs)}]", console),
        warned=warned,
    )
    for number, (job, record) in enumerate(executor.run(jobs, settings), 1):
        if record.results and proves_only(budget_label(record)):
            what = TESTED
        elif record.results:
            what = f"MAE {record.results.mae:.1f}  RMSE {record.results.rmse:.1f}"
        else:
            what = f"{record.status}: {record.message.splitlines()[0] if record.message else ''}"
        say(f"[{number}/{len(jobs)}] {job.name}  {what}")
        left = [line for line in record.message.splitlines() if line not in said]
        if record.status == "ok" and left:
            say("\n".join(left))


def _check_precision(name: str) -> None:
    from harness.errors import unknown_name
    from harness.training.backend import PRECISIONS

    if name not in PRECISIONS:
        raise unknown_name("precision", name, PRECISIONS)


def _check_pretrained(todo: list[Cell]) -> None:
    """Weights that cannot be had must stop the bench before any training, not fail every cell in turn."""
    found = {(cell.run.method.pretrained or "", cell.run.options.pretrained) for cell in todo}
    wanted = [(part, source) for part, source in sorted(found) if source != "none"]
    if wanted:
        from harness.training import backend

        backend.start()
        from harness.nn import fronts

        for part, source in wanted:
            fronts.check(part, source)


def _check_optimizers(todo: list[Cell]) -> None:
    """A misspelt optimiser in a recipe of one's own must not fail every cell in turn."""
    decide = {"optimizer", "options", "stages", "clip", "ema", "rates"}
    own = [cell.run.recipe for cell in todo if decide & cell.run.request.own_recipe.keys()]
    if own:
        from harness.training import backend

        backend.start()
        from harness.training import optimizers

        for recipe in own:
            optimizers.check(recipe)


def _write(path: Path, text: str) -> None:
    from harness.files.atomic import written

    with written(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
