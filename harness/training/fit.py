"""One run: fit, choose the checkpoint on validation, keep state after each epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
from keras import ops

from harness.budgets import Plan, plan
from harness.data.pipeline import Pipeline, Waiting
from harness.data.run_data import RunData
from harness.errors import DivergedError, HarnessError
from harness.method import inference_network
from harness.recipe import Stage
from harness.run import Run
from harness.training import backend, sharing, soundness, state, weights
from harness.training.evaluation import evaluate, summary
from harness.training.network import PointTrainer, learning_rate
from harness.training.resident import Resident, resident
from harness.training.steps import Measurements, to_device

WEIGHTS = "best.weights.h5"
STATE = state.STATE
Report = Callable[..., None]


@dataclass(frozen=True)
class Job:
    """One run to train.

    Attributes:
        folder: where its state and weights lie; it continues from a state that is there.
        report: called as report("epoch", **what) for the progress display.
        callbacks: from the Keras model to a `keras.callbacks.CallbackList`, or None where there are none.
        commit: of the code that trains it, where that is known.
    """

    run: Run
    data: RunData
    folder: Path
    report: Report
    callbacks: Callable[[Any], Any] = lambda model: None
    commit: str = ""


@dataclass(frozen=True)
class Trained:
    """What training leaves behind: the network with its chosen weights, how it got there, and what a person should know."""

    network: Any
    progress: state.Progress
    plan: Plan
    notes: tuple[str, ...] = ()


@dataclass
class _Session:
    """A job under way: its trainer, what it is given, its length, where it stands, and who listens.

    `give` gives the device the steps of one of the `batches`: `together` of them where that many are left and nobody listens.
    """

    job: Job
    trainer: PointTrainer
    batches: Pipeline | Resident
    give: Callable[[Any], Mapping[str, Any]]
    together: int
    plan: Plan
    ends: list[int]
    progress: state.Progress
    notes: tuple[str, ...] = ()
    compiled: int = -1
    listeners: Any = None

    @property
    def stages(self) -> tuple[Stage, ...]:
        return self.job.run.recipe.stages

    @property
    def over(self) -> bool:
        """Whether all epochs are done, or early stopping ends the run here; a resumed run must find so too."""
        progress, patience = self.progress, self.job.run.recipe.patience
        return progress.epoch >= self.plan.epochs or progress.stopped or bool(patience and progress.stale >= patience)


def stage_ends(stages: tuple[Stage, ...], epochs: int) -> list[int]:
    """The epoch at which each stage is over. Every stage gets at least one epoch where there are enough."""
    ends, total, enough = [0], 0.0, epochs >= len(stages)
    for later, stage in zip(range(len(stages) - 1, -1, -1), stages, strict=True):
        total += stage.share
        end = max(ends[-1] + 1, round(total * epochs))
        ends.append(min(end, epochs - later if enough else epochs))
    return [*ends[1:-1], epochs]


def train(job: Job) -> Trained:
    """Trains a job to its end, continuing from the state in its folder if there is one.

    Raises:
        DivergedError: the loss stopped being finite.
    """
    session = _opened(job)
    progress = session.progress
    while not session.over:
        number = next(number for number, end in enumerate(session.ends) if progress.epoch < end)
        if number != progress.stage:  # what the one before did not improve any more, the next may
            progress.stale = 0
        _enter(session, number)
        entry = _epoch(session, number)
        progress.stage = number
        if progress.epoch % session.plan.validate_every == 0 or progress.epoch == session.plan.epochs:
            _validate(session, number, entry)
        _tell(session, number, entry)
        progress.history.append(entry)
        job.report("epoch", **entry, epochs=session.plan.epochs)
        state.save(job.folder / STATE, progress, session.trainer)
    if session.listeners:
        session.listeners.on_train_end()
    weights.restore(session.trainer.network, job.folder / WEIGHTS, job.run.method)
    session.trainer.as_built()
    return Trained(session.trainer.network, progress, session.plan, session.notes)


def _tell(session: _Session, number: int, entry: dict[str, Any]) -> None:
    """Gives the epoch to the callbacks under the keys that Keras' own expect; one of them may end the run."""
    if not session.listeners:
        return
    progress = session.progress
    logs = {key: value for key, value in entry.items() if isinstance(value, float) and key not in ("seconds", "waited")}
    session.listeners.on_epoch_end(progress.epoch - 1, {**logs, **entry["terms"]})
    if session.trainer.stop_training:
        progress.stopped = True
        if "val_mae" not in entry or not progress.best_epoch:  # no weights may have been kept yet
            _validate(session, number, entry)


