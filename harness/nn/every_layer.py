"""A network's layers, those of networks within it too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


def every_layer(network: Any) -> Iterator[keras.layers.Layer]:
    """The layers of `network`, and behind each that is a network of its own that network's layers."""
    import keras

    for layer in network.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from every_layer(layer)
