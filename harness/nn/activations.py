"""Activations of last layers."""

from __future__ import annotations

from typing import Any

from keras import ops

SLOPE = 0.1


def recovering_relu(values: Any, slope: float = SLOPE) -> Any:
    """ReLU forward; backward, values below zero have a gradient of `slope` instead of none.

    A density's last ReLU that is below zero everywhere would stay so for ever, for nothing tells it that people are there.
    Where the target is zero too nothing pulls at it, so the network learned is one with an ordinary ReLU.
    """
    below = ops.minimum(values, 0.0) * slope
    return ops.relu(values) + (below - ops.stop_gradient(below))
