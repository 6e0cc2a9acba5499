"""The smoke budget: its table says what ran, and no error of it."""

from __future__ import annotations

from made_records import column, comparison, make_record

from harness.host.plugins import load_host
from harness.reporting.leaderboard import all_tables, leaderboard
from harness.reporting.rows import comparisons


def test_smoke_says_what_ran_and_no_error() -> None:
    """Two methods on two benchmarks, a variant, a failure: nowhere a count's error, nor a rank, nor the floor."""
    records = [
        make_record(method, dataset=dataset, budget="smoke", predicted=(1234.5, 1234.5, 1234.5), **changes)
        for dataset in ("shtech_a", "shtech_b")
        for method, changes in (("mcnn", {}), ("csrnet", {}), ("csrnet", {"variant": "b"}))
    ]
    records.append(make_record("sasnet", dataset="shtech_a", budget="smoke", status="failed", message="no room"))
    found = comparisons(records)
    tables = [table for table in all_tables(found, [], [], load_host()) if "published" not in table.name]
    assert [table.name for table in tables] == ["shtech_a-common-smoke", "shtech_b-common-smoke"]
    results = column(tables[0], "result")
    assert {title: cell.text for title, cell in results.items()} == {
        "CSRNET": "trained and tested",
        "CSRNET [b]": "trained and tested",
        "MCNN": "trained and tested",
        "SASNET (0 of 1 seeds)": "failed",
    }
    text = leaderboard(tables, []) + comparison(records, load_host(), compact=True)
    assert "no room" in text and "floor" not in text and "122" not in text and "121" not in text
    assert "trained and tested" in comparison(records, load_host(), compact=True)
