"""Shared fixtures: the real data where it exists, tiny datasets in the authors' layouts, the installed command."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import HealthCheck
from initial_weights import by_numpy

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault(
    "TF_ENABLE_ONEDNN_OPTS", "1"
)  # as `harness.training.backend.start`, where a test imports Keras first

ROOT = Path(__file__).parents[1]
ONE_THREAD = ("OMP_NUM", "OPENBLAS_NUM", "TF_NUM_INTRAOP", "TF_NUM_INTEROP")
FAST_TO_COMPILE = ("--xla_backend_optimization_level=0", "--xla_cpu_use_fusion_emitters=false")
JAX_KEEPS_ALL = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backend", choices=("tensorflow", "jax", "torch"), help="what KERAS_BACKEND says while the tests run"
    )


def pytest_configure(config: pytest.Config) -> None:
    # How long an example takes says more of what else a machine does than of the code.
    hypothesis.settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    hypothesis.settings.load_profile("any machine")
    gc.set_threshold(100_000, 20, 100)  # tracing makes objects by the million, nearly all of which stay: see below
    if config.getoption("--backend"):  # before any test imports Keras, and before workers and subprocesses start
        os.environ["KERAS_BACKEND"] = config.getoption("--backend")
    if os.environ.get(
        "PYTEST_XDIST_WORKER"
    ):  # a core a worker: threads of two workers on two cores wait for each other
        os.environ.update({f"{name}_THREADS": "1" for name in ONE_THREAD})
    elif os.environ.get("KERAS_BACKEND") == "jax":
        # What one worker compiled, another need not; and tests compile much more than they compute.
        folder = tempfile.mkdtemp(prefix="jax-compiled-")
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
        os.environ.update(JAX_COMPILATION_CACHE_DIR=folder, **JAX_KEEPS_ALL, XLA_FLAGS=_that_compile_fast())


def _that_compile_fast() -> str:
    """The XLA flags of `FAST_TO_COMPILE` that the installed JAX knows: one that it does not know ends its process."""

    def known(*flags: str) -> bool:
        start = [sys.executable, "-c", "import jax; jax.devices()"]
        return not subprocess.run(
            start, env={**os.environ, "XLA_FLAGS": " ".join(flags)}, capture_output=True
        ).returncode

    if known(*FAST_TO_COMPILE):
        return " ".join(FAST_TO_COMPILE)
    return " ".join(flag for flag in FAST_TO_COMPILE if known(flag))


@pytest.fixture(scope="session", autouse=True)
def initial_weights_by_numpy() -> None:
    if "keras" in sys.modules:  # the tests that build networks import it first of all
        by_numpy()


LONG = ("test_overfitting", "test_agreement")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole programs and long training first: the short ones fill up what time the workers have left at the end."""
    items.sort(key=lambda item: not (item.get_closest_marker("system") or item.path.stem in LONG))


@pytest.fixture(autouse=True)
def _private_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(autouse=True)
def _networks_are_forgotten() -> Iterator[None]:
    """Collects what tests leave once it is half a GiB: Python's own collector counts objects, whatever their size."""
    yield
    if _resident() > _AFTER_COLLECTION["resident"] + (1 << 29):
        gc.collect()
        _AFTER_COLLECTION["resident"] = _resident()


_AFTER_COLLECTION = {"resident": 1 << 30}


def _resident() -> int:
    """Bytes this process holds; 0 where the kernel does not say."""
    said = Path("/proc/self/statm")
    return int(said.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if said.is_file() else 0


@pytest.fixture
def real_data() -> Path:
    """The folder with the real ShanghaiTech A and UCF_CC_50; skips, saying so, where there is none."""
    root = Path(os.environ.get("HARNESS_DATA") or ROOT.parent / "shared" / "data")
    if not (root / "ShanghaiTech" / "part_A").is_dir():
        pytest.skip(f"no real data in {root} (set HARNESS_DATA)")
    return root


@pytest.fixture
def checkpoints() -> Path:
    """The folder with the published MCNN weights; skips, saying so, where there is none."""
    folder = Path(os.environ.get("HARNESS_CHECKPOINTS") or ROOT.parent / "shared" / "checkpoints")
    if not (folder / "mcnn_shtechA_660.h5").is_file():
        pytest.skip(f"no published checkpoints in {folder} (set HARNESS_CHECKPOINTS)")
    return folder


Command = Callable[..., subprocess.CompletedProcess]


def one_line(done: subprocess.CompletedProcess) -> str:
    """The only line on standard error."""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.fixture
def harness(tmp_path: Path) -> Command:
    """Runs the installed command in an empty folder, as a user does."""

    def run(*arguments: object, timeout: float = 300, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [str(Path(sys.executable).with_name("harness")), *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run


def write_jpeg(path: Path, image: np.ndarray) -> Path:
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image if image.ndim == 2 else image[:, :, ::-1])
    return path


def write_shanghaitech_points(path: Path, points: np.ndarray) -> Path:
    """The authors' nesting: image_info{1,1}{1,1}.location and .number."""
    from scipy.io import savemat

    path.parent.mkdir(parents=True, exist_ok=True)
    inner = np.empty((1, 1), dtype=[("location", "O"), ("number", "O")])
    inner[0, 0] = (np.asarray(points, float).reshape(-1, 2), np.array([[len(points)]]))
    outer = np.empty((1, 1), dtype=object)
    outer[0, 0] = inner
    savemat(path, {"image_info": outer})
    return path


@pytest.fixture
def tiny_shanghaitech(tmp_path: Path) -> Callable[..., Path]:
    """Writes a small Part A and returns its data root."""

    def write(
        part: str = "ShanghaiTech/part_A",
        truth: str = "ground-truth",
        images: Mapping[str, int] | None = None,
        shape: tuple[int, int] = (72, 90),
    ) -> Path:
        generator = np.random.default_rng(0)
        for split, count in (images or {"train_data": 8, "test_data": 3}).items():
            for number in range(1, count + 1):
                points = generator.uniform(1, [shape[1] - 1, shape[0] - 1], (3 + number, 2))
                folder = tmp_path / "data" / part / split
                write_jpeg(folder / "images" / f"IMG_{number}.jpg", generator.integers(0, 255, (*shape, 3), np.uint8))
                write_shanghaitech_points(folder / truth / f"GT_IMG_{number}.mat", points)
        return tmp_path / "data"

    return write


def run(*command: object, **options: Any) -> str:
    """The standard output of a command that must succeed."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=600, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-d", folder, cwd=ROOT)
    return folder


@pytest.fixture(scope="session")
def empty(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment that has the wheel; its dependencies are those of the environment the tests run in."""
    folder = tmp_path_factory.mktemp("empty") / "venv"
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", next(built.glob("*.whl")))
    own = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])").strip())
    (own / "dependencies.pth").write_text(f"{sysconfig.get_paths()['purelib']}\n")
    script = folder / "bin" / "pytest"
    script.write_text(f'#!/bin/sh\nexec "{python}" -m pytest "$@"\n')
    script.chmod(0o755)
    return folder
