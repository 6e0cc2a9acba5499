"""Precision, recall and F1 in tables: sums over a run's images, means over runs, nothing where nothing was measured."""

from __future__ import annotations

import csv
from typing import Any

import pytest
from made_records import column, make_record

from harness.host.plugins import load_host
from harness.reporting import write
from harness.reporting.html import page
from harness.reporting.localisation import localisation_table
from harness.reporting.rows import comparisons
from harness.reporting.tables import Table
from harness.runs.records import Record

TRUE, POINTS = (10, 20, 30), (12, 19, 29)  # 60 heads, 60 points


def located(*matched: dict[str, int]) -> list[tuple[int, dict[str, int]]]:
    return list(zip(POINTS, matched, strict=True))


def table_of(*found: Record) -> Table | None:
    return localisation_table(comparisons(found)[0])


def record(method: str = "mcnn", found: tuple[int, int, int] = (5, 5, 5), **changes: Any) -> Record:
    matched = [{"4": number, "8": 2 * number} for number in found]
    return make_record(method, TRUE, POINTS, located=located(*matched), **changes)


def test_the_heads_to_find_are_those_of_a_run() -> None:
    """Points are means over runs, each of which has the heads of its own fold."""
    table = table_of(record(fold=0, folds=2), record(fold=1, folds=2))
    assert table is not None
    heads = sum(image.true for image in record().results.per_image)  # type: ignore[union-attr]
    assert any(note.startswith(f"{heads:.0f} heads are annotated in the mean of its folds") for note in table.notes)


def test_numbers_are_of_sums_over_images_and_means_over_runs() -> None:
    table = table_of(record(), record(seed=1, found=(10, 1, 1)), record("p2p", found=(5, 6, 7), own_points=True))
    assert table is not None and table.name == "synth-common-quick-localisation"
    assert column(table, "F1 within 4 px")["MCNN"].value == pytest.approx((15 / 60 + 12 / 60) / 2)
    assert column(table, "recall within 8 px")["P2P"].value == pytest.approx(36 / 60)
    assert [column(table, "points from")[name].value for name in ("MCNN", "P2P")] == ["peaks", "its own"]
    assert column(table, "points predicted")["MCNN"].value == 60 and column(table, "heads counted")["P2P"].value == 60
    lines = {line["method"]: line for line in csv.DictReader(table.csv().splitlines())}
    assert float(lines["MCNN"]["precision within 4 px"]) == pytest.approx(0.225)
    assert not any("box" in word for word in (*table.headers, *table.notes))


def test_boxes_have_columns_and_a_note() -> None:
    boxes = {"4": 1, "8": 2, "box small": 3, "box large": 4}
    table = table_of(make_record("mcnn", TRUE, POINTS, located=located(boxes, boxes, boxes)))
    assert table is not None and column(table, "F1 box large")["MCNN"].value == pytest.approx(12 / 60)
    assert any(note.startswith("box small, box large: ") for note in table.notes)


def test_runs_without_points_have_no_row_and_no_table() -> None:
    assert table_of(make_record()) is None
    table = table_of(record("p2p"), make_record("mcnn"), record("csrnet"), make_record("csrnet", seed=1))
    assert table is not None and [row[0].value for row in table.rows] == ["P2P"]


def test_nothing_predicted_has_no_precision() -> None:
    nothing = [(0, {"4": 0, "8": 0})] * 3
    table = table_of(make_record("mcnn", TRUE, (0, 0, 0), located=nothing), record("p2p"))
    assert table is not None and column(table, "precision within 4 px")["MCNN"].value is None
    assert column(table, "F1 within 4 px")["MCNN"].value == 0


def test_the_page_and_the_leaderboard_have_it() -> None:
    host, found = load_host(), comparisons([record()])
    tables = write.tables_of(found, list(found[0].records), [], host)
    assert "synth-common-quick-localisation" in [table.name for table in tables]
    made = write.files(tables, found, found[0].records, [], host, {})
    assert "<button>F1 within 4 px</button>" in made["report.html"] == page(tables, found, 1, [], host, {})
    assert "F1 within 4 px" in made["LEADERBOARD.md"] and "tables/synth-common-quick-localisation.csv" in made
