"""`harness export`: the files are read here by what other programs read them with, and compared with the network."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Command, one_line

NOISY = """
from harness import Method, Recipe, hookimpl

def noisy(options):
    import keras

    class Noise(keras.layers.Layer):
        def call(self, x):
            return x + keras.random.normal(keras.ops.shape(x))

        def compute_output_shape(self, shape):
            return shape

    image = keras.Input((None, None, 3))
    x = Noise()(keras.layers.Conv2D(1, 8, strides=8)(image))
    return keras.Model(image, keras.layers.Rescaling(1.0, dtype="float32")(x))

@hookimpl
def harness_methods():
    return [Method("noisy", "noisy", "", noisy, None, Recipe('paper', epochs=1), stride=8)]
"""
RANDOM = np.random.default_rng(0)
GREY = [RANDOM.integers(0, 255, (1, *sides, 1)).astype(np.float32) for sides in ((48, 80), (64, 32))]
RGB = [np.concatenate([one, one[:, ::-1], 255 - one], axis=-1) for one in GREY]


def saved(folder: Path, name: str, *plugins: Path) -> tuple[Path, Any]:
    """Weights of method `name` as training starts with them, and its network."""
    import keras

    from harness.host.plugins import load_host
    from harness.method import ModelOptions
    from harness.training import weights

    method, options = load_host(plugins).method(name), ModelOptions(density_scale=100.0)
    keras.utils.set_random_seed(1)
    network = method.build(options)
    weights.save(network, folder / f"{name}.weights.h5", name, options)
    return folder / f"{name}.weights.h5", network


def exported(
    harness: Command, folder: Path, kind: str, out: str, *more: object, method: str = "mcnn"
) -> tuple[subprocess.CompletedProcess, Any]:
    """What the command said, and the network it was given."""
    weights, network = saved(folder, method)
    options = ("--method", method, "--weights", weights, "--format", kind, "--out", out)
    done = harness("export", *options, *more)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done, network


def read_back(code: str, file: Path, images: list[np.ndarray] = GREY) -> list[np.ndarray]:
    """What a program without Keras computes of `images`: `code` makes `run` of the file, in a process of its own."""
    folder = file.parent
    np.savez(folder / "images.npz", *images)
    program = (
        f"import sys, numpy as np\n{code}\nimages = np.load(sys.argv[1] + '/images.npz')\n"
        "np.savez(sys.argv[1] + '/maps.npz', *[np.asarray(run(images[name])) for name in images.files])\n"
        "assert 'harness' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program, folder, file], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return list(np.load(folder / "maps.npz").values())


def test_a_saved_model_computes_what_the_network_does(harness: Command, tmp_path: Path) -> None:
    done, network = exported(harness, tmp_path, "savedmodel", "out/network")
    maps = read_back(
        "import tensorflow as tf; loaded = tf.saved_model.load(sys.argv[2]); run = loaded.serve",
        tmp_path / "out" / "network",
    )
    for image, found in zip(GREY, maps, strict=True):
        np.testing.assert_allclose(found, np.asarray(network(image)), atol=1e-5)
    differences = [float(value) for value in re.findall(r"largest difference (\S+) heads a cell", done.stdout)]
    counts = re.findall(r"counts (\S+) and (\S+)$", done.stdout, re.MULTILINE)
    assert len(differences) == len(counts) == 2 and max(differences) < 1e-4
    assert all(float(ours) == pytest.approx(float(theirs), abs=1e-3) for ours, theirs in counts)
    assert "pictures of any size in multiples of 4" in done.stdout
    assert [path.name for path in (tmp_path / "out").iterdir() if path.suffix != ".npz"] == ["network"]


LITE = """
import tensorflow as tf
lite = tf.lite.Interpreter(model_path=sys.argv[2])
def run(image):
    lite.resize_tensor_input(lite.get_input_details()[0]["index"], image.shape)
    lite.allocate_tensors()
    lite.set_tensor(lite.get_input_details()[0]["index"], image)
    lite.invoke()
    return lite.get_tensor(lite.get_output_details()[0]["index"])
