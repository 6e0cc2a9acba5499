"""Whether a network takes pictures of any size where the backend compiles it once for all of them."""

from __future__ import annotations

import re
from typing import Any

import keras

from harness.errors import one_line
from harness.method import Method, ModelOptions, inference_network, named_outputs
from harness.nn.batch import Batch
from harness.recipe import Recipe
from harness.training import backend
from harness.training.complaints import place, place_of, told
from harness.training.network import fed


def check_any_size(method: Method, network: keras.Model, options: ModelOptions, recipe: Recipe) -> None:
    """On TensorFlow, which compiles for unknown sizes once it has met two: that this can be done.

    Whole pictures differ in size, so the way to the density must; where the crops of `recipe` do too, all of the network
    and the loss must.

    Raises:
        InvalidMethodError: it cannot; names the layer, where one is known, and what to use in its place.
    """

    def step(image: Any, points: Any, maps: Any) -> None:
        batch = Batch(image, points, maps)
        outputs = network(fed(method, network, batch, options), training=True)
        method.loss(batch, named_outputs(outputs), options)

    pixels, heads = keras.KerasTensor((None, None, None, method.channels)), keras.KerasTensor((None, None, 4))
    try:
        backend.trace(inference_network(network), pixels)
        if recipe.crop is None:
            maps = {name: keras.KerasTensor((None, None, None, 1)) for name in method.maps(options)}
            backend.trace(step, pixels, heads, maps)
    except Exception as error:
        raise told(
            method,
            place_of(error, method) or place(method.build),
            f"TensorFlow cannot compile its network for pictures of any size: {_culprit(network, error)}; "
            f"harness.nn.resizing.Enlarge (bilinear) and GridPooling take any",
        ) from error


def _culprit(network: keras.Model, error: Exception) -> str:
    """ "layer 'up' (UpSampling2D)": those layers that `error` may have come from, else what it says."""
    found = re.search(r"when calling (\w+)\.call\(\)", str(error))
    kind = found[1] if found else ""
    names = [
        repr(layer.name)
        for layer in network._flatten_layers(include_self=False)
        if type(layer).__name__ == kind and getattr(layer, "interpolation", "") != "nearest"
    ]
    return f"layer {', '.join(names)} ({kind})" if names else one_line(error)
