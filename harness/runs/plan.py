"""The matrix methods × datasets × folds × seeds as cells: what each runs, and the record that is there of it already."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.benchmark import Benchmark
from harness.data.fingerprints import fingerprint
from harness.data.splits import Split, require_images, split
from harness.errors import HarnessError, unknown_name
from harness.host.plugins import Host
from harness.run import Request, Run
from harness.runs import records
from harness.runs.records import Record
from harness.runs.resolve import resolve


@dataclass(frozen=True)
class Cell:
    """One run of the matrix, its folder, its record if it was run before, and its images."""

    run: Run
    folder: Path
    record: Record | None
    split: Split


def split_names(text: str) -> list[str]:
    """The names in "shtech_a, own/pictures"; a folder whose name has a comma is one."""
    return [text] if os.path.isdir(text) else [name for part in text.split(",") if (name := part.strip())]


def parse_methods(host: Host, text: str) -> list[tuple[str, str]]:
    """ "all", or "mcnn,sasnet[no_pra]" → (method, variant) pairs, without repeats."""
    if text == "all":
        return [(name, "") for name in sorted(host.methods)]
    pairs = [parse_method(host, name) for name in split_names(text)]
    if not pairs:
        raise HarnessError(f"--methods {text!r} names no method. Known: {', '.join(sorted(host.methods))}.")
    return list(dict.fromkeys(pairs))


def parse_method(host: Host, text: str) -> tuple[str, str]:
    """ "sasnet[no_pra]" → ("sasnet", "no_pra"), "mcnn" → ("mcnn", "").

    Raises:
        HarnessError: an unknown name, or brackets that do not close.
    """
    name, bracket, rest = text.partition("[")
    if bracket and (not rest.endswith("]") or rest == "]"):
        example = rest.strip("[]") or "VARIANT"
        raise HarnessError(f"method {text!r}: expected NAME or NAME[VARIANT], for example {name}[{example}]")
    method, variant = host.method(name), rest.removesuffix("]")
    if variant and variant not in method.variants:
        raise unknown_name(f"variant of {name}", variant, method.variants)
    return name, variant


def parse_datasets(host: Host, text: str) -> list[Benchmark]:
    """ "all", or "shtech_a,ucf_qnrf" → benchmarks; all means every one but the drawn scenes."""
    if text == "all":
        return [benchmark for benchmark in host.benchmarks.values() if benchmark.needs_files]
    names = split_names(text)
    if not names:
        raise HarnessError(f"--datasets {text!r} names no dataset. Known: {', '.join(sorted(host.benchmarks))}.")
    return [host.benchmark(name) for name in dict.fromkeys(names)]


def plan_cells(
    host: Host,
    methods: Sequence[tuple[str, str]],
    benchmarks: Iterable[Benchmark],
    seeds: Sequence[int],
    out: Path,
    data_root: Path | None,
    **choices: Any,
) -> list[Cell]:
    """Every cell of the matrix, dataset by dataset; `choices` are the remaining fields of `Request`.

    Raises:
        HarnessError: data missing, too few or unusable, unknown names, a pretrained file that is not there. Nothing has run
            yet.
    """
    benchmarks = list(benchmarks)
    located = [(benchmark, benchmark.require(data_root)) for benchmark in benchmarks]
    cells = []
    for benchmark, folder in located:
        samples = benchmark.index(folder)
        folds = range(max(1, benchmark.folds))
        parts = [split(benchmark, samples, fold) for fold in folds]
        for part in parts:
            require_images(part, folder)
        mark = fingerprint(benchmark, samples)
        for (method, variant), seed, fold in itertools.product(methods, seeds, folds):
            request = Request(method, benchmark.reference, variant, fold, seed, **choices)
            run = resolve(host, request, mark, samples)
            cells.append(Cell(run, out / run.name, _record_there(run, out / run.name), parts[fold]))
    return cells


def _record_there(run: Run, folder: Path) -> Record | None:
    record = existing_record(folder)
    if record and record.id != run.id:
        raise HarnessError(
            f"{folder / records.FILE}: the record of another run, {record.name}; expected that of {run.id}. Move it away, or "
            f"delete it"
        )
    return record


def existing_record(folder: Path) -> Record | None:
    """The record in a run's folder, or None; raises `HarnessError` if it is not valid."""
    path = folder / records.FILE
    return records.read(path) if path.is_file() else None


def to_run(cells: Iterable[Cell], retry: frozenset[str]) -> Iterator[Cell]:
    """The cells without a record, and those whose status is in `retry`."""
    for cell in cells:
        if cell.record is None or cell.record.status in retry:
            yield cell


def parse_retry(text: str) -> frozenset[str]:
    """ "oom,timeout" or "all" → statuses to run again."""
    bad = [status for status in records.STATUSES if status != "ok"]
    if text == "all":
        return frozenset(bad)
    chosen = frozenset(filter(None, (part.strip() for part in text.split(","))))
    for status in chosen:
        if status not in bad:
            raise unknown_name("status", status, bad)
    return chosen


def record_of(host: Host, run: Run, status: str) -> Record:
    """A record of `run` that says only what is known before it runs."""
    request, plugin = run.request, host.method_plugin[run.method.name]
    return Record(
        id=run.id,
        name=run.name,
        method=run.method.name,
        method_title=run.method.title,
        variant=request.variant,
        dataset=run.benchmark.name,
        dataset_title=run.benchmark.title,
        fold=request.fold,
        folds=run.benchmark.folds,
        seed=request.seed,
        recipe=request.recipe,
        budget=request.budget,
        select=request.select,
        precision=request.precision,
        pretrained=run.identity["pretrained"],
        plugin=records.Plugin(distribution=plugin.distribution, version=plugin.version),
        identity=dict(run.identity),
        status=status,  # type: ignore[arg-type]
    )
