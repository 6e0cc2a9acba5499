"""A training step and a whole-image prediction of every method."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness.host.plugins import load_host
from harness.method import ModelOptions, inference_network
from harness.recipe import COMMON, Stage

METHODS = sorted(load_host().methods)


@pytest.mark.benchmark(group="training step, 4 crops of 128×128")
@pytest.mark.parametrize("name", METHODS)
def test_step(benchmark: Any, name: str) -> None:
    from harness.training import backend
    from harness.training.network import PointTrainer

    method = load_host().method(name)
    options = ModelOptions(density_scale=COMMON.density_scale)
    trainer = PointTrainer(method.build(options), method, options)
    trainer.start(Stage(), backend.jit_compile())
    images = np.zeros((4, 128, 128, method.channels), np.uint8)
    points = np.ones((4, 64, 4), np.float32)
    loss = benchmark.pedantic(trainer.train, (images, points), rounds=5, warmup_rounds=1)
    assert np.isfinite(loss)


@pytest.mark.benchmark(group="whole image 512×1024, batch 1")
@pytest.mark.parametrize("name", METHODS)
def test_inference(benchmark: Any, name: str) -> None:
    from harness.training import backend

    method = load_host().method(name)
    network = inference_network(method.build(ModelOptions()))
    image = np.zeros((1, 512, 1024, method.channels), np.float32)
    density = benchmark.pedantic(backend.forward, (network, image), rounds=5, warmup_rounds=1)
    assert density.shape[1:3] == (512 // method.stride, 1024 // method.stride)
