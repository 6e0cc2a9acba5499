"""The same steps from the same seed give the same weights to the bit, in every process, for every method.

Graph optimisers and thread pools may order sums differently in each process, so one process compared with itself shows nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

if keras.backend.backend() != "tensorflow" and __name__ != "__main__":
    pytest.skip("runs are repeatable to the bit on the default backend", allow_module_level=True)
PROCESSES, STEPS, SIDE = 2, 2, 32


def weights_after_training() -> dict[str, str]:
    """A digest of every method's weights after two steps."""
    from harness.host.plugins import load_host
    from harness.method import ModelOptions
    from harness.recipe import COMMON
    from harness.training import backend
    from harness.training.network import PointTrainer

    backend.start()
    found = {}
    for name, method in sorted(load_host().methods.items()):
        backend.prepare(0)
        options = ModelOptions(density_scale=COMMON.density_scale, largest_count=40.0)
        trainer = PointTrainer(method.build(options), method, options)
        trainer.start(COMMON.stages[0], backend.jit_compile())
        generator = np.random.default_rng(0)
        for _ in range(STEPS):
            images = generator.integers(0, 255, (2, SIDE, SIDE, method.channels), np.uint8)
            points = np.full((2, 8, 4), [0, 0, 4, 1], np.float32)
            points[..., :2] = generator.uniform(0, SIDE, (2, 8, 2))
            maps = {key: generator.uniform(0, 1, (2, SIDE, SIDE, 1)).astype(np.float32) for key in method.maps(options)}
            trainer.train(images, points, maps)
        digest = hashlib.sha256()
        for variable in trainer.network.variables:
            digest.update(np.asarray(variable).tobytes())
        found[name] = digest.hexdigest()
        keras.backend.clear_session()
    return found


@pytest.fixture(scope="module")
def repeats() -> list[dict[str, str]]:
    threads = {key: value for key, value in os.environ.items() if not key.endswith("_THREADS")}  # as many as there are
    found = []
    for _ in range(PROCESSES):  # one after another: each comes to hold 4 GiB
        done = subprocess.run([sys.executable, __file__], env=threads, stdout=subprocess.PIPE, text=True, timeout=900)
        assert done.returncode == 0
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return found


def test_every_method_repeats_to_the_bit_in_every_process(repeats: list[dict[str, str]]) -> None:
    from harness.host.plugins import load_host

    assert set(repeats[0]) == set(load_host().methods)
    different = {name for name in repeats[0] if len({run[name] for run in repeats}) > 1}
    assert not different, f"{sorted(different)}: other weights in another process"


if __name__ == "__main__":
    print(json.dumps(weights_after_training()))
