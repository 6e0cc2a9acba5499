"""Training as runs train: crops a second, and what share of the time the host had no batch to give the device.

`pytest benchmarks/test_busy.py -s` prints both. The device waits at most for that share: it may still have had steps to do. On
a CPU host and device are one.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.budgets import Budget
from harness.data import pipeline
from harness.data.datasets.synth import SYNTH
from harness.data.run_data import run_data
from harness.host.plugins import load_host
from harness.run import Request
from harness.runs.resolve import resolve
from harness.training import fit, steps

METHODS = ("mcnn", "ssr_hef")
# Whether pictures are on the device, batches ahead, and the steps after which the host waits for what they measured.
WAYS = {
    "each step waited for, no batch ahead": (False, 1, 1),
    "host, 8 ahead": (False, 8, 16),
    "resident": (True, 8, 16),
}
ROUNDS = 5


@pytest.mark.benchmark(group="an epoch of 14 steps of 4 crops of 128×128")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", METHODS)
def test_an_epoch(benchmark: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, method: str, way: str) -> None:
    resident, ahead, every = WAYS[way]
    monkeypatch.setattr(pipeline, "AHEAD", ahead)
    monkeypatch.setattr(steps, "EVERY", every)
    run = resolve(load_host(), Request(method, "synth", budget="smoke", resident=resident), "benchmark")
    run = replace(run, recipe=replace(run.recipe, crop=128), budget=Budget("benchmark", epochs=2 * ROUNDS))
    data = run_data(run, SYNTH.index(Path()), 1 << 30)
    session = fit._opened(fit.Job(run, data, tmp_path, lambda *_, **__: None))
    assert not session.notes
    fit._enter(session, 0)
    lines = []
    benchmark.pedantic(lambda: lines.append(fit._epoch(session, 0)), rounds=ROUNDS, warmup_rounds=1)
    seconds, waited = (sum(line[what] for line in lines[1:]) for what in ("seconds", "waited"))
    crops = ROUNDS * session.plan.steps_per_epoch * run.recipe.images_per_step * run.recipe.crops_per_image
    print(f"\n{method}, {way}: {crops / seconds:.1f} crops/s, waited for {waited / seconds:.1%} of the time")
