"""Versions of plugins and sets of files: what stands in whose place, what is hidden, how rows are told apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_records import changed, column, make_record, written

from harness.reporting.ablation import ablation_tables
from harness.reporting.comparison import comparison_table
from harness.reporting.difference import difference
from harness.reporting.groups import group_tables
from harness.reporting.overall import overall_tables
from harness.reporting.rows import Comparison, comparisons
from harness.reporting.versions import order_of
from harness.runs.records import Record


def diff_rows(before: list[Record], after: list[Record]) -> dict[str, list[str]]:
    lines = [line for line in difference(before, after).splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row[1:] for row in cells if row[0] != "method"}


def test_a_diff_loses_no_row_of_a_side_that_has_two_versions_or_two_sets_of_files() -> None:
    one = make_record(predicted=(20, 30, 40))
    old, new = changed(one, plugin=("d", "1.9")), changed(make_record(), plugin=("d", "1.10"))
    other_files = make_record(data="d2" * 12, predicted=(15, 25, 35))
    rows = diff_rows([], [old, new, other_files])
    assert {name: row[0].partition(" ")[0] for name, row in rows.items()} == {
        "MCNN, version 1.9, data d1": "10.0",
        "MCNN, version 1.10, data d1": "1.00",
        "MCNN, version 1, data d2d2d2d2": "5.00",
    }
    assert {row[1] for row in rows.values()} == {"new"}
    rows = diff_rows([old, new, other_files], [old])
    assert len(rows) == 2 and {row[1] for row in rows.values()} == {"gone"}
    assert "3 rows unchanged." in difference([old, new, other_files], [new, other_files, old])


def test_a_caption_says_which_versions_trained() -> None:
    records = [
        changed(make_record(method), plugin=("d", version)) for method, version in (("mcnn", "1"), ("csrnet", "2"))
    ]
    failed = changed(make_record("zip", status="failed"), plugin=("d", "3"))
    (comparison,) = comparisons([*records, failed])
    assert "trained by d 1, d 2" in comparison_table(comparison, []).notes


def test_a_diff_sets_a_new_version_or_new_files_against_what_was_there() -> None:
    old = changed(make_record(predicted=(20, 30, 40)), plugin=("d", "1.9"))
    new = changed(make_record(predicted=(11, 21, 31)), plugin=("d", "1.10"))
    assert diff_rows([old], [new])["MCNN"][-2:] == ["-9.0 [-9.0, -9.0]", "better; plugin 1.9 → 1.10"]
    assert diff_rows([new], [old])["MCNN"][-2:] == ["+9.0 [+9.0, +9.0]", "worse; plugin 1.10 → 1.9"]
    kept = diff_rows([old], [old, new])  # the old one is still there, unchanged
    assert kept["MCNN, version 1.10"][-1] == "better; plugin 1.9 → 1.10"
    later = changed(make_record(), plugin=("d", "1.11"))
    assert diff_rows([old, new], [later, new])["MCNN, version 1.11"][0].startswith("10.0")
    files = changed(old, data="d2")
    assert diff_rows([old], [files])["MCNN"][-1] == "no clear change; data d1 → d2"
    single = [changed(old, plugin=("my.py", digest)) for digest in ("0123456789ab", "ba9876543210")]
    assert diff_rows(single[:1], single[1:])["MCNN"][-1].endswith("plugin 0123456789ab → ba9876543210")


def test_versions_are_ordered_as_packaging_orders_them() -> None:
    version = pytest.importorskip("packaging.version").Version
    texts = [
        *(
            "0.9",
            "1.0",
            "1.0.0",
            "1.0.1",
            "1.9",
            "1.10",
            "2",
            "v2.1",
            "1.0.dev1",
            "1.0.dev10",
            "1.0a1.dev2",
            "1.0a1",
            "1.0a2",
        ),
        *(
            "1.0b1",
            "1.0.beta2",
            "1.0rc1",
            "1.0-rc.2",
            "1.0.post1",
            "1.0.post1.dev3",
            "1.0.post2",
            "2024.5.1",
            "10",
            "0",
        ),
    ]
    for one in texts:
        for other in texts:
            orders = order_of(one), order_of(other)
            assert orders[0] is not None and orders[1] is not None
            assert (orders[0] < orders[1], orders[0] == orders[1]) == (
                version(one) < version(other),
                version(one) == version(other),
            ), (one, other)
    assert order_of("1.2+cu118") == order_of("1.2")
    assert [order_of(text) for text in ("0123456789ab", "123456789012", "unknown", "missing", "1.x", "")] == [None] * 6


def versions_of(found: list[Comparison]) -> list[str]:
    return [row.title for row in found[0].rows]


def test_a_superseded_version_is_hidden_with_the_failures_it_mended() -> None:
    old = changed(make_record(predicted=(13, 23, 33)), plugin=("d", "1.9"))
    failed = changed(make_record(status="failed", message="ValueError: no", seed=1), plugin=("d", "1.9"))
    new = changed(make_record(), plugin=("d", "1.10"))
    other = changed(make_record("csrnet", predicted=(14, 24, 34)), plugin=("d", "1.9"))
    found = comparisons([old, failed, new, other])
    assert versions_of(found) == ["MCNN", "CSRNET"]
    assert {r.id for r in found[0].hidden} == {old.id, failed.id} and found[0].records == (new, other)
    table = comparison_table(found[0], [])
    assert (
        "left out, of superseded versions: MCNN 1.9 (2 runs); `harness report --all-versions` shows them" in table.notes
    )
    assert not any("ValueError" in note for note in table.notes) and column(table, "runs")["MCNN"].value == 1
    every = comparisons([old, failed, new, other], all_versions=True)
    assert versions_of(every) == ["MCNN, version 1.10", "CSRNET", "MCNN, version 1.9"] and every[0].hidden == ()
    assert any("ValueError" in note for note in comparison_table(every[0], []).notes)


def test_what_hides_an_older_version() -> None:
    def of(version: str, **changes: Any) -> Record:
        return changed(make_record(**changes), plugin=("d", version))

    failed = of("2.0", status="failed")
    assert versions_of(comparisons([of("1.0"), failed])) == ["MCNN, version 1.0", "MCNN, version 2.0"]
    assert versions_of(comparisons([of("1.0", status="oom"), failed])) == ["MCNN"]
    assert len(versions_of(comparisons([of("1.0"), changed(of("2.0"), precision="mixed_bfloat16")]))) == 2
    assert len(comparisons([of("1.0"), of("2.0", data="d2")])) == 2
    digests = [changed(make_record(), plugin=("my.py", digest)) for digest in ("0123456789ab", "111111111111")]
    assert versions_of(comparisons(digests)) == ["MCNN, version 0123456789ab", "MCNN, version 111111111111"]
    elsewhere = changed(make_record(), plugin=("my.py", "0123456789ab"))
    assert versions_of(comparisons([of("1.0"), elsewhere])) == ["MCNN, d 1.0", "MCNN, my.py 0123456789ab"]


def test_rows_of_one_name_are_told_apart_in_every_table() -> None:
    one, half = make_record(), changed(make_record(predicted=(13, 19, 30)), precision="mixed_bfloat16")
    found = comparisons([one, half])
    names = ["MCNN, float32", "MCNN, mixed_bfloat16"]
    assert versions_of(found) == names
    assert [row[0].text for row in group_tables(found[0], [])[0].rows] == names


def test_a_variant_is_set_against_the_whole_method_of_its_own_version() -> None:
    old = changed(make_record("hsrnet", predicted=(20, 30, 40)), plugin=("d", "1"))
    new = changed(make_record("hsrnet", predicted=(12, 22, 32)), plugin=("d", "2"))
    variant = changed(old, variant="baseline")
    (table,) = ablation_tables(comparisons([new, variant, old]), [])
    assert table.title.endswith("variants of HSRNET")
    assert [row[0].text for row in table.rows] == ["HSRNET, version 2", "HSRNET [baseline], version 1"]
    assert "against the whole method" not in table.headers
    (table,) = ablation_tables(comparisons([new, variant, old], all_versions=True), [])
    change = column(table, "against the whole method")
    assert change["HSRNET [baseline], version 1"].text == "+0.0 [+0.0, +0.0]"


def test_all_versions_on_the_command_line(tmp_path: Path, harness: Any) -> None:
    for version in ("1.9", "1.10"):
        written(tmp_path / "runs", changed(make_record(), plugin=("d", version)))
    board = tmp_path / "reports" / "LEADERBOARD.md"
    assert harness("report").returncode == 0
    text = board.read_text()
    assert "| MCNN, version" not in text and "MCNN 1.9 (1 run)" in text
    assert harness("report", "--all-versions").returncode == 0
    text = board.read_text()
    assert "| MCNN, version 1.9 " in text and "| MCNN, version 1.10 " in text and "superseded" not in text


def test_methods_of_other_versions_are_apart_across_benchmarks() -> None:
    first = changed(make_record(dataset="shtech_a"), plugin=("d", "1"))
    second = changed(make_record(dataset="shtech_b"), plugin=("d", "2"))
    table = overall_tables(comparisons([first, second]))[0]
    assert [row[0].text for row in table.rows] == ["MCNN, version 1", "MCNN, version 2"]
