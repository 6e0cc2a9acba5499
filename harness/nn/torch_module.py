"""A PyTorch network as a Keras layer, on the PyTorch backend alone: trained, saved, frozen and averaged as any other layer.

One of three modules that import a backend, with `harness/training/backend.py` and `harness/nn/on_host.py`.
"""

from __future__ import annotations

import copy
from typing import Any

import keras
import numpy as np

from harness.errors import HarnessError

TRIED = (256, 336, 320, 672)  # pixels a side of pictures that tell what a module gives: the first one that it takes


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
        variables = [
            keras.Variable(
                tensor, trainable=tensor.requires_grad, dtype=str(tensor.dtype).removeprefix("torch."), autocast=False
            )
            for tensor in _tensors(module)
        ]
        for variable in variables:
            self._track_variable(variable)
        places = _places(module)
        object.__setattr__(self, "followed", list(zip(variables[len(variables) - len(places) :], places, strict=True)))
        self.built = True

    def call(self, images: Any, training: bool | None = None) -> Any:
        import torch

        self.module.train(bool(training) and self.trainable)
        lower = self.compute_dtype != "float32"
        kind = torch.bfloat16 if self.compute_dtype == "bfloat16" else torch.float16
        with torch.autocast(images.device.type, dtype=kind, enabled=lower):
            outputs = self.module(images.float().permute(0, 3, 1, 2).contiguous())
        self._follow()
        return keras.tree.map_structure(self._channels_last, outputs)

    def _follow(self) -> None:
        """Lets this layer's weights be the buffers that the module has now: it may have put other tensors in their places."""
        import torch

        for variable, (owner, name) in self.followed:
            tensor = owner._buffers[name]
            if tensor is None or tuple(tensor.shape) != tuple(variable.shape):
                found = "nothing" if tensor is None else f"shape {tuple(tensor.shape)}"
                raise HarnessError(
                    f"{type(owner).__name__}: its buffer {name} has {found} now; expected {tuple(variable.shape)}, as when "
                    f"it began"
                )
            if tensor.data_ptr() != variable.value.data_ptr():
                # Keras would copy into the old tensor, which what is to be differentiated may hold on to.
                kept = tensor.detach().to(variable.value.dtype)
                owner._buffers[name] = kept
                variable._value = torch.nn.Parameter(kept, requires_grad=False)

    def compute_output_spec(self, images: Any, training: bool | None = None) -> Any:
        """What the module gives of a picture: tried where a side is unknown, which it then is of the maps too."""
        batch, height, width, channels = images.shape
        tried = self._tried(height, width, channels)

        def spec(values: Any) -> keras.KerasTensor:
            _, rows, columns, own = self._channels_last(values).shape
            return keras.KerasTensor((batch, height and rows, width and columns, own), self.compute_dtype)

        return keras.tree.map_structure(spec, tried)

    def _tried(self, height: int | None, width: int | None, channels: int) -> Any:
        """The outputs of one picture of this size; unknown sides are the first of `TRIED` that the module takes."""
        import torch

        self.module.eval()
        first: Exception | None = None
        for side in TRIED:
            try:
                with torch.no_grad():
                    return self.module(
                        torch.zeros((1, channels, height or side, width or side), device=keras.ops.zeros(()).device)
                    )
            except Exception as error:  # of whatever kind: it may want multiples of 14, say
                first = first or error
                if height and width:
                    break
        assert first is not None
        raise first

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
        """Of its convolutions, products of matrices and attention, as PyTorch itself counts them.

        Nothing is computed, unless the module makes tensors of its own on a device that it chooses itself.
        """
        _, height, width, channels = input_shapes[0]
        try:
            return _counted(copy.deepcopy(self.module).to("meta"), (1, channels, height, width), "meta")
        except Exception:  # what it makes itself has values, and lies elsewhere
            return _counted(copy.deepcopy(self.module), (1, channels, height, width), keras.ops.zeros(()).device)


def _counted(module: Any, shape: tuple[int, ...], device: Any) -> int:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    module.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        module(torch.zeros(shape, device=device))
    return counted.get_total_flops() // 2


def weights(module: Any) -> list[np.ndarray]:
    """The parameters and buffers of a `torch.nn.Module` in the order of its `TorchModule`'s: for `harness_read_weights`."""
    tensors = sorted(_tensors(module), key=lambda tensor: not tensor.requires_grad)
    return [tensor.detach().cpu().numpy() for tensor in tensors]


def _tensors(module: Any) -> list[Any]:
    return [*module.parameters(), *module.buffers()]


def _places(module: Any) -> list[tuple[Any, str]]:
    """The part that holds each of its buffers, and the name there."""
    names = [name.rpartition(".") for name, _ in module.named_buffers()]
    return [(module.get_submodule(part), name) for part, _, name in names]
