"""Weights cut down to what counting needs: the same numbers, rounded where that is asked, in less space."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import HarnessError
from harness.host.plugins import Host
from harness.method import Method, ModelOptions, inference_network
from harness.recipe import Recipe
from harness.training import weights

NOBODY = Host([], {}, {}, {}, {}, [])
JUST_BELOW = np.float32(0.0078124944)  # a power of two in float16; HDF5 1.14's own conversion gives half of it
OPTIONS = ModelOptions(variant={"width": 5}, density_scale=50.0)


def build(options: ModelOptions) -> Any:
    """A small network with normalisation and a head for training alone; a layer is as wide as its variant says."""
    import keras

    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(options.variant.get("width", 4), 3, strides=4, padding="same")(image)
    x = keras.layers.BatchNormalization()(x)
    density = keras.layers.Conv2D(1, 1)(x)
    scaled = keras.layers.Rescaling(options.heads_a_cell(4), dtype="float32")(density)
    mask = keras.layers.Conv2D(64, 3, padding="same")(keras.layers.Conv2D(64, 3, padding="same")(x))
    return keras.Model(image, {"density": scaled, "mask": mask})


METHOD = Method("two_heads", "Two heads", "", build, lambda *_: {}, Recipe("paper", epochs=1), stride=4)


def saved(path: Path) -> list[np.ndarray]:
    """Writes a network of drawn weights, as runs do; gives those that counting needs, float32 each."""
    generator, network = np.random.default_rng(0), build(OPTIONS)
    network.set_weights([abs(generator.normal(0, 0.1, one.shape)) for one in network.get_weights()])
    first = network.layers[1]
    kernel, bias = first.get_weights()
    kernel[0, 0, 0, 0] = bias[0] = JUST_BELOW
    first.set_weights([kernel, bias])
    weights.save(network, path, METHOD.name, OPTIONS)
    return [np.asarray(one) for one in inference_network(network).get_weights()]


@pytest.mark.backend
@pytest.mark.parametrize("half", [True, False])
def test_kernels_are_rounded_and_nothing_else_changes(half: bool, tmp_path: Path) -> None:
    """By NumPy's float16."""
    whole, small = tmp_path / "best.weights.h5", tmp_path / "small.weights.h5"
    written = saved(whole)
    weights.save_small(NOBODY, METHOD, whole, small, half)
    network = weights.load_network(NOBODY, METHOD, small)
    read = network.get_weights()
    assert len(read) == len(written) == 8 and not isinstance(network.output, dict)
    for before, after in zip(written, read, strict=True):
        expected = before.astype(np.float16).astype(np.float32) if half and before.ndim > 1 else before
        np.testing.assert_array_equal(after, expected)
        assert after.dtype == np.float32
    assert small.stat().st_size < whole.stat().st_size / 5, "the other head is left out"
    image = np.random.default_rng(1).uniform(0, 255, (1, 16, 20, 3)).astype(np.float32)
    before = inference_network(weights.load_network(NOBODY, METHOD, whole)).predict_on_batch(image)
    np.testing.assert_allclose(network.predict_on_batch(image), before, rtol=5e-3 if half else 1e-6)


def test_weights_of_another_shape_are_named_with_the_layer(tmp_path: Path) -> None:
    """Keras announces an example and gives it in the next line; its warnings of what it passed over say nothing here."""
    saved(tmp_path / "best.weights.h5")

    def wider(options: ModelOptions) -> Any:
        return build(replace(options, variant={"width": 6}))

    with warnings.catch_warnings(), pytest.raises(HarnessError) as found:
        warnings.simplefilter("error")
        weights.load_network(NOBODY, replace(METHOD, build=wider), tmp_path / "best.weights.h5")
    said = str(found.value)
    assert "best.weights.h5: the weights do not fit method 'two_heads' (" in said and "\n" not in said
    assert "(3, 3, 3, 6)" in said and "(3, 3, 3, 5)" in said, said


def test_what_fits_no_method_or_says_not_whose_it_is_is_named(tmp_path: Path) -> None:
    whole = tmp_path / "best.weights.h5"
    saved(whole)
    other = Method("other", "Other", "", build, lambda *_: {}, Recipe("paper", epochs=1), stride=4)
    with pytest.raises(HarnessError, match=r"weights of method 'two_heads'; expected 'other'"):
        weights.save_small(NOBODY, other, whole, tmp_path / "small.weights.h5", True)
    unsigned = tmp_path / "unsigned.weights.h5"
    build(ModelOptions()).save_weights(unsigned)
    with pytest.raises(HarnessError, match=r"unsigned\.weights\.h5: not written by a run"):
        weights.save_small(NOBODY, METHOD, unsigned, tmp_path / "small.weights.h5", True)
    assert not (tmp_path / "small.weights.h5").exists()