def _opened(job: Job) -> _Session:
    """The job with its network built, its length known and its progress read.

    Raises:
        InvalidMethodError: the method is not what it says.
    """
    run, data = job.run, job.data
    backend.prepare(run.request.seed, run.request.precision)
    sharing.share_among_devices(run.recipe.images_per_step * run.recipe.crops_per_image)
    options = replace(run.options, largest_count=data.largest_count)
    terms = soundness.check(run.method, options, run.recipe)
    backend.begin_anew()  # as if nothing had been built or drawn
    backend.prepare(run.request.seed, run.request.precision)
    trainer = PointTrainer(run.method.build(run.options), run.method, options, terms)
    length = plan(run.recipe, run.budget, len(data.split.train))
    progress = state.begun(job.folder / STATE, keras.backend.backend(), job.commit)
    if progress.best_epoch and not (job.folder / WEIGHTS).is_file():
        raise HarnessError(
            f"{job.folder / WEIGHTS}: missing, the weights of epoch {progress.best_epoch}, which was the best so far. Delete "
            f"{STATE} beside it to train from the start; then --retry failed."
        )
    if said := backend.emulated(run.request.precision):
        job.report("warning", said=said)
    job.report(
        "start",
        epochs=length.epochs,
        steps=length.steps_per_epoch,
        last_steps=length.steps_of(length.epochs - 1),
        resumed_at=progress.epoch,
    )
    ends = stage_ends(run.recipe.stages, length.epochs)
    found = resident(data.crops, data.memory) if run.request.resident else ""
    if isinstance(found, Resident):
        trainer.cuts = found.cutting.size
        at_once = backend.steps_a_dispatch()
        return _Session(job, trainer, found, trainer.cut_and_dispatched, at_once, length, ends, progress)
    notes = (f"--resident: crops are cut on the host: {found}",) if found else ()
    for said in notes:
        job.report("warning", said=said)
    return _Session(
        job, trainer, data.crops, lambda crops: trainer.dispatched(*crops), 1, length, ends, progress, notes
    )


def _enter(session: _Session, number: int) -> None:
    """Compiles for stage `number` where that is not done yet; the first time, after restoring what was saved."""
    if session.compiled == number:
        return
    resumed = session.compiled < 0 and session.progress.epoch > 0
    if resumed:  # the state holds the variables of the stage it was written in
        _start(session, session.progress.stage)
        state.restore(session.job.folder / STATE, session.trainer)
    if not resumed or number != session.progress.stage:
        _start(session, number)
    if session.compiled < 0:  # once, when there is an optimiser for them to look at
        session.listeners = session.job.callbacks(session.trainer)
    session.compiled = number


def _start(session: _Session, number: int) -> None:
    recipe = session.job.run.recipe
    session.trainer.start(recipe.stages[number], backend.jit_compile(recipe.crop is None), recipe.ema, recipe.clip)


