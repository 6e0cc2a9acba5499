"""Every network and loss, variants included, can be compiled by TensorFlow for images whose size is not known then.

Paper recipes take crops of a share of each image, and benchmarks have images of any size: after the second size TensorFlow
compiles for unknown ones, where code that only knows fixed shapes fails.
"""

from __future__ import annotations

import keras
import pytest

from harness.host.plugins import load_host
from harness.method import Method, ModelOptions, named_outputs
from harness.nn.batch import Batch


def cases() -> list[tuple[str, str]]:
    """Every method and its variants, but one of those that differ in a number alone."""
    found: dict[tuple, tuple[str, str]] = {}
    for name, method in sorted(load_host().methods.items()):
        for variant in ("", *method.variants):
            options = method.variants[variant].options if variant else {}
            kind = tuple(
                (key, type(value) if type(value) in (int, float) else repr(value)) for key, value in options.items()
            )
            found.setdefault((name, kind), (name, variant))
    return list(found.values())


if keras.backend.backend() != "tensorflow":
    pytest.skip("only TensorFlow compiles for unknown sizes", allow_module_level=True)


@pytest.mark.parametrize(("name", "variant"), cases(), ids=lambda value: value or "itself")
def test_step_and_prediction(name: str, variant: str) -> None:
    import tensorflow as tf

    method: Method = load_host().method(name)
    options = ModelOptions(variant=method.variants[variant].options if variant else {}, largest_count=100.0)
    network = method.build(options)
    maps = method.maps(options)

    def loss(image: tf.Tensor, points: tf.Tensor, rasters: dict[str, tf.Tensor]) -> tf.Tensor:
        batch = Batch(image, points, rasters)
        taught = method.taught(batch, options) if isinstance(network.input, dict) else {}
        inputs = {"image": image, **taught} if isinstance(network.input, dict) else image
        terms = method.loss(batch, named_outputs(network(inputs, training=True)), options)
        return tf.add_n([tf.cast(term, tf.float32) for term in terms.values()])

    def sized(channels: int, side: int | None = None) -> tf.TensorSpec:
        return tf.TensorSpec((None, side, side, channels), tf.float32)

    side = 64 if method.recipe.crop else None  # the size of a recipe's square crops is known
    inputs = (
        sized(method.channels, side),
        tf.TensorSpec((None, None, 4), tf.float32),
        {map: sized(1, side) for map in maps},
    )
    step = tf.function(loss).get_concrete_function(*inputs)
    assert step.structured_outputs.shape == ()
    if not isinstance(network.input, dict):
        density = tf.function(lambda image: named_outputs(network(image))["density"])
        assert density.get_concrete_function(sized(method.channels)).structured_outputs.shape[-1] == 1
