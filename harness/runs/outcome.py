"""What an ok run adds to its record."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np

from harness.benchmark import Sample
from harness.data.pipeline import kernel_metres
from harness.data.run_data import RunData
from harness.errors import one_line
from harness.host.plugins import Host
from harness.method import Method, inference_network
from harness.run import Run
from harness.training import backend
from harness.training.evaluation import OWN_GROUPS, ImageResult, summary
from harness.training.fit import Trained
from harness.training.prediction import LARGEST_WHOLE_GLOBAL
from harness.training.state import Progress


def finished(host: Host, run: Run, data: RunData, trained: Trained, results: list[ImageResult]) -> dict[str, Any]:
    """The fields of a `harness.runs.records.Record` that only an ok run has; `results` are those of the test images."""
    extra, complaints = _extra_metrics(host, results)
    inexact = sum(result.inexact for result in results)
    if inexact:
        complaints.append(
            f"{inexact} test images of over {LARGEST_WHOLE_GLOBAL / 1e6:g} megapixels were predicted in tiles, though this "
            f"network depends on the whole picture"
        )
    commits = ", ".join(trained.progress.commits)  # several where code that was changed continued it
    learned, unusable = _learned(run.method, trained.network)
    complaints += unusable
    return {
        "status": "ok",
        "message": "\n".join([*trained.notes, *complaints]),
        "environment": {**backend.environment(), **({"commit": commits} if commits else {})},
        "data": _data(run, data, len(results)),
        "model": model_size(run.method, trained.network),
        "training": {**_training(trained.progress), "learned": learned},
        "results": {
            **_scores(results),
            "extra": extra,
            "inexact_images": inexact,
            "own_points": bool(results[0].located and results[0].located.own),
            "per_image": [_image(result) for result in results],
        },
    }


def _learned(method: Method, network: Any) -> tuple[dict[str, float], list[str]]:
    """What the method says that its network learned. What cannot be had or is no number costs itself, not the run."""
    if method.learned is None:
        return {}, []
    try:
        values = {str(name): float(value) for name, value in method.learned(network).items()}
    except Exception as error:
        return {}, [f"learned of {method.name} raised {one_line(error)}"]
    finite = {name: value for name, value in values.items() if math.isfinite(value)}
    return finite, [
        f"learned of {method.name}: {name} is no finite number" for name in sorted(values.keys() - finite.keys())
    ]


def _data(run: Run, data: RunData, tested: int) -> dict[str, Any]:
    split, points = data.split, data.points
    samples: tuple[Sample, ...] = (*split.train, *split.val, *split.test)
    counts = [len(points[sample.name]) for sample in split.train]
    departures = run.benchmark.departures
    return {
        "fingerprint": run.identity["data"],
        "departures": list(departures(samples, points)) if departures else [],
        "train_images": len(split.train),
        "validation_images": len(split.val),
        "test_images": tested,
        "test_images_available": len(split.test),
        "train_mean": float(np.mean(counts)),
        "train_median": float(np.median(counts)),
        "kernel_metres": kernel_metres(run.recipe, run.benchmark),
        "validation_names": [sample.name for sample in split.val],
    }


def model_size(method: Method, network: Any) -> dict[str, Any]:
    """Trainable parameters of the whole network and of the part that predicts, and its megabytes as float32."""

    def count(model: Any) -> int:
        return sum(math.prod(variable.shape) for variable in model.trainable_variables)

    inference = inference_network(network)
    megabytes = 4 * sum(math.prod(variable.shape) for variable in inference.weights) / 1e6
    return {
        "parameters": count(network),
        "inference_parameters": count(inference),
        "inference_megabytes": round(megabytes, 3),
        "stride": method.stride,
    }


def _training(progress: Progress) -> dict[str, Any]:
    return {
        "epochs": progress.epoch,
        "steps": progress.step,
        "seconds": round(progress.seconds, 3),
        "wait_share": progress.waited / progress.seconds if progress.seconds else 0.0,
        "best_epoch": progress.best_epoch,
        "best_val_mae": progress.best,
        "history": progress.history,
        "stopped": progress.stopped,
    }


def _scores(results: list[ImageResult]) -> dict[str, Any]:
    scores = summary(results)
    return {**scores, "nae": _number(scores["nae"])}


def _extra_metrics(host: Host, results: list[ImageResult]) -> tuple[dict[str, float | None], list[str]]:
    """Plugins' metrics by name. One that raises costs its own number, not the run that was just trained."""
    counts: Any = [np.array([getattr(result, key) for result in results]) for key in ("true", "predicted")]
    located = [result.located for result in results if result.located]
    points = [[found.true for found in located], [found.points for found in located]]
    values: dict[str, float | None] = {}
    complaints = []
    for name, metric in sorted(host.metrics.items()):
        try:
            values[name] = _number(metric.of(*copy.deepcopy(counts if metric.takes == "counts" else points)))
            if values[name] is None:
                complaints.append(f"metric {name} gave no finite number")
        except Exception as error:
            values[name] = None
            complaints.append(f"metric {name} raised {one_line(error)}")
    return values, complaints


def _image(result: ImageResult) -> dict[str, Any]:
    located = result.located
    return {
        "image": result.image,
        "true": result.true,
        "predicted": result.predicted,
        "true_grid": [float(value) for value in result.true_grid.ravel()],
        "predicted_grid": [round(float(value), 4) for value in result.predicted_grid.ravel()],
        "seconds": round(result.seconds, 4),
        "groups": {key: value for key, value in result.groups.items() if key not in OWN_GROUPS},
        "height": result.height,
        "width": result.width,
        "located": located and {"points": len(located.points), "matched": dict(located.matched)},
    }


def _number(value: float) -> float | None:
    """`value`, or None where it is no number: records hold no NaN."""
    return float(value) if math.isfinite(value) else None
