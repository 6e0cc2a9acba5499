"""One training step gives the same losses on every backend: from the same weights and batch, within 1e-4 of TensorFlow's.

TensorFlow's losses come from a process of its own, which any environment can start: every one has TensorFlow.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from filelock import FileLock

from harness.files.atomic import replacing
from harness.host.plugins import load_host
from harness.method import Method, ModelOptions
from harness.recipe import COMMON

pytestmark = pytest.mark.backend
if keras.backend.backend() == "tensorflow" and __name__ != "__main__":
    pytest.skip("compares the other backends with TensorFlow", allow_module_level=True)
ROOT = Path(__file__).parents[2]
METHODS = sorted(load_host().methods)
SIDE, STEPS = 64, 2
OPTIONS = ModelOptions(density_scale=COMMON.density_scale, largest_count=40.0)


def batch_of(method: Method) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 255, (2, SIDE, SIDE, method.channels), np.uint8)
    points = np.ones((2, 16, 4), np.float32)
    points[..., :2] = generator.uniform(0, SIDE, (2, 16, 2))
    points[..., 2], points[1, 5:, 3] = 4.0, 0.0
    maps = {name: generator.uniform(0, 1, (2, SIDE, SIDE, 1)).astype(np.float32) for name in method.maps(OPTIONS)}
    return images, points, maps


def network_of(method: Method) -> Any:
    """Every weight drawn by NumPy; no dropout, whose draws differ between backends."""
    network = method.build(OPTIONS)
    generator = np.random.default_rng(1)
    for layer in network.layers:
        if hasattr(layer, "rate"):
            layer.rate = 0.0
        drawn = []
        for weight in layer.weights:
            shape = tuple(weight.shape)
            if weight.path.endswith("kernel"):
                drawn.append(generator.normal(0, (2 / np.prod(shape[:-1])) ** 0.5, shape))
            else:  # biases, and the scales, means and variances of batch normalisation
                start = np.asarray(layer.get_weights()[len(drawn)])
                if isinstance(getattr(layer, "bias_initializer", None), keras.initializers.RandomUniform):
                    start = np.zeros(shape)  # each backend draws its own
                drawn.append(start + generator.uniform(0, 0.1, shape))
        layer.set_weights(drawn)
    return network


def losses_of(name: str) -> list[float]:
    """The loss before each of two steps down the gradient, each 0.003 long: the second tells whether gradients agree too."""
    from harness.recipe import Stage
    from harness.training import backend
    from harness.training.network import PointTrainer

    method = load_host().method(name)
    network = network_of(method)
    trainer = PointTrainer(network, method, OPTIONS)
    trainer.start(Stage(optimizer="sgd", learning_rate=1.0, options={"global_clipnorm": 0.003}), backend.jit_compile())
    crops = batch_of(method)
    return [trainer.train(*crops) for _ in range(STEPS)]


@pytest.fixture(scope="module")
def on_tensorflow(request: pytest.FixtureRequest) -> dict[str, list[float]]:
    """Computed once for this source, and kept in pytest's cache for the other worker and the other backend."""
    folder = request.config.cache.mkdir("losses-on-tensorflow")  # type: ignore[union-attr]
    kept = folder / f"{source_digest()}.json"
    with FileLock(folder / "lock"):
        if not kept.is_file():
            done = subprocess.run(
                [sys.executable, __file__],
                env={**os.environ, "KERAS_BACKEND": "tensorflow"},
                capture_output=True,
                text=True,
                timeout=900,
            )
            assert done.returncode == 0, done.stderr[-2000:]
            with replacing(kept) as temporary:
                temporary.write_text(done.stdout.splitlines()[-1])
    return json.loads(kept.read_text())


def source_digest() -> str:
    """Of all that could change TensorFlow's losses."""
    digest = hashlib.sha256(f"{keras.version()} {version('tensorflow')} {np.__version__}".encode())
    paths = [Path(__file__), *ROOT.glob("harness/**/*.py"), *ROOT.glob("plugins/**/*.py")]
    for path in sorted(paths):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@pytest.mark.parametrize("name", METHODS)
def test_a_step_agrees_with_tensorflows(name: str, on_tensorflow: dict[str, list[float]]) -> None:
    from harness.training import backend

    backend.start()
    found = losses_of(name)
    assert np.isfinite(found).all() and abs(found[1] / found[0] - 1) > 2e-4, "the step must show"
    assert found == pytest.approx(on_tensorflow[name], rel=1e-4)


if __name__ == "__main__":
    from harness.training import backend

    backend.start()
    print(json.dumps({name: losses_of(name) for name in METHODS}))