def _epoch(session: _Session, number: int) -> dict[str, Any]:
    """One pass in stage `number`; advances the progress and returns its line of history."""
    stage, progress, trainer, listeners = (
        session.stages[number],
        session.progress,
        session.trainer,
        session.listeners,
    )
    waiting, started, measured = Waiting(), time.perf_counter(), Measurements()
    length, begin = session.plan, session.ends[number - 1] if number else 0
    steps, before = length.steps_of(progress.epoch), length.steps_before(progress.epoch)
    stage_steps = length.steps_before(session.ends[number]) - length.steps_before(begin)
    done = before - length.steps_before(begin)
    rates = [learning_rate(stage, done + step, stage_steps, progress.epoch - begin) for step in range(steps)]
    on_device = ops.convert_to_tensor(rates, "float32")  # at once: a number sent with each step would be waited for
    if listeners:
        listeners.on_epoch_begin(progress.epoch)
    position = 0
    for count, batch in _batches(session, steps, waiting):
        now = rates[position : position + count]
        if count == 1:
            trainer.optimizer.learning_rate = on_device[position]
        if listeners:
            listeners.on_train_batch_begin(position)
        given = batch if count == 1 else {**batch, "rates": ops.convert_to_tensor(now, "float32")}
        measured.add(position, now, session.give(given))
        position += count
        if listeners or measured.due or position == steps:
            _fetch(session, number, measured)
    seconds = time.perf_counter() - started
    progress.epoch += 1
    progress.step += steps
    progress.seconds += seconds
    progress.waited += waiting.seconds
    totals = measured.totals
    return {
        "epoch": progress.epoch,
        "stage": stage.name,
        "loss": totals.pop("loss") / steps,
        "mae": totals.pop("mae") / steps,
        "learning_rate": rates[-1],
        "seconds": round(seconds, 3),
        "waited": round(waiting.seconds, 3),
        "terms": {name: total / steps for name, total in totals.items()},
    }


def _batches(session: _Session, steps: int, waiting: Waiting) -> Iterator[tuple[int, Any]]:
    """The batches of the epoch that comes, on the device, each with the number of steps it is for."""
    epoch, batches, sent = session.progress.epoch, session.batches, to_device()
    together = 1 if session.listeners else session.together  # they are told of each step before the next begins
    if isinstance(batches, Resident):
        given: Iterator[Any] = batches.epoch(epoch, steps, waiting, sent, together)
    else:
        given = batches.epoch(epoch, steps, waiting, sent)
    for number, batch in enumerate(given):
        yield (together if (number + 1) * together <= steps else 1), batch


def _fetch(session: _Session, number: int, measured: Measurements) -> None:
    """Waits for the steps given to the device so far and tells what they measured.

    The first whose loss is not finite stops the run. Callbacks are told of each step before the next begins: some look at the
    weights.
    """
    progress, last = session.progress, None
    for last in measured.fetched():
        if not math.isfinite(last.values["loss"]):
            values = last.values
            odd = [name for name in values if name not in ("loss", "mae") and not math.isfinite(values[name])]
            of = f"; of its terms {', '.join(odd)}" if odd else ""
            raise DivergedError(
                f"the loss became {values['loss']} at epoch {progress.epoch + 1}, step {last.position + 1} (stage "
                f"{session.stages[number].name}, learning rate {last.rate:g}{of})"
            )
        if session.listeners:
            session.listeners.on_train_batch_end(last.position, last.values)
    if last:
        step = session.plan.steps_before(progress.epoch) + last.position + 1
        session.job.report("step", step=step, total=session.plan.steps, loss=last.values["loss"])


def _validate(session: _Session, number: int, entry: dict[str, Any]) -> None:
    """Measures the images that choose, and keeps the weights where they are the best so far of a stage that selects."""
    with session.trainer.averaged() as network:
        _measure(session, number, entry, network)


def _measure(session: _Session, number: int, entry: dict[str, Any], whole: Any) -> None:
    job, progress = session.job, session.progress

    def step(done: int, total: int) -> None:
        job.report("validate", done=done, total=total)

    network, images = inference_network(whole), job.data.chooses
    scores = summary(evaluate(network, job.run.method, job.data.scenes(images), len(images), step))
    entry["val_mae"], entry["val_rmse"] = scores["mae"], scores["rmse"]
    if not math.isfinite(scores["mae"]):
        raise DivergedError(f"the validation MAE became {scores['mae']} at epoch {progress.epoch}")
    last = session.ends[number] == session.plan.epochs  # of those that so short a run has
    selects = session.stages[number].selects or last or progress.stopped
    if not selects:
        return
    if scores["mae"] < progress.best:
        progress.best, progress.best_epoch, progress.stale = scores["mae"], progress.epoch, 0
        weights.save(whole, job.folder / WEIGHTS, job.run.method.name, job.run.options)
    else:
        progress.stale += 1
