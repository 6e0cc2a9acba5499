"""Whole images of any size: what padding and tiles may and may not change."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.ndimage import uniform_filter1d

from harness.benchmark import Sample
from harness.data.scenes import Scene
from harness.host.plugins import load_host
from harness.training import prediction
from harness.training.evaluation import evaluate
from harness.training.prediction import predict_density


class Pooling:
    """A network whose density is the mean grey value of each cell over 1000: local, so tiles must be exact."""

    def __init__(self, stride: int) -> None:
        self.stride = stride
        self.seen: list[tuple[int, ...]] = []

    def predict_on_batch(self, image: np.ndarray) -> np.ndarray:
        self.seen.append(image.shape)
        _, height, width, _ = image.shape
        s = self.stride
        assert height % s == 0 and width % s == 0
        return image[..., :1].reshape(1, height // s, s, width // s, s, 1).mean(axis=(2, 4)) / 1000


@pytest.mark.backend
def test_networks_of_several_dilations_take_images_of_any_height() -> None:
    """TensorFlow's constant folding used to mix up the paddings of parallel dilations from the second height on."""
    import keras

    from harness.training import backend

    backend.start()
    image = keras.Input((None, None, 1))
    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.Concatenate()(
        [keras.layers.Conv2D(2, 3, padding="same", dilation_rate=rate)(x) for rate in (1, 2, 3, 4)]
    )
    network = keras.Model(image, keras.layers.Conv2D(1, 1)(keras.layers.MaxPooling2D()(x)))
    for height in (64, 56, 50, 64, 34):
        picture = np.random.default_rng(height).integers(0, 255, (height, 96, 1), np.uint8)
        expected = keras.ops.convert_to_numpy(network(picture[None].astype(np.float32)))[0, :, :, 0]
        np.testing.assert_allclose(predict_density(network, picture, 2, 2, 16), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (64, 96), (65, 97), (31, 200)])
