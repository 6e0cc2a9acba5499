"""The published PyTorch MCNN checkpoints → Keras weights.

They are HDF5 files with keys `DME.branch{1,2,3}.{0,2,4,5}.conv.{weight,bias}` and `DME.fuse.0.conv.*`, kernels OIHW.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from crowd_harness_mcnn.model import GREY_MEAN, GREY_SCALE

_CONVOLUTIONS = {0: 1, 2: 2, 4: 3, 5: 4}  # position in the PyTorch Sequential (pools between) → our number


def read(path: Path) -> dict[str, list[np.ndarray]] | None:
    """Layer name → [kernel HWIO, bias], or None if `path` is no such checkpoint."""
    import h5py

    if not h5py.is_hdf5(path):
        return None
    with h5py.File(path) as file:
        if "DME.fuse.0.conv.weight" not in file:
            return None
        weights = {
            f"column{branch}_conv{number}": _convolution(file, f"DME.branch{branch}.{position}.conv")
            for branch in (1, 2, 3)
            for position, number in _CONVOLUTIONS.items()
        }
        for branch in (1, 2, 3):
            weights[f"column{branch}_conv1"] = _centred(*weights[f"column{branch}_conv1"])
        weights["fuse"] = _convolution(file, "DME.fuse.0.conv")
    return weights


def _centred(kernel: np.ndarray, bias: np.ndarray) -> list[np.ndarray]:
    """Weights for raw grey values → the same function of (grey − mean) / scale."""
    return [kernel * GREY_SCALE, bias + GREY_MEAN * kernel.sum(axis=(0, 1, 2))]


def _convolution(file: object, key: str) -> list[np.ndarray]:
    kernel = np.asarray(file[f"{key}.weight"])  # type: ignore[index]
    return [kernel.transpose(2, 3, 1, 0), np.asarray(file[f"{key}.bias"])]  # type: ignore[index]
