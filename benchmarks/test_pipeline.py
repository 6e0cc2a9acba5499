"""Training crops a second, without a network: what the device may consume at most."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.data.datasets.synth import SYNTH
from harness.data.image_store import ImageStore
from harness.data.pipeline import Pipeline
from harness.recipe import COMMON


@pytest.mark.benchmark(group="50 steps of 4 crops")
@pytest.mark.parametrize("crop", [128, 256])
def test_crops(benchmark: Any, crop: int) -> None:
    from dataclasses import replace

    samples = SYNTH.index(Path())
    pipeline = Pipeline(SYNTH, samples, ImageStore(SYNTH, 3), replace(COMMON, crop=crop), 8, 0)
    list(pipeline.epoch(0, 20))  # decode once
    batches = benchmark(lambda: list(pipeline.epoch(1, 50)))
    assert len(batches) == 50
