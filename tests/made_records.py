"""Made-up records for the tests of reports, beside those of `test_records.make_record`."""

from __future__ import annotations

from typing import Any

import numpy as np
from test_records import make_record

from harness.reporting.tables import Cell, Table
from harness.run import identity_hash
from harness.runs.records import Record


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
