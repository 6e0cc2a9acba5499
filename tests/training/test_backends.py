"""What runs on TensorFlow, JAX and PyTorch alike: losses, and one training step of every method."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from harness.host.plugins import load_host
from harness.method import Method, ModelOptions, inference_network
from harness.nn.batch import Batch
from harness.nn.losses import euclidean_density
from harness.recipe import COMMON, Stage
from harness.training.backend import BACKENDS

pytestmark = pytest.mark.backend
METHODS = sorted(load_host().methods)
ON_TENSORFLOW = keras.backend.backend() == "tensorflow"


def make_batch(channels: int, side: int = 64) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 255, (2, side, side, channels), np.uint8)
    points = np.ones((2, 16, 4), np.float32)
    points[..., :2] = generator.uniform(0, side, (2, 16, 2))
    points[..., 2] = 4.0
    points[1, 5:, 3] = 0
    return images, points


def make_maps(method: Method, images: np.ndarray) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(1)
    names = method.maps(ModelOptions())
    return {name: generator.uniform(0, 1, (*images.shape[:3], 1)).astype(np.float32) for name in names}


def test_euclidean_loss_by_hand() -> None:
    from keras import ops

    predicted, target = np.random.default_rng(0).normal(0, 1, (2, 3, 4, 5, 1)).astype(np.float32)
    expected = sum(((predicted[b] - target[b]) ** 2).sum() for b in range(3)) / (2 * 3)
    assert float(ops.convert_to_numpy(euclidean_density(predicted, target))) == pytest.approx(expected, rel=1e-5)


def test_targets_of_a_batch() -> None:
    from keras import ops

    images, points = make_batch(3)
    batch = Batch(ops.convert_to_tensor(images), ops.convert_to_tensor(points))
    density = ops.convert_to_numpy(batch.density(8))
    assert density.shape == (2, 8, 8, 1)
    np.testing.assert_allclose(density.sum(axis=(1, 2, 3)), [16, 5], rtol=1e-3)
    np.testing.assert_allclose(ops.convert_to_numpy(batch.counts()), [16, 5])
    sharp = ops.convert_to_numpy(batch.density(8, sigma=0.1))
    assert sharp.max() > density.max()


@pytest.mark.parametrize("name", ["mcnn", "csrnet"])
def test_the_first_loss_is_what_numpy_computes(name: str) -> None:
    from harness.training import backend
    from harness.training.network import PointTrainer

    backend.prepare(0)
    method = load_host().method(name)
    options = ModelOptions(density_scale=COMMON.density_scale)
    network = method.build(options)
    images, points = make_batch(method.channels)
    before = keras.ops.convert_to_numpy(network(images.astype(np.float32)))
    assert before.shape == (2, 64 // method.stride, 64 // method.stride, 1)
    target = keras.ops.convert_to_numpy(Batch(images, keras.ops.convert_to_tensor(points)).density(method.stride))
    expected = ((before - target) ** 2).sum() / 4
    trainer = PointTrainer(network, method, options)
    trainer.start(Stage(learning_rate=1e-4), backend.jit_compile())
    assert trainer.train(images, points) == pytest.approx(expected, rel=1e-4)


@pytest.mark.skipif(ON_TENSORFLOW, reason="there the kit trains every method, and test_overfitting for longer")
@pytest.mark.parametrize("name", ["mcnn", "zip"])  # test_agreement has two steps of every method
def test_training_steps_lower_the_loss_and_reach_every_weight(name: str) -> None:
    from harness.training import backend
    from harness.training.network import PointTrainer

    method = load_host().method(name)
    options = ModelOptions(density_scale=COMMON.density_scale)
    # Two cells and more a side at the coarsest level: batch normalisation of one cell is zero.
    images, points = make_batch(method.channels, side=max(32, 2 * method.side_multiple))
    still: set[str] | None = None
    for seed in range(3):  # by chance a small ReLU layer (HSRNet's squeeze has two units) can be dead at one start
        backend.prepare(seed)
        network = method.build(options)
        trainer = PointTrainer(network, method, options)
        trainer.start(Stage(learning_rate=1e-4), backend.jit_compile())
        before = [np.array(weight) for weight in network.get_weights()]
        losses = [trainer.train(images, points, make_maps(method, images)) for _ in range(4)]
        assert np.isfinite(losses).all() and losses[-1] < losses[0]
        pairs = zip(network.weights, before, network.get_weights(), strict=True)
        unmoved = {weight.path for weight, old, new in pairs if (old == new).all()}
        still = unmoved if still is None else still & unmoved
        if not still:
            return
    raise AssertionError(f"no gradient reaches these: {still}")


@pytest.mark.skipif(ON_TENSORFLOW, reason="there the kit tries sizes")
@pytest.mark.parametrize("name", METHODS)
def test_an_odd_size(name: str) -> None:
    from harness.training.prediction import density_of

    method = load_host().method(name)
    network = inference_network(method.build(ModelOptions()))
    height, width = 37, 53
    density = density_of(network, method, np.zeros((height, width, method.channels), np.uint8))
    assert density.shape == (-(-height // method.stride), -(-width // method.stride))
    assert np.isfinite(density).all()


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="one run of it starts every backend that is there")
def test_the_kit_takes_a_step_on_every_installed_backend() -> None:
    from harness.testing import verdicts

    installed = [name for name in BACKENDS if importlib.util.find_spec(name)]
    found = {verdict.check: verdict for verdict in verdicts("mcnn")}
    assert [check for check in found if check.startswith("a step on")] == [f"a step on {name}" for name in installed]
    assert not [verdict for verdict in found.values() if not verdict.ok]


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="JAX alone keeps what it compiled")
def test_what_jax_compiled_is_kept_for_the_next_process(tmp_path: Path) -> None:
    """In `HARNESS_CACHE`, unless JAX was told another place."""
    program = (
        "from harness.training import backend; backend.start()\n"
        "import jax; print(jax.config.jax_compilation_cache_dir)\n"
        "jax.jit(lambda x: x * 2 + 1)(1.0)"
    )
    environment = {key: value for key, value in os.environ.items() if key != "JAX_COMPILATION_CACHE_DIR"}
    environment |= {"HARNESS_CACHE": str(tmp_path), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}

    def folder(**more: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", program], env={**environment, **more}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert folder() == str(tmp_path / "jax")
    kept = {path.name for path in (tmp_path / "jax").glob("*-cache")}
    assert kept
    folder()
    assert {path.name for path in (tmp_path / "jax").glob("*-cache")} == kept, "the second process compiled anew"
    assert folder(JAX_COMPILATION_CACHE_DIR=str(tmp_path / "own")) == str(tmp_path / "own")
