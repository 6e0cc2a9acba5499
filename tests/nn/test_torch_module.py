"""A PyTorch network as a layer: it does what PyTorch does with it; on other backends it is refused."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from conftest import ROOT

from harness.errors import HarnessError, InvalidMethodError
from harness.method import Method, ModelOptions
from harness.nn import multiply_adds
from harness.nn.batch import Batch
from harness.nn.torch_module import TorchModule, weights
from harness.recipe import Recipe, Stage
from harness.training import backend, soundness, state
from harness.training.network import PointTrainer

pytestmark = pytest.mark.backend
ON_TORCH = keras.backend.backend() == "torch"
on_torch = pytest.mark.skipif(not ON_TORCH, reason="a PyTorch network trains on PyTorch; elsewhere it is refused")
RATE = 0.01
RECIPE = Recipe("paper", epochs=1, crop=32, stages=(Stage("one", optimizer="sgd", learning_rate=RATE),))


def modules(seed: int = 3) -> tuple[Any, Any]:
    """Twice the same: convolutions with batch normalisation, stride 4."""
    import copy

    import torch
    from torch import nn

    torch.manual_seed(seed)
    one = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 1, 3, stride=2, padding=1),
    )
    return one, copy.deepcopy(one)


def network_of(module: Any, last: bool = False) -> keras.Model:
    image = keras.Input((None, None, 3), name="image")
    x = TorchModule(module, name="net")(keras.layers.Rescaling(1 / 255)(image))
    if last:
        x = keras.layers.Conv2D(1, 1, name="last")(x)
    return keras.Model(image, keras.layers.Rescaling(1.0, dtype="float32", name="density")(x))


def loss(batch: Any, outputs: Any, options: ModelOptions) -> dict[str, Any]:
    return {"density": keras.ops.mean(keras.ops.square(outputs["density"] - batch.density(4)))}


def trainer_of(module: Any, stage: Stage = RECIPE.stages[0]) -> PointTrainer:
    def build(options: ModelOptions) -> keras.Model:
        return network_of(module, last=bool(stage.trains))

    method = Method("net", "Net", "me", build=build, loss=loss, recipe=RECIPE, stride=4)
    trainer = PointTrainer(method.build(ModelOptions()), method, ModelOptions(), ("density",))
    trainer.start(stage, jit_compile=False)
    return trainer


def crops(seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    points = np.full((2, 3, 4), [0, 0, 4, 1], np.float32)
    points[..., :2] = generator.uniform(0, 32, (2, 3, 2))
    return generator.integers(0, 255, (2, 32, 32, 3)).astype(np.uint8), points


def test_it_is_refused_on_another_backend() -> None:
    if ON_TORCH:
        assert len(TorchModule(modules()[0]).weights) == 8
        return
    with pytest.raises(
        HarnessError, match=rf"Keras runs on {keras.backend.backend()}: declare Method\(\.\.\., backend=\"torch\"\)"
    ):
        TorchModule(None)


@on_torch
def test_its_maps_are_the_modules_own_at_any_size() -> None:
    import torch

    module, same = modules()
    network = network_of(module)
    assert network.output.shape == (None, None, None, 1)
    images = np.random.default_rng(0).uniform(0, 255, (2, 20, 36, 3)).astype(np.float32)
    with torch.no_grad():
        expected = same.eval()(torch.from_numpy(images / 255).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(backend.forward(network, images), expected, rtol=1e-5, atol=1e-6)


@on_torch
def test_it_trains_as_pytorch_trains_it() -> None:
    """Three steps of plain PyTorch with the same loss: the same parameters, and the same statistics of normalisation."""
    import torch

    module, same = modules()
    trainer = trainer_of(module)
    optimizer = torch.optim.SGD(same.parameters(), lr=RATE)
    same.train()
    for step in range(3):
        images, points = crops(step)
        density = Batch(keras.ops.convert_to_tensor(images), keras.ops.convert_to_tensor(points), {}).density(4)
        predicted = same(torch.from_numpy(images).float().permute(0, 3, 1, 2) / 255)
        expected = ((predicted - density.detach().permute(0, 3, 1, 2)) ** 2).mean()
        optimizer.zero_grad()
        expected.backward()
        optimizer.step()
        assert trainer.train(images, points) == pytest.approx(float(expected.detach()), rel=1e-5)
    for found, wanted in zip(weights(module), weights(same), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
    assert weights(module)[-1] == 3  # batches that were seen


@on_torch
def test_buffers_that_it_replaces_are_weights_too(tmp_path: Path) -> None:
    """Running means written by hand, which put a new tensor in the place of the old one: trained, saved, restored."""
    import torch
    from torch import nn

    class Running(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 1, 4, stride=4)
            self.register_buffer("mean", torch.zeros(()))

        def forward(self, x: Any) -> Any:
            x = self.first(x) * (1 + self.mean)
            if self.training:
                self.mean = 0.5 * self.mean + 0.5 * x.mean()
            return x

    torch.manual_seed(0)
    module = Running()
    trainer = trainer_of(module)
    for step in range(2):
        trainer.train(*crops(step))
    trained = float(module.mean)
    assert trained and float(weights(module)[-1]) == trained
    assert float(trainer.network.get_layer("net").weights[-1]) == trained
    trainer.network.save_weights(tmp_path / "it.weights.h5")
    trainer.train(*crops(2))
    assert float(module.mean) != trained
    trainer.network.load_weights(tmp_path / "it.weights.h5")
    assert float(module.mean) == trained
    torch.manual_seed(0)
    other = Running()
    network_of(other).load_weights(tmp_path / "it.weights.h5")
    assert float(other.mean) == trained


@on_torch
@pytest.mark.parametrize("stride", [12, 14, 20, 32])
def test_it_may_take_any_multiples(stride: int) -> None:
    """Also such as refuse all others (transformers on patches of 14), and sizes that are known are those of its own maps."""
    from torch import nn

    class Patches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 1, stride, stride=stride)

        def forward(self, x: Any) -> Any:
            assert x.shape[2] % stride == x.shape[3] % stride == 0, f"no multiple of {stride}"
            return self.patches(x)

    layer = TorchModule(Patches())
    assert layer(keras.Input((None, None, 3))).shape == (None, None, None, 1)
    assert layer(keras.Input((2 * stride, 5 * stride, 3))).shape == (None, 2, 5, 1)
    assert layer(keras.Input((None, 5 * stride, 3))).shape == (None, None, 5, 1)
    with pytest.raises(AssertionError, match=f"no multiple of {stride}"):
        layer(keras.Input((2 * stride + 1, 5 * stride, 3)))


@on_torch
def test_one_that_makes_tensors_of_its_own_is_counted() -> None:
    import torch
    from torch import nn

    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mean = torch.tensor([1.0, 2.0, 3.0])  # no buffer
            self.first = nn.Conv2d(3, 2, 3, padding=1)

        def forward(self, x: Any) -> Any:
            return self.first(x - self.mean[None, :, None, None]) + torch.arange(x.shape[3])

    assert multiply_adds.count(network_of(Shifted()), 8, 16).multiply_adds == 8 * 16 * 2 * 3 * 9


@on_torch
def test_a_loss_that_is_cut_off_from_it_is_named() -> None:
    def detached(batch: Batch, outputs: Any, options: ModelOptions) -> dict[str, Any]:
        return {"density": loss(batch, {"density": outputs["density"].detach()}, options)["density"]}

    def build(options: ModelOptions) -> keras.Model:
        return network_of(modules()[0])

    method = Method("net", "Net", "me", build=build, loss=detached, recipe=RECIPE, stride=4)
    network = soundness.built(method, ModelOptions())
    assert soundness.check_loss(replace(method, loss=loss), network, ModelOptions()) == ("density",)
    with pytest.raises(
        InvalidMethodError, match=r"no term of its loss \(density\) has a gradient: the network or the loss"
    ):
        soundness.check_loss(method, network, ModelOptions())


@on_torch
def test_a_stage_that_does_not_train_it_leaves_it_as_it_is() -> None:
    module, same = modules()
    trainer_of(module, Stage("other", trains=("last",))).train(*crops(0))
    for found, wanted in zip(weights(module), weights(same), strict=True):
        np.testing.assert_array_equal(found, wanted)


@on_torch
def test_saved_weights_and_a_states_are_all_of_it(tmp_path: Path) -> None:
    module, _ = modules()
    trainer = trainer_of(module)
    trainer.train(*crops(0))
    state.save(tmp_path / "state.npz", state.Progress(), trainer)
    trainer.network.save_weights(tmp_path / "it.weights.h5")
    other, another = modules(seed=4)
    state.restore(tmp_path / "state.npz", trainer_of(other))
    network_of(another).load_weights(tmp_path / "it.weights.h5")
    for wanted, found, loaded in zip(weights(module), weights(other), weights(another), strict=True):
        np.testing.assert_array_equal(found, wanted)
        np.testing.assert_array_equal(loaded, wanted)


@on_torch
def test_its_own_dropout_goes_on_where_a_stopped_run_was(tmp_path: Path) -> None:
    """PyTorch's generator is no variable of Keras': without it in the state a resumed run drops other cells."""
    import torch
    from torch import nn

    dropping = [nn.Sequential(module, nn.Dropout(0.5)) for module in modules()]
    whole = trainer_of(dropping[0])
    whole.train(*crops(0))
    state.save(tmp_path / "state.npz", state.Progress(), whole)
    expected = [whole.train(*crops(step)) for step in (1, 2)]
    torch.manual_seed(99)
    resumed = trainer_of(dropping[1])
    state.restore(tmp_path / "state.npz", resumed)
    assert [resumed.train(*crops(step)) for step in (1, 2)] == expected


@on_torch
def test_weights_are_in_the_layers_order_also_where_some_are_not_trained() -> None:
    module, other = modules()
    module[0].weight.requires_grad = other[0].weight.requires_grad = False
    layer = TorchModule(module)
    layer.set_weights([value + 1 for value in weights(other)])
    for found, wanted in zip(weights(module), weights(other), strict=True):
        np.testing.assert_array_equal(found, wanted + 1)
    assert [tuple(weight.shape) for weight in layer.trainable_weights] == [(4,), (4,), (1, 4, 3, 3), (1,)]


@on_torch
def test_multiply_adds_are_those_of_its_convolutions() -> None:
    counted = multiply_adds.count(network_of(modules()[0]), 32, 64)
    assert counted.not_counted == ()
    assert counted.multiply_adds == 32 * 64 * 4 * 3 * 9 + 8 * 16 * 4 * 9


@on_torch
def test_it_runs_in_bfloat16(request: pytest.FixtureRequest) -> None:
    request.addfinalizer(lambda: keras.mixed_precision.set_dtype_policy("float32"))
    module, same = modules()
    images = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
    expected = backend.forward(network_of(same), images)
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    network = network_of(module)
    assert keras.backend.standardize_dtype(network.get_layer("net")(images).dtype) == "bfloat16"
    found = backend.forward(network, images)
    assert 0 < np.abs(found - expected).max() < 0.02 * np.abs(expected).max()


@on_torch
def test_several_maps_have_names_and_what_is_no_map_is_refused() -> None:
    from torch import nn

    class Two(nn.Module):
        def __init__(self, flat: bool) -> None:
            super().__init__()
            self.body, self.flat = nn.Conv2d(3, 2, 3, stride=8, padding=1), flat

        def forward(self, images: Any) -> Any:
            x = self.body(images)
            return {"density": x[:, :1], "count" if self.flat else "mask": x.mean((2, 3)) if self.flat else x}

    given = TorchModule(Two(flat=False))(keras.Input((None, 64, 3)))
    assert {name: one.shape for name, one in given.items()} == {
        "density": (None, None, 8, 1),
        "mask": (None, None, 8, 2),
    }
    with pytest.raises(HarnessError, match=r"Two returned shape \(1, 2\); expected maps of PyTorch, \[B, c, h, w\]"):
        TorchModule(Two(flat=True))(keras.Input((None, None, 3)))


@on_torch
def test_a_plugin_that_imports_keras_too_early_is_refused_before_any_cell(tmp_path: Path) -> None:
    (tmp_path / "early.py").write_text(
        "import keras\nfrom harness import Method, Recipe, hookimpl\ndef build(options): ...\ndef loss(*_): ...\n@hookimpl\n"
        "def harness_methods():\n"
        "    return [Method('early', 'Early', 'me', build, loss, Recipe('paper', epochs=1), stride=8, backend='torch')]\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "KERAS_BACKEND"}
    command = [str(Path(sys.executable).with_name("harness")), "bench", "--methods", "early", "--datasets", "synth"]
    done = subprocess.run(
        [*command, "--plugin", "early.py"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2 and not (tmp_path / "runs").exists()
    assert "method early runs on torch, and Keras was started on tensorflow: set KERAS_BACKEND=torch" in done.stderr


@on_torch
def test_every_block_of_its_page_runs(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "pytorch.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    environment = {key: value for key, value in os.environ.items() if key not in ("HARNESS_DATA", "KERAS_BACKEND")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    said = ""
    for code in blocks:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{code}\n{done.stdout[-1500:]}\n{done.stderr[-2500:]}"
        assert "oneDNN" not in done.stderr
        said += done.stdout
    assert len(blocks) == 5
    found = [(path.parent.name.split("-")[1], json.loads(path.read_text())) for path in tmp_path.rglob("record.json")]
    assert {name: record["environment"]["backend"] for name, record in found} == {"mine": "torch", "mcnn": "tensorflow"}
    assert "mine: all checks passed" in said
    assert re.search(r"^\| Mine +\| trained and tested", said, re.MULTILINE)
    assert re.search(r"^Mine on Drawn scenes, test: 24 images", said, re.MULTILINE)
