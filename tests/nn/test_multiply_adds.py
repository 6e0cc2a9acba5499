"""Multiply-adds, against numbers known from elsewhere and loops that count every product."""

from __future__ import annotations

import itertools

import keras
import pytest
from keras import layers

from harness.host.plugins import load_host
from harness.method import ModelOptions, inference_network
from harness.nn.multiply_adds import count


def test_vgg16_without_its_top() -> None:
    network = keras.applications.VGG16(weights=None, include_top=False, input_shape=(None, None, 3))
    assert count(network, 224, 224).multiply_adds == 15_346_630_656


def products(height: int, width: int, channels: int, filters: int, kernel: int, **options: int) -> int:
    """Every weight that every output cell of a "same" convolution sees, padding included, one by one."""
    stride, groups = options.get("strides", 1), options.get("groups", 1)
    total = 0
    for _row, _column in itertools.product(range(0, height, stride), range(0, width, stride)):
        for _filter in range(filters):
            total += kernel * kernel * (channels // groups)
    return total


@pytest.mark.parametrize(
    ("kernel", "filters", "options"),
    [
        (3, 8, {}),
        (5, 4, {"strides": 2}),
        (3, 8, {"dilation_rate": 3}),
        pytest.param(3, 8, {"groups": 4}, id="grouped"),
        pytest.param(1, 6, {"groups": 2, "strides": 2}, id="grouped-strided"),
    ],
)
def test_convolutions_at_odd_sizes(kernel: int, filters: int, options: dict[str, int]) -> None:
    image = keras.Input((None, None, 4))
    network = keras.Model(image, layers.Conv2D(filters, kernel, padding="same", **options)(image))
    assert count(network, 37, 53).multiply_adds == products(37, 53, 4, filters, kernel, **options)


def test_other_layers_by_hand() -> None:
    image = keras.Input((None, None, 4))
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(image)  # 5·7 cells, 8 channels, 9 products
    x = layers.SeparableConv2D(6, 3, padding="same")(x)  # 9·8 and 8·6 products a cell
    x = layers.Conv2DTranspose(3, 4, strides=2, padding="same")(x)  # 6·16·3 a cell of its input
    x = layers.Dense(2)(layers.GlobalAveragePooling2D()(layers.ReLU()(layers.BatchNormalization()(x))))
    expected = 35 * 8 * 9 + 35 * (72 + 48) + 35 * 6 * 16 * 3 + 3 * 2
    assert count(keras.Model(image, x), 5, 7).multiply_adds == expected


class Mystery(layers.Layer):
    def call(self, x: object) -> object:
        return x


class Known(Mystery):
    def multiply_adds(self, shape: tuple) -> int:
        return 7 * shape[1]


def test_networks_within_a_network_are_counted_layer_by_layer() -> None:
    inner = keras.Sequential([keras.Input((None, None, 8)), keras.layers.Conv2D(12, 3, padding="same"), Mystery()])
    image, features = keras.Input((None, None, 8)), keras.Input((None, None, 12))
    outer = keras.Model(features, keras.layers.Conv2D(1, 1)(features))
    found = count(keras.Model(image, outer(inner(image))), 30, 42)
    assert found.multiply_adds == 30 * 42 * (9 * 8 * 12 + 12) and found.not_counted == ("Mystery",)


def test_a_layer_it_does_not_know_is_named() -> None:
    image = keras.Input((None, None, 1))
    counted = count(keras.Model(image, Known()(Mystery()(image))), 9, 5)
    assert counted.not_counted == ("Mystery",) and counted.multiply_adds == 63


@pytest.mark.parametrize("name", sorted(load_host().methods))
def test_every_method_is_counted_whole(name: str) -> None:
    method = load_host().method(name)
    counted = count(inference_network(method.build(ModelOptions())), 64, 96)
    assert counted.not_counted == ()
    small = count(inference_network(method.build(ModelOptions())), 32, 96).multiply_adds
    # Twice the area, twice the work, but for what is pooled to a fixed size.
    assert counted.multiply_adds == pytest.approx(2 * small, rel=0.01)


def test_a_dense_layer_upon_a_map_is_counted_in_every_cell() -> None:
    """Keras takes it over the last axis of each cell: 5 · 7 cells of 4 · 6 products."""
    image = keras.Input((None, None, 4))
    assert count(keras.Model(image, layers.Dense(6)(image)), 5, 7).multiply_adds == 5 * 7 * 4 * 6
