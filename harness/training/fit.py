"""One run: fit, choose the checkpoint on validation, keep state after each epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.budgets import Plan, plan
from harness.data.image_store import ImageStore
from harness.data.pipeline import Pipeline, Waiting
from harness.data.splits import Split
from harness.errors import DivergedError
from harness.method import Stage, inference_network
from harness.run import Run
from harness.training import backend, state, weights
from harness.training.evaluation import evaluate, summary
from harness.training.network import PointTrainer, learning_rate

WEIGHTS = "best.weights.h5"
STATE = state.STATE
Report = Callable[..., None]


@dataclass(frozen=True)
class Trained:
    """What training leaves behind: the network with its chosen weights, and how it got there."""

    network: Any
    progress: state.Progress
    plan: Plan


def stage_ends(stages: tuple[Stage, ...], epochs: int) -> list[int]:
    """The epoch at which each stage is over. Every stage gets at least one epoch where there are enough."""
    ends, total = [], 0.0
    for number, stage in enumerate(stages, 1):
        total += stage.share
        ends.append(max(min(number, epochs), round(total * epochs)))
    ends[-1] = epochs
    return ends


def train(run: Run, split: Split, store: ImageStore, folder: Path, report: Report, callbacks: Any = None) -> Trained:
    """Trains `run` in `folder`, continuing from the state there if there is one.

    Args:
        report: called as report("epoch", **what) for the progress display.
        callbacks: a callable from the Keras model to a `keras.callbacks.CallbackList`, or None.

    Raises:
        DivergedError: the loss stopped being finite.
    """
    backend.prepare(run.request.seed, run.request.precision)
    backend.share_among_devices(run.recipe.images_per_step * run.recipe.crops_per_image)
    network = run.method.build(run.options)
    trainer = PointTrainer(network, run.method, replace(run.options, largest_count=_largest_count(run, split)))
    maps = run.method.maps(run.options)
    pipeline = Pipeline(run.benchmark, split.train, store, run.recipe, run.method.side_multiple, run.request.seed, maps)
    length = plan(run.recipe, run.budget, len(split.train))
    ends = stage_ends(run.recipe.stages, length.epochs)
    progress = state.read_progress(folder / STATE) or state.Progress()
    resumed = progress.epoch > 0
    compiled = -1
    listeners = None
    if run.request.select == "validation":
        chosen = split.val[: run.budget.validation_images]
    else:
        chosen = split.test[: run.budget.test_images]
    report("start", epochs=length.epochs, steps=length.steps_per_epoch, resumed_at=progress.epoch)
    while progress.epoch < length.epochs and not _given_up(run, progress):
        stage_number = next(number for number, end in enumerate(ends) if progress.epoch < end)
        stage = run.recipe.stages[stage_number]
        if compiled != stage_number:
            if resumed:  # the state holds the variables of the stage it was written in
                trainer.start(run.recipe.stages[progress.stage], backend.jit_compile())
                state.restore(folder / STATE, trainer)
            if not resumed or stage_number != progress.stage:
                trainer.start(stage, backend.jit_compile())
            resumed, compiled = False, stage_number
            if callbacks:  # once, when there is an optimiser for them to look at
                listeners, callbacks = callbacks(trainer), None
        begin = ends[stage_number - 1] if stage_number else 0
        entry = _epoch(trainer, pipeline, stage, length, progress, (begin, ends[stage_number]), report, listeners)
        progress.stage = stage_number
        last = progress.epoch == length.epochs
        if progress.epoch % length.validate_every == 0 or last:
            selects = stage.selects or stage_number == len(ends) - 1
            _validate(trainer, run, chosen, store, folder, progress, entry, report, selects)
        progress.history.append(entry)
        report("epoch", **entry, epochs=length.epochs)
        if listeners:
            listeners.on_epoch_end(progress.epoch - 1, {k: v for k, v in entry.items() if isinstance(v, float)})
        state.save(folder / STATE, progress, trainer)
    if listeners:
        listeners.on_train_end()
    weights.restore(network, folder / WEIGHTS, run.method)
    return Trained(network, progress, length)


def _largest_count(run: Run, split: Split) -> float:
    """Heads in the fullest image of training and validation; what is tested on stays unknown."""
    return float(max(len(run.benchmark.read_points(sample)) for sample in (*split.train, *split.val)))


def _given_up(run: Run, progress: state.Progress) -> bool:
    """Whether early stopping ends the run here; a resumed run must find so too."""
    return bool(run.recipe.patience) and progress.stale >= run.recipe.patience


def _epoch(
    trainer: PointTrainer,
    pipeline: Pipeline,
    stage: Stage,
    length: Plan,
    progress: state.Progress,
    span: tuple[int, int],
    report: Report,
    listeners: Any,
) -> dict[str, Any]:
    """One pass; advances `progress` and returns its line of history."""
    waiting, started, total = Waiting(), time.perf_counter(), 0.0
    steps = length.steps_per_epoch
    stage_steps = (span[1] - span[0]) * steps
    if listeners:
        listeners.on_epoch_begin(progress.epoch)
    for number, crops in enumerate(pipeline.epoch(progress.epoch, steps, waiting)):
        step = (progress.epoch - span[0]) * steps + number
        rate = learning_rate(stage, step, stage_steps, progress.epoch - span[0])
        trainer.optimizer.learning_rate = rate
        if listeners:
            listeners.on_train_batch_begin(number)
        loss = trainer.train(*crops)
        if not math.isfinite(loss):
            raise DivergedError(
                f"the loss became {loss} at epoch {progress.epoch + 1}, step {number + 1} (stage {stage.name}, "
                f"learning rate {rate:g})"
            )
        total += loss
        if listeners:
            listeners.on_train_batch_end(number, {"loss": loss})
        report("step", step=progress.epoch * steps + number + 1, total=length.epochs * steps, loss=loss)
    seconds = time.perf_counter() - started
    progress.epoch += 1
    progress.step += steps
    progress.seconds += seconds
    progress.waited += waiting.seconds
    return {
        "epoch": progress.epoch,
        "stage": stage.name,
        "loss": total / steps,
        "learning_rate": rate,
        "seconds": round(seconds, 3),
        "waited": round(waiting.seconds, 3),
    }


def _validate(
    trainer: PointTrainer,
    run: Run,
    samples: Any,
    store: ImageStore,
    folder: Path,
    progress: state.Progress,
    entry: dict[str, Any],
    report: Report,
    selects: bool,
) -> None:
    """Measures `samples`, and keeps the weights where they are the best so far."""

    def step(done: int, total: int) -> None:
        report("validate", done=done, total=total)

    network = inference_network(trainer.network)
    scores = summary(evaluate(network, run.method, run.benchmark, samples, store, step))
    entry["val_mae"], entry["val_rmse"] = scores["mae"], scores["rmse"]
    if not math.isfinite(scores["mae"]):
        raise DivergedError(f"the validation MAE became {scores['mae']} at epoch {progress.epoch}")
    if not selects:
        return
    if scores["mae"] < progress.best:
        progress.best, progress.best_epoch, progress.stale = scores["mae"], progress.epoch, 0
        weights.save(trainer.network, folder / WEIGHTS, run.method.name, run.options)
    else:
        progress.stale += 1
