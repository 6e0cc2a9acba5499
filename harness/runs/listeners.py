"""The Keras callbacks that plugins give a run: found, checked, and kept from ending it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from harness.errors import one_line
from harness.host.plugins import Host, Plugin
from harness.run import Run

SETS_THE_RATE = (keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau)


class Guarded(keras.callbacks.Callback):
    """A plugin's callback: once it raises it is told of, and called no more; the run goes on, which may be days old.

    Args:
        warn: called with the line that says so.
    """

    def __init__(self, callback: keras.callbacks.Callback, plugin: Plugin, warn: Callable[[str], None]) -> None:
        super().__init__()
        self.callback: keras.callbacks.Callback | None = callback
        self.plugin, self.warn = plugin, warn
        self.async_safe = getattr(callback, "async_safe", False)

    def _pass(self, name: str, *arguments: Any) -> None:
        if self.callback is None:
            return
        try:
            getattr(self.callback, name)(*arguments)
        except Exception as error:
            said = f"{name} of callback {type(self.callback).__name__} raised {one_line(error)}; it is called no more"
            self.callback = None
            self.plugin.errors.append(said)
            self.warn(f"plugin {self.plugin.name}: {said}")

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        self._pass("set_model", model)

    def set_params(self, params: Any) -> None:
        super().set_params(params)
        self._pass("set_params", params)

    def on_train_begin(self, logs: Any = None) -> None:
        self._pass("on_train_begin", logs)

    def on_train_end(self, logs: Any = None) -> None:
        self._pass("on_train_end", logs)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._pass("on_epoch_begin", epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._pass("on_epoch_end", epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._pass("on_train_batch_begin", batch, logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._pass("on_train_batch_end", batch, logs)


def listeners(host: Host, run: Run, model: Any, warn: Callable[[str], None]) -> keras.callbacks.CallbackList | None:
    """The callbacks of all plugins for `run`, begun; None where there are none. What is none is told on its plugin."""
    expected = "keras.callbacks.Callback, which may be empty"
    gathered: list[keras.callbacks.Callback] = []
    for plugin, result in host.lists("harness_callbacks", expected, run=run):
        if not all(isinstance(one, keras.callbacks.Callback) for one in result):
            kinds = [type(one).__name__ for one in result]
            plugin.errors.append(f"harness_callbacks returned {kinds}; expected a list of {expected}")
            continue
        for one in result:
            if isinstance(one, SETS_THE_RATE):
                plugin.errors.append(
                    f"harness_callbacks returned {type(one).__name__}, which is left out: the learning rate is the recipe's "
                    f"(learning_rate, decay), and is set before every step"
                )
            else:
                gathered.append(Guarded(one, plugin, warn))
    if not gathered:
        return None
    found = keras.callbacks.CallbackList(gathered, model=model)
    found.on_train_begin()
    return found