"""


def test_a_tflite_file_computes_what_the_network_does(harness: Command, tmp_path: Path) -> None:
    _, network = exported(harness, tmp_path, "tflite", "phone.lite")
    for image, found in zip(GREY, read_back(LITE, tmp_path / "phone.lite"), strict=True):
        np.testing.assert_allclose(found, np.asarray(network(image)), atol=1e-5)


ONNX = """
import onnxruntime
session = onnxruntime.InferenceSession(sys.argv[2])
run = lambda image: session.run(None, {"image": image})[0]
"""
ONNX_PACKAGES = ("tf2onnx", "onnxruntime")


@pytest.mark.skipif(not all(map(find_spec, ONNX_PACKAGES)), reason=f"needs pip install {' '.join(ONNX_PACKAGES)}")
def test_an_onnx_file_computes_what_the_network_does(harness: Command, tmp_path: Path) -> None:
    _, network = exported(harness, tmp_path, "onnx", "network.onnx")
    for image, found in zip(GREY, read_back(ONNX, tmp_path / "network.onnx"), strict=True):
        np.testing.assert_allclose(found, np.asarray(network(image)), atol=1e-5)


@pytest.mark.skipif(not all(map(find_spec, ONNX_PACKAGES)), reason=f"needs pip install {' '.join(ONNX_PACKAGES)}")
def test_onnx_holds_the_constants_of_normalisation(harness: Command, tmp_path: Path) -> None:
    _, network = exported(harness, tmp_path, "onnx", "network.onnx", method="csrnet")
    for image, found in zip(RGB, read_back(ONNX, tmp_path / "network.onnx", RGB), strict=True):
        np.testing.assert_allclose(found, np.asarray(network(image)), atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_one_size_where_it_is_asked_for(tmp_path: Path) -> None:
    import tensorflow

    from harness.host.plugins import load_host
    from harness.training.export import export

    _, network = saved(tmp_path, "mcnn")
    file, method = tmp_path / "network.tflite", load_host([]).method("mcnn")
    (agreement,) = export(network, method, file, "tflite", RANDOM.integers(0, 255, (30, 99, 1), np.uint8), (48, 80))
    assert agreement.size == (48, 80) and agreement.close
    lite = tensorflow.lite.Interpreter(model_path=str(file))
    lite.allocate_tensors()
    (taken,) = lite.get_input_details()
    assert list(taken["shape_signature"]) == [1, 48, 80, 1]
    lite.set_tensor(taken["index"], GREY[0])
    lite.invoke()
    found = lite.get_tensor(lite.get_output_details()[0]["index"])
    np.testing.assert_allclose(found, np.asarray(network(GREY[0])), atol=1e-5)


def test_what_differs_from_the_network_leaves_no_file(harness: Command, tmp_path: Path) -> None:
    """A network that is no function of its picture: what was exported cannot compute the same."""
    plugin = tmp_path / "noisy.py"
    plugin.write_text(NOISY)
    weights, _ = saved(tmp_path, "noisy", plugin)
    options = ("--plugin", plugin, "--method", "noisy", "--weights", weights, "--format", "savedmodel", "--out", "n")
    done = harness("export", *options)
    assert done.returncode == 1 and "what was exported differs from the network" in one_line(done)
    assert {path.name for path in tmp_path.iterdir()} <= {"noisy.py", "noisy.weights.h5", "__pycache__"}


@pytest.mark.parametrize("missing", ONNX_PACKAGES)
def test_a_missing_package_is_named_with_what_installs_it(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.errors import HarnessError
    from harness.training import export

    monkeypatch.setattr(export, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(HarnessError, match=f"needs {missing}, .*: pip install tf2onnx onnxruntime$"):
        export.check_packages("onnx")
    export.check_packages("tflite")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--format", "savedmodel", "--out", "there"), "there: already there; expected a new name"),
        (("--format", "savedmodel", "--out", "n", "--size", "big"), "--size 'big': expected height x width"),
        (("--format", "savedmodel", "--out", "n", "--size", "30x64"), "multiples of 4; expected e.g. 32x64"),
        (("--format", "savedmodel", "--out", "n", "--picture", "gone.jpg"), "gone.jpg: cannot be read"),
    ],
)
def test_mistakes_are_one_line(harness: Command, tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "mcnn.weights.h5").touch()  # not read before all else is well
    done = harness("export", "--method", "mcnn", "--weights", "mcnn.weights.h5", *options)
    assert done.returncode == 2 and message in one_line(done) and not (tmp_path / "n").exists()


def test_an_empty_map_and_a_wrong_count_are_no_agreement() -> None:
    """Cells that each differ by less than may be, but all to one side: the count gives it away."""
    from harness.training.export import _agreement

    expected = np.full((1, 10, 10, 1), 0.01, np.float32)
    expected[0, 0, 0, 0] = 10.0
    image = np.zeros((1, 80, 80, 3), np.float32)
    assert _agreement(image, expected, expected).close
    assert not _agreement(image, expected, expected + 0.009).close
    assert not _agreement(image, expected, 0 * expected).close
    assert not _agreement(image, expected, expected * np.float32("nan")).close


def test_what_agrees_to_a_thousandth_and_no_less() -> None:
    """In each cell of the largest, also where one cell has what another lacks; and in the count, of all that there is."""
    from harness.training.export import _agreement

    image, expected = np.zeros((1, 80, 80, 3), np.float32), np.ones((1, 10, 10, 1), np.float32)
    for share, close in ((0.0008, True), (0.002, False)):
        moved, more = expected.copy(), expected * np.float32(1 + share)
        moved[0, 0, :2, 0] += np.array([share, -share], np.float32)
        assert _agreement(image, expected, moved).close is close
        assert _agreement(image, expected, more).close is close
    high = expected.copy()
    high[0, 0, 0, 0] = 100.0  # beside it each cell may be 0.1 off, and the count of 199 heads only 0.199
    assert not _agreement(image, high, high + np.float32(0.004)).close
    assert _agreement(image, high, high + np.float32(0.0015)).close


def test_the_command_offers_the_formats_that_there_are() -> None:
    """It has names of its own, for --help must not load what converts."""
    from harness.commands.export import FORMATS as OFFERED
    from harness.training.export import FORMATS

    assert tuple(FORMATS) == OFFERED
