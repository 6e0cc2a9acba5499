"""What networks with pretrained weights share: ImageNet's by Keras, and the file that was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError

if TYPE_CHECKING:
    import keras


def imagenet(name: str, title: str) -> keras.Model:
    """`keras.applications.NAME` without its top, with Keras' own ImageNet weights, downloaded once.

    Raises:
        HarnessError: they cannot be downloaded; `title` is what the message calls the network.
    """
    import keras

    try:
        return getattr(keras.applications, name)(weights="imagenet", include_top=False, input_shape=(224, 224, 3))
    except Exception as error:
        raise HarnessError(
            f"the ImageNet weights of {title} cannot be downloaded ({error}). Connect once, or give --pretrained PATH of "
            f"a Keras {title} file, or --pretrained none to train from scratch."
        ) from None


def require_file(path: Path, title: str) -> None:
    """Raises `HarnessError` where there is no such file."""
    if not path.is_file():
        raise HarnessError(f"{path}: no such file; expected {title} weights, or --pretrained none, or imagenet")
