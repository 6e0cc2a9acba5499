"""How far a network sees: whether tiles, which show it no more than a margin, can give what the whole picture gives."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from harness.errors import HarnessError
from harness.method import Method, inference_network
from harness.training import soundness

HEIGHT = 64  # pixels, rounded up to what the network takes
TOLERANCE = 1e-4  # of the largest density: as exact as tiles are held to be


def check_margin(method: Method, network: Any) -> None:
    """Changes a picture beyond `Method.margin` of its first cells, to the right and then below, and looks at these.

    May miss a dependence that an untrained network passes on only weakly; it finds pooling over the whole picture, attention,
    and margins that are far too small.

    Raises:
        HarnessError: they change, and the method does not say so by `local=False`.
    """
    if not method.local:
        return
    own = method.side_multiple  # pixels whose cells are looked at
    margin, short = (soundness.side(method, pixels) for pixels in (method.margin, HEIGHT))
    cut = inference_network(network)
    for across in (True, False):
        long = own + margin + max(short, margin)
        images = np.random.default_rng(5).integers(0, 255, (1, short, long, method.channels)).astype(np.float32)
        other = images.copy()
        other[:, :, own + margin :] = 255 - other[:, :, own + margin :] // 4
        if not across:
            images, other = (image.transpose(0, 2, 1, 3) for image in (images, other))
        first, second = (
            ops.convert_to_numpy(soundness.forward(method, cut, image)["density"]) for image in (images, other)
        )
        cells = own // method.stride
        seen = np.s_[:, :, :cells] if across else np.s_[:, :cells]
        change, largest = float(np.abs(first[seen] - second[seen]).max()), float(np.abs(first).max())
        if change > TOLERANCE * largest:
            where = "right of" if across else "below"
            raise HarnessError(
                f"what is more than margin={method.margin} px {where} a cell changes its density by {change / largest:.1g} of "
                f"the largest: tiles of a picture would count other than the whole. Set Method.margin to how many pixels "
                f"beyond its own a cell sees, or local=False where it depends on the whole picture"
            )
