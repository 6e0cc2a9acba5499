"""Columns of tables: none without anything in it, and those of plugins' metrics."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

from made_records import changed, column, comparison, make_record, written

from harness import metrics
from harness.host.plugins import load_host
from harness.reporting.comparison import comparison_table
from harness.reporting.rows import comparisons
from harness.reporting.tables import Cell, Table, short
from harness.runs import records

BIAS = metrics.Metric("bias", "mean bias", lambda true, predicted: 0.0)
KNOWN = {"bias": BIAS, "hits": metrics.Metric("hits", "hits|close", lambda true, predicted: 0.0, "higher")}


def test_columns_without_anything_are_left_out_of_every_form() -> None:
    rows = ((Cell("a", "a"), Cell(), Cell("0", 0.0), Cell("–", "")), (Cell("b", "b"), Cell(), Cell(), Cell("x", "x")))
    table = Table("t", "T", ("method", "nothing", "zero", "word"), rows)
    assert table.headers == ("method", "zero", "word") and table.as_json()["columns"] == ["method", "zero", "word"]
    assert table.csv().splitlines() == ["method,zero,word", "a,0.0,", "b,,x"]
    assert "nothing" not in table.markdown()
    assert Table("t", "T", ("method", "x"), ()).headers == ("method", "x")


def test_what_all_rows_have_is_said_once_by_markdown_alone() -> None:
    """A column of settings; not where rows differ, where there is one row, or where the column is no setting."""
    rows = tuple((Cell(name, name), Cell("1", 1), Cell("CPU", "CPU"), Cell("5", 5)) for name in "ab")
    floor = (Cell("floor", "floor"), Cell(), Cell(), Cell())
    headers = ("method", "runs", "device", "MAE")
    table = Table("t", "T", headers, (*rows, floor), settings=frozenset({"runs", "device"}))
    assert "| method   |   MAE |" in table.markdown() and table.markdown().endswith(
        "- in every row: runs 1, device CPU"
    )
    assert table.csv().splitlines()[:2] == ["method,runs,device,MAE", "a,1,CPU,5"]
    assert "in every row" not in Table("t", "T", headers, rows[:1], settings=table.settings).markdown()
    other = (Cell("c", "c"), Cell("2", 2), Cell("CPU", "CPU"), Cell("5", 5))
    assert "- in every row: device CPU" in Table("t", "T", headers, (*rows, other), settings=table.settings).markdown()


def test_a_short_table_keeps_the_notes_that_warn() -> None:
    notes = ("budget", "recipe", "seeds", "fingerprint", "**not the authors' own files**: 402 fewer")
    made = short(Table("t", "T", ("method",), ((Cell("m", "m"),),), notes))
    assert [line for line in made.splitlines() if line.startswith("- ")] == [f"- {notes[n]}" for n in (0, 1, 2, 4)]
    alone = comparison_table(comparisons([make_record()])[0], [])
    assert not {"behind the best", "published MAE", "published − measured"} & set(alone.headers)


def test_metrics_of_plugins_are_columns_of_every_form() -> None:
    found = comparisons(
        [
            changed(make_record(), extra={"bias": 1.0, "hits": 0.25}),
            changed(make_record(seed=1), extra={"bias": -4.0, "hits": 0.5}),
            changed(make_record("csrnet", predicted=(13, 23, 33)), extra={"bias": None, "hits": 0.1}),
            make_record("hsrnet", predicted=(14, 24, 34)),
        ]
    )[0]
    table = comparison_table(found, [], KNOWN)
    bias, hits = column(table, "mean bias ↓"), column(table, "hits|close ↑")
    assert bias["MCNN"].value == -1.5 and hits["MCNN"].value == 0.375 and hits["CSRNET"].value == 0.1
    assert bias["CSRNET"].value is None and bias["HSRNET"].value is None and hits["HSRNET"].value is None
    lines = list(csv.DictReader(table.csv().splitlines()))
    assert [line["hits|close ↑"] for line in lines[:3]] == ["0.375", "0.1", ""]
    assert table.as_json()["rows"][0]["mean bias ↓"] == -1.5
    assert "| hits\\|close ↑ |" in re.sub(" +", " ", table.markdown())
    unknown = comparison_table(found, [])
    assert column(unknown, "bias")["MCNN"].value == -1.5 and "hits" in unknown.headers
    taken = comparison_table(comparisons([changed(make_record(), extra={"MAE": 7.0})])[0], [])
    assert column(taken, "MAE (MAE)")["MCNN"].value == 7.0 and column(taken, "MAE")["MCNN"].value != 7.0


def test_a_mean_over_runs_that_lack_a_metric_is_not_taken() -> None:
    found = comparisons([changed(make_record(), extra={"bias": 1.0}), make_record(seed=1)])[0]
    assert "mean bias ↓" not in comparison_table(found, [], KNOWN).headers


def test_titles_of_metrics_come_from_the_plugin_that_is_loaded(tmp_path: Path, harness: Any) -> None:
    written(tmp_path / "runs", changed(make_record(), extra={"bias": 1.25}))
    (tmp_path / "bias.py").write_text(
        "from harness import Metric, hookimpl\n"
        "@hookimpl\n"
        "def harness_metrics(): return [Metric('bias', 'mean bias', lambda true, predicted: 0.0, better='higher')]\n"
    )
    host = load_host([tmp_path / "bias.py"])
    assert " mean bias ↑ |" in comparison(records.read_all([tmp_path / "runs"])[0], host, compact=True)
    for arguments, heading in (((), "bias"), (("--plugin", "bias.py"), "mean bias ↑")):
        assert harness("report", *arguments).returncode == 0
        reports = tmp_path / "reports"
        assert f" {heading} |" in (reports / "LEADERBOARD.md").read_text()
        assert f"<button>{heading}</button>" in (reports / "report.html").read_text()
        assert json.loads((reports / "tables.json").read_text())[0]["rows"][0][heading] == 1.25
        assert f",{heading}," in (reports / "tables" / "synth-common-quick.csv").read_text()
