"""A PyTorch network as a Keras layer, on the PyTorch backend alone: trained, saved, frozen and averaged as any other layer.

One of three modules that import a backend, with `harness/training/backend.py` and `harness/nn/on_host.py`.
"""

from __future__ import annotations

import copy
from typing import Any

import keras
import numpy as np

from harness.errors import HarnessError

TRIED = 256  # pixels a side of the picture that tells what a module gives: a multiple of any stride there is


class TorchModule(keras.layers.Layer):
    """`module` on maps: [B, H, W, C] → its own [B, h, w, c], or a dict, list or tuple of such, as the module returns them.

    The module is given [B, C, H, W] float32, as it is used to, and gives the like; how large its maps are is tried once. Under
    `mixed_bfloat16` and `mixed_float16` it runs under `torch.autocast`. Its parameters and its buffers (the statistics of batch
    normalisation) are the weights of this layer, in that order; those of a layer that a stage does not train stay as they are,
    the statistics too, as with Keras' own batch normalisation.

    Args:
        module: a `torch.nn.Module`; parameters that need no gradient are not trained.

    Raises:
        HarnessError: Keras runs on another backend; or the module returns what is no map.
    """

    def __init__(self, module: Any, **options: Any) -> None:
        backend = keras.backend.backend()
        if backend != "torch":
            raise HarnessError(
                f"TorchModule holds a PyTorch network, but Keras runs on {backend}: declare "
                f'Method(..., backend="torch"), or set KERAS_BACKEND=torch'
            )
        super().__init__(**options)
        # Past Keras' own attributes, which would wrap the module once more and have its weights twice.
        object.__setattr__(self, "module", module.to(keras.ops.zeros(()).device))
        for tensor in _tensors(module):
            self._track_variable(
                keras.Variable(
                    tensor,
                    trainable=tensor.requires_grad,
                    dtype=str(tensor.dtype).removeprefix("torch."),
                    autocast=False,
                )
            )
        self.built = True

    def call(self, images: Any, training: bool | None = None) -> Any:
        import torch

        self.module.train(bool(training) and self.trainable)
        lower = self.compute_dtype != "float32"
        kind = torch.bfloat16 if self.compute_dtype == "bfloat16" else torch.float16
        with torch.autocast(images.device.type, dtype=kind, enabled=lower):
            outputs = self.module(images.float().permute(0, 3, 1, 2).contiguous())
        return keras.tree.map_structure(self._channels_last, outputs)

    def compute_output_spec(self, images: Any, training: bool | None = None) -> Any:
        """What the module gives of a picture of unknown size, by what it gives of one of `TRIED` pixels a side."""
        import torch

        batch, height, width, channels = images.shape
        self.module.eval()
        with torch.no_grad():
            tried = self.module(torch.zeros((1, channels, TRIED, TRIED), device=keras.ops.zeros(()).device))

        def unknown(values: Any) -> keras.KerasTensor:
            _, rows, columns, own = self._channels_last(values).shape
            sides = [side and side * given // TRIED for side, given in ((height, rows), (width, columns))]
            return keras.KerasTensor((batch, *sides, own), self.compute_dtype)

        return keras.tree.map_structure(unknown, tried)

    def _channels_last(self, values: Any) -> Any:
        import torch

        if not isinstance(values, torch.Tensor) or values.ndim != 4:
            found = f"shape {tuple(values.shape)}" if hasattr(values, "shape") else type(values).__name__
            raise HarnessError(
                f"{type(self.module).__name__} returned {found}; expected maps of PyTorch, [B, c, h, w], or a dict, list or "
                f"tuple of them: put a module of your own around it that returns these alone"
            )
        return values.permute(0, 2, 3, 1)

    def multiply_adds(self, *input_shapes: tuple) -> int:
        """Of its convolutions, products of matrices and attention, as PyTorch itself counts them; nothing is computed."""
        import torch
        from torch.utils.flop_counter import FlopCounterMode

        _, height, width, channels = input_shapes[0]
        module = copy.deepcopy(self.module).to("meta").eval()
        with torch.no_grad(), FlopCounterMode(display=False) as counted:
            module(torch.zeros((1, channels, height, width), device="meta"))
        return counted.get_total_flops() // 2


def weights(module: Any) -> list[np.ndarray]:
    """The parameters and buffers of a `torch.nn.Module` in the order of its `TorchModule`'s: for `harness_read_weights`."""
    tensors = sorted(_tensors(module), key=lambda tensor: not tensor.requires_grad)
    return [tensor.detach().cpu().numpy() for tensor in tensors]


def _tensors(module: Any) -> list[Any]:
    return [*module.parameters(), *module.buffers()]
