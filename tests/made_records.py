"""Made-up records for the tests of reports, as runs write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from harness.budgets import BUDGETS, Budget, capped
from harness.host.plugins import Host
from harness.recipe import COMMON
from harness.reporting.leaderboard import compared, in_markdown
from harness.reporting.tables import Cell, Table
from harness.run import identity_hash
from harness.runs.records import Record, write


def comparison(records: list[Record], host: Host, compact: bool = False) -> str:
    """The comparison tables of `records`, as `harness bench` writes them, or prints them (`compact`)."""
    return in_markdown(compared(records, host), compact=compact)


def make_record(
    method: str = "mcnn",
    true: tuple[float, ...] = (10, 20, 30),
    predicted: tuple[float, ...] = (12, 19, 30),
    status: str = "ok",
    **changes: Any,
) -> Record:
    """A record as a run writes it, of made-up counts.

    Args:
        changes: `sizes` (height, width) of the images, `located` of each (points, matched by tolerance), `history` what of
            each epoch is not 1, `steps` in all, `schedule` of the recipe's fields; others are fields of the record.
    """
    base: dict[str, Any] = {
        "method": method,
        "variant": "",
        "dataset": "synth",
        "fold": 0,
        "seed": 0,
        "select": "validation",
        "precision": "float32",
        "pretrained": "none",
    } | {
        key: value
        for key, value in changes.items()
        if key in ("variant", "dataset", "fold", "seed", "select", "precision")
    }
    budget = BUDGETS.get(changes.get("budget", "quick")) or Budget(changes["budget"], crops_per_step=1)
    cut = capped(COMMON, budget)
    recipe = {**cut.as_json(), "name": changes.get("recipe", "common"), **changes.get("schedule", {})}
    identity = {
        **base,
        "data": changes.get("data", "d1"),
        "recipe": recipe,
        "budget": budget.as_json(),
    }
    t, p = np.array(true, float), np.array(predicted, float)
    images = [
        {
            "image": f"i{n}",
            "true": a,
            "predicted": b,
            "true_grid": [a] + [0.0] * 63,
            "predicted_grid": [b] + [0.0] * 63,
            "seconds": 0.01 * (n + 1),
        }
        for n, (a, b) in enumerate(zip(true, predicted, strict=True))
    ]
    for image, (height, width) in zip(images, changes.get("sizes", ()), strict=False):
        image |= {"height": height, "width": width}
    for image, (points, matched) in zip(images, changes.get("located", ()), strict=False):
        image["located"] = {"points": points, "matched": matched}
    history = [
        {"epoch": 1, "stage": "s", "loss": 1, "learning_rate": 1, "seconds": 60, "waited": 0, **entry}
        for entry in changes.get("history", [{}])
    ]
    finished = {
        "environment": {"device": "CPU", "backend": "tensorflow"},
        "data": {
            "fingerprint": identity["data"],
            "departures": changes.get("departures", []),
            "train_images": 5,
            "validation_images": 1,
            "test_images": len(true),
            "test_images_available": changes.get("available", len(true)),
            "train_mean": 25.0,
            **({"train_median": changes["train_median"]} if "train_median" in changes else {}),
            **({"kernel_metres": changes["kernel_metres"]} if "kernel_metres" in changes else {}),
            "validation_names": ["v"],
        },
        "model": {"parameters": 10, "inference_parameters": 10, "inference_megabytes": 0.04, "stride": 4},
        "training": {
            "epochs": len(history),
            "steps": changes.get("steps", 5 * len(history)),
            "seconds": 60.0,
            "wait_share": 0.0,
            "best_epoch": 1,
            "best_val_mae": 1.0,
            "history": history,
        },
        "results": {
            "mae": float(np.abs(p - t).mean()),
            "rmse": float(np.sqrt(((p - t) ** 2).mean())),
            "nae": 0.1,
            "game": [float(np.abs(p - t).mean())] * 4,  # every head lies in one cell
            "own_points": changes.get("own_points", False),
            "per_image": images,
        },
    }
    identity = json.loads(json.dumps(identity))
    identifier = identity_hash(identity)
    return Record.model_validate(
        {
            **base,
            "id": identifier,
            "name": f"{base['dataset']}-{method}-{identifier[:8]}",
            "method_title": method.upper(),
            "dataset_title": base["dataset"],
            "folds": changes.get("folds", 0),
            "recipe": changes.get("recipe", "common"),
            "budget": changes.get("budget", "quick"),
            "plugin": {"distribution": "d", "version": "1"},
            "identity": identity,
            "status": status,
            "message": changes.get("message", ""),
            **(finished if status == "ok" else {}),
        }
    )


def written(folder: Path, record: Record) -> Path:
    (folder / record.name).mkdir(parents=True, exist_ok=True)
    return write(folder / record.name, record)


def column(table: Table, header: str) -> dict[str, Cell]:
    number = table.headers.index(header)
    return {row[0].text: row[number] for row in table.rows}


def with_groups(record: Record, groups: list[dict[str, str]], **protocol: str) -> Record:
    content = record.model_dump()
    for image, own in zip(content["results"]["per_image"], groups, strict=True):
        image["groups"] = own
    content["identity"]["protocol"] = protocol
    content["id"] = identity_hash(content["identity"])
    return Record.model_validate(content)


def changed(record: Record, **changes: Any) -> Record:
    """`record` with other fields, which its identity and its name follow; `plugin` is (distribution, version)."""
    content = record.model_dump()
    for key, value in changes.items():
        if key == "extra":
            content["results"]["extra"] = value
        elif key == "data":
            content["data"]["fingerprint"] = content["identity"]["data"] = value
        elif key == "plugin":
            content["plugin"] = dict(zip(("distribution", "version"), value, strict=True))
            content["identity"]["plugin"] = list(value)
        elif key == "identity":
            content["identity"] = value
        else:
            content[key] = content["identity"][key] = value
    content["id"] = identity_hash(content["identity"])
    content["name"] = f"{content['dataset']}-{content['method']}-{content['id'][:8]}"
    return Record.model_validate(content)


def copies(record: Record, seeds: int) -> list[Record]:
    return [changed(record, seed=seed) for seed in range(seeds)]


def drawn(method: str, noise: float, images: int = 40, **changes: Any) -> Record:
    """A record of made-up counts: `noise` is the spread of its errors; `fold` and `seed` are drawn apart."""
    generator = np.random.default_rng([len(method), changes.get("fold", 0), changes.get("seed", 0)])
    true = np.random.default_rng(changes.get("fold", 0)).uniform(50, 150, images).round()
    predicted = true + generator.normal(0, noise, images)
    return make_record(method, tuple(true), tuple(predicted), **changes)
