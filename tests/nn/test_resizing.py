"""Resizing layers against OpenCV."""

from __future__ import annotations

import cv2
import keras
import numpy as np
import pytest
from keras import ops

from harness.nn.resizing import ResizeLike


@pytest.mark.parametrize("source", [(1, 1), (2, 3), (6, 6), (7, 5)])
@pytest.mark.parametrize("target", [(12, 17), (7, 5), (30, 6)])
def test_a_map_is_resized_to_that_of_another(source: tuple[int, int], target: tuple[int, int]) -> None:
    """`INTER_LINEAR` lays cell centres on cell centres and continues edges, too."""
    generator = np.random.default_rng(0)
    values = generator.normal(size=(2, *source, 3)).astype(np.float32)
    other = np.zeros((2, *target, 1), np.float32)
    found = ops.convert_to_numpy(ResizeLike()([ops.convert_to_tensor(values), ops.convert_to_tensor(other)]))
    expected = [cv2.resize(each, target[::-1], interpolation=cv2.INTER_LINEAR) for each in values]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_it_is_compiled_for_sizes_that_are_not_known() -> None:
    image = keras.Input((None, None, 3))
    pooled = keras.layers.AveragePooling2D(4)(image)
    layer = ResizeLike(name="back")
    network = keras.Model(image, layer([pooled, image]))
    assert network.output_shape == (None, None, None, 3)
    for height, width in ((16, 24), (32, 8)):
        assert network.predict(np.ones((1, height, width, 3)), verbose=0) == pytest.approx(1.0)
    assert layer.multiply_adds((1, 2, 2, 3), (1, 8, 8, 3)) == 0
