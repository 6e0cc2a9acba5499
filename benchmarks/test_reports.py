"""A report of 10,000 records: every table, CSV, JSON and the HTML page."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.run import identity_hash

RECORDS = 10_000
SOURCE = Path(__file__).parents[1] / "tests" / "records" / "v1.json"


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    record = json.loads(SOURCE.read_text())
    for seed in range(RECORDS):
        record["seed"] = record["identity"]["seed"] = seed
        record["id"] = identity_hash(record["identity"])
        record["name"] = f"run-{seed}-{record['id'][:8]}"
        (folder / "runs" / record["name"]).mkdir(parents=True)
        (folder / "runs" / record["name"] / "record.json").write_text(json.dumps(record))
    return folder


def test_report_of_10000_records(benchmark: Any, many: Path) -> None:
    command = [str(Path(sys.executable).with_name("harness")), "report"]
    benchmark.pedantic(lambda: subprocess.run(command, cwd=many, check=True, capture_output=True), rounds=3)
    assert f"{RECORDS} records" in (many / "reports" / "report.html").read_text()