@pytest.mark.parametrize(("stride", "multiple"), [(4, 4), (8, 8), (8, 32)])
def test_the_map_covers_the_frame_and_no_more(shape: tuple[int, int], stride: int, multiple: int) -> None:
    image = np.full((*shape, 1), 100, np.uint8)
    density = predict_density(Pooling(stride), image, stride, multiple, margin=16)
    assert density.shape == (-(-shape[0] // stride), -(-shape[1] // stride))
    np.testing.assert_allclose(density, 0.1)


def test_a_size_that_fits_is_left_alone() -> None:
    image = np.random.default_rng(0).integers(0, 255, (32, 64, 3), np.uint8)
    network = Pooling(8)
    density = predict_density(network, image, 8, 8, margin=16)
    assert network.seen == [(1, 32, 64, 3)]
    np.testing.assert_allclose(density, image[..., 0].reshape(4, 8, 8, 8).mean(axis=(1, 3)) / 1000, rtol=1e-5)


@pytest.mark.parametrize("shape", [(2048, 1024), (1500, 2101), (900, 3000)])
def test_tiles_give_what_the_whole_gives(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (*shape, 1), np.uint8)
    whole = predict_density(Pooling(8), image, 8, 8, margin=64, largest=10**9)
    network = Pooling(8)
    tiled = predict_density(network, image, 8, 8, margin=64, largest=10**6)
    np.testing.assert_array_equal(tiled, whole)
    assert max(height * width for _, height, width, _ in network.seen) <= (1024 + 2 * 64) ** 2


def test_tiles_of_a_real_network_agree_with_the_whole() -> None:
    from crowd_harness_mcnn import METHOD

    from harness.method import ModelOptions

    network = METHOD.build(ModelOptions())
    image = np.random.default_rng(0).integers(0, 255, (1100, 1056, 1), np.uint8)
    whole = predict_density(network, image, 4, 4, METHOD.margin, largest=10**9)
    tiled = predict_density(network, image, 4, 4, METHOD.margin, largest=10**6)
    np.testing.assert_allclose(tiled, whole, rtol=1e-4, atol=1e-5 * whole.max())


LOCAL = sorted(name for name, method in load_host().methods.items() if method.local)


@pytest.mark.parametrize("name", LOCAL)
def test_tiles_of_local_networks_are_exact(name: str) -> None:
    """With the margin that each method declares, its map in tiles of 64 pixels is that of the whole picture."""
    import keras

    from harness.method import ModelOptions, inference_network

    method = load_host().method(name)
    keras.utils.set_random_seed(0)
    network = inference_network(method.build(ModelOptions(density_scale=100.0)))
    side = 2 * method.margin + 64
    image = np.random.default_rng(0).integers(0, 255, (64, side, method.channels), np.uint8)
    sizes = (method.stride, method.side_multiple, method.margin)
    whole = predict_density(network, image, *sizes, largest=10**9)
    tiled = predict_density(network, image, *sizes, largest=1, tile=64)
    assert whole.std() > 0
    np.testing.assert_allclose(tiled, whole, rtol=1e-4, atol=1e-5 * np.abs(whole).max())


def test_a_network_that_needs_the_whole_picture_gets_it_where_a_local_one_is_tiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prediction.backend, "compiles_each_size", lambda: False)
    monkeypatch.setattr(prediction, "LARGEST_WHOLE", 1000)
    monkeypatch.setattr(prediction, "LARGEST_WHOLE_GLOBAL", 6000)
    monkeypatch.setattr(prediction, "TILE", 32)
    image = np.random.default_rng(0).integers(0, 255, (64, 80, 1), np.uint8)
    method = replace(load_host().method("mcnn"), stride=8, margin=8)
    for local, calls in ((True, 6), (False, 1)):
        network = Pooling(8)
        chosen = replace(method, local=local)
        density = prediction.density_of(network, chosen, image)
        assert len(network.seen) == calls and not prediction.inexact(chosen, image.shape)
        np.testing.assert_allclose(density, image[..., 0].reshape(8, 8, 10, 8).mean(axis=(1, 3)) / 1000, rtol=1e-5)
    assert prediction.inexact(replace(method, local=False), (64, 160)) and not prediction.inexact(method, (64, 160))


def test_where_heads_lie_in_the_grids_of_a_picture_that_is_no_square() -> None:
    """Of 40 × 96 pixels: a region is 5 × 12, the cell of rows 16 to 24 and columns 48 to 56 lies half in each of two."""
    density = np.zeros((1, 5, 12, 1), np.float32)
    density[0, 2, 6] = 1
    network = SimpleNamespace(predict_on_batch=lambda image: density)
    scene = Scene(Sample("a", "test"), np.zeros((40, 96, 3), np.uint8), np.array([[50.0, 20.0]]))
    (found,) = evaluate(network, replace(load_host().method("csrnet"), local=False), [scene])
    assert np.argwhere(found.true_grid).tolist() == [[4, 4]]
    expected = np.zeros((8, 8))
    expected[3, 4] = expected[4, 4] = 0.5
    np.testing.assert_allclose(found.predicted_grid, expected, atol=1e-6)


class Blurring(Pooling):
    """The mean over cells of grey values smoothed over 12 pixels each way: a tile must see that far beyond its own part."""

    def predict_on_batch(self, image: np.ndarray) -> np.ndarray:
        smooth = uniform_filter1d(uniform_filter1d(image, 25, axis=1, mode="nearest"), 25, axis=2, mode="nearest")
        return super().predict_on_batch(smooth)


def test_a_margin_that_is_no_multiple_is_made_wider_and_not_narrower() -> None:
    """Tiles begin at multiples of 8: of a margin of 12 pixels they see 16, where 8 would show as seams."""
    image = np.random.default_rng(0).integers(0, 255, (160, 200, 1), np.uint8)
    whole = predict_density(Blurring(8), image, 8, 8, margin=12, largest=10**9)
    for how in ({"largest": 1, "tile": 64}, {"sides": (64, 96)}):
        np.testing.assert_allclose(predict_density(Blurring(8), image, 8, 8, margin=12, **how), whole, rtol=1e-4)


def test_heads_with_boxes_are_matched_by_their_boxes_too() -> None:
    """A point 20 pixels from a head of 30 × 50 is within half the diagonal of its box (29), not within half its width (15)."""
    density = np.zeros((1, 8, 8, 1), np.float32)
    density[0, 4, 6] = 1  # its peak is at (52, 36)
    network = SimpleNamespace(predict_on_batch=lambda image: density)
    method = replace(load_host().method("csrnet"), local=False)
    picture, heads, boxes = np.zeros((64, 64, 3), np.uint8), np.array([[32.0, 36.0]]), np.array([[30.0, 50.0]])
    (found,) = evaluate(network, method, [Scene(Sample("a", "test"), picture, heads, None, boxes)], locate=True)
    assert found.located is not None
    assert found.located.matched == {"4": 0, "8": 0, "box small": 0, "box large": 1}
