"""Tables of made-up records, computed again by hand; regeneration; merging; the papers' contradictions."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import ROOT
from made_records import column, make_record, with_groups, written

from harness.commands.cli import cli
from harness.errors import HarnessError
from harness.host.plugins import load_host
from harness.reporting import published
from harness.reporting.comparison import comparison_table
from harness.reporting.conflicts import conflicts
from harness.reporting.difference import difference
from harness.reporting.groups import group_tables, jhu_category
from harness.reporting.overall import BENCHMARKS, overall_tables
from harness.reporting.papers import published_table
from harness.reporting.published import PublishedValue
from harness.reporting.rows import comparisons
from harness.reporting.runtime import runtime_tables
from harness.reporting.tables import Cell, Score, Table, ranked
from harness.runs import examples, records, runtime_records
from harness.runs.merging import merge
from harness.runs.records import Record
from harness.runs.runtime_records import RuntimeRecord

HOST = load_host()


def test_best_second_gap_and_distance_by_hand() -> None:
    host_values = [PublishedValue("A paper", "Table 1", "mcnn", "synth", "mae", 0.5)]
    found = comparisons(
        [
            make_record("mcnn", predicted=(12, 19, 30)),  # errors 2, 1, 0
            make_record("csrnet", predicted=(14, 24, 34)),  # 4, 4, 4
            make_record("hsrnet", predicted=(19, 29, 39)),  # 9, 9, 9
        ]
    )[0]
    table = comparison_table(found, host_values)
    assert [cell.rank for cell in column(table, "MAE").values()] == ["best", "second", "", ""]
    assert column(table, "MAE")["MCNN"].markdown.startswith("**1.00 [")
    assert column(table, "MAE")["CSRNET"].markdown.startswith("<u>4.00 [")
    assert column(table, "published − measured")["MCNN"].text == "-0.50"
    behind = column(table, "behind the best")["CSRNET"].value
    assert isinstance(behind, Score) and behind.value == pytest.approx(3.0) and 2 <= behind.low < behind.high <= 4
    assert column(table, "behind the best")["MCNN"].value is None


def test_ties_share_a_mark_and_a_lone_row_has_none() -> None:
    assert [cell.rank for cell in ranked([Cell("1", 1.0), Cell("1", 1.0), Cell("2", 2.0), Cell()])] == [
        "best",
        "best",
        "second",
        "",
    ]
    assert ranked([Cell("1", 1.0)])[0].rank == ""


def test_far_better_than_the_paper_is_flagged() -> None:
    found = comparisons([make_record("mcnn", dataset="shtech_a")])[0]  # MAE 1 where 110 is published
    table = comparison_table(found, published.gather(HOST))
    assert "FAR BETTER THAN ITS PAPER" in table.rows[0][0].text
    assert any("scaling bug or a leak" in note for note in table.notes)
    usual = comparisons([make_record("mcnn", dataset="shtech_a", predicted=(120, 130, 140))])[0]
    assert "FAR BETTER" not in comparison_table(usual, published.gather(HOST)).markdown()


def test_errors_by_level_and_equal_groups_by_hand() -> None:
    true = (0, 100, 300, 301, 700, 701, 900, 2000)
    record = make_record(true=true, predicted=tuple(t + n for n, t in enumerate(true)))
    table = group_tables(comparisons([record])[0], [])[0]
    row = {header: column(table, header)["MCNN"].value for header in table.headers[1:]}
    assert row["low (≤ 300)"] == pytest.approx((0 + 1 + 2) / 3)
    assert row["middle (≤ 700)"] == pytest.approx((3 + 4) / 2)
    assert row["high (> 700)"] == pytest.approx((5 + 6 + 7) / 3)
    assert [row[name] for name in table.headers[4:8]] == pytest.approx([0.5, 2.5, 4.5, 6.5])
    assert row["bias"] == pytest.approx(3.5)  # all of them too high
    assert row["GAME(0)"] == pytest.approx(3.5) and row["GAME(3)"] == pytest.approx(3.5)


def test_worldexpo_by_scene_with_the_papers_rows() -> None:
    scenes = [{"scene": f"S{n}"} for n in (1, 1, 2, 3, 4, 5)]
    record = make_record(dataset="worldexpo10", true=(10,) * 6, predicted=(11, 13, 15, 10, 10, 10))
    found = comparisons([with_groups(record, scenes, mean_of="scene")])[0]
    assert found.rows[0].mae is not None and found.rows[0].mae.value == pytest.approx((2 + 5) / 5)
    table = group_tables(found, published.gather(HOST))[0]
    assert table.headers == ("method", "S1", "S2", "S3", "S4", "S5", "average")
    assert [cell.value for cell in table.rows[0][1:]] == pytest.approx([2, 5, 0, 0, 0, 7 / 5])
    printed = next(row for row in table.rows if row[0].text.startswith("*ssr_hef, published"))
    assert [cell.value for cell in printed[1:]] == [1.9, 9.8, 8.4, 10.0, 2.4, 6.5]  # SSR-HEF, Table III


def test_a_test_set_that_is_not_the_authors_is_said() -> None:
    protocol = HOST.benchmark("nwpu_crowd").protocol
    record = make_record(dataset="nwpu_crowd")
    other = with_groups(record, [{}] * 3, tested_on=protocol["tested_on"])
    said = "tested on the authors' validation set, for their test set has no public labels"
    table = comparison_table(comparisons([other])[0], published.gather(HOST))
    assert said in table.notes
    assert not any("tested on" in note for note in comparison_table(comparisons([record])[0], []).notes)
    printed = dict(zip(table.headers, table.rows[0], strict=True))["published MAE"]
    assert printed.value == 218.53  # of the validation set; 232.5 is of the test set


def test_jhu_by_category_in_the_papers_layout() -> None:
    groups = [
        {"level": "Low", "weather": "none", "distractor": "none"},
        {"level": "Medium", "weather": "Weather", "distractor": "none"},
        {"level": "High", "weather": "none", "distractor": "none"},
        {"level": "Low", "weather": "none", "distractor": "Distractors"},
    ]
    record = make_record(dataset="jhu_crowd", true=(10, 100, 1000, 0), predicted=(11, 102, 1004, 8))
    table = group_tables(comparisons([with_groups(record, groups)])[0], published.gather(HOST))[0]
    row = dict(zip(table.headers, table.rows[0], strict=True))
    names = ("Distractors", "Low", "Medium", "High", "Weather", "Overall")
    assert [row[f"{name} MAE"].value for name in names] == pytest.approx([8, 4.5, 2, 4, 2, 3.75])
    assert row["Low RMSE"].value == pytest.approx(np.sqrt((1 + 64) / 2))
    printed = next(row for row in table.rows if row[0].text.startswith("*csrnet, published"))
    assert [cell.value for cell in printed[1:5]] == [44.3, 102.4, 15.8, 39.9]  # SSR-HEF, Table IV


def test_jhu_categories_are_those_the_reader_gives(tmp_path: Path) -> None:
    benchmark = HOST.benchmark("jhu_crowd")
    assert benchmark.write is not None
    benchmark.write(tmp_path, 12, 0)
    samples = benchmark.index(tmp_path)
    images = [
        records.ImageCount(
            image=s.name,
            true=0,
            predicted=0,
            true_grid=[0] * 64,
            predicted_grid=[0] * 64,
            seconds=0,
            groups=dict(s.groups),
        )
        for s in samples
    ]
    levels = sum(sum(map(jhu_category(name), images)) for name in ("Low", "Medium", "High"))
    assert levels == len(images) == sum(map(jhu_category("Overall"), images))
    assert sum(map(jhu_category("Weather"), images)) > 0


def test_the_overall_leaderboard_ranks_only_what_is_complete() -> None:
    def everywhere(method: str, error: float, names: Any) -> list[Record]:
        return [make_record(method, dataset=name, predicted=(10 + error, 20 + error, 30 + error)) for name in names]

    names = list(BENCHMARKS)
    found = everywhere("mcnn", 1, names) + everywhere("csrnet", 2, names) + everywhere("hsrnet", 0.5, names[:4])
    table = overall_tables(comparisons(found))[0]
    assert {name: cell.text for name, cell in column(table, "mean rank").items()} == {
        "MCNN": "1.0",
        "CSRNET": "2.0",
        "HSRNET": "4 of 6",
    }
    assert [row[0].text for row in table.rows] == ["MCNN", "CSRNET", "HSRNET"]


def test_without_a_complete_method_the_best_on_the_first_benchmark_is_first() -> None:
    """And the lowest of each benchmark is bold; the column says on how many of them a method is."""
    found = [make_record("mcnn", dataset=name, predicted=(12, 22, 32)) for name in ("shtech_a", "shtech_b")]
    found += [make_record("csrnet", dataset="shtech_a", predicted=(11, 21, 31))]
    found += [make_record("zip", dataset="shtech_b", predicted=(11, 21, 31))]
    table = overall_tables(comparisons(found))[0]
    assert [(row[0].text, row[1].text) for row in table.rows] == [
        ("CSRNET", "1 of 6"),
        ("MCNN", "2 of 6"),
        ("ZIP", "1 of 6"),
    ]
    assert table.headers[1] == "benchmarks"
    assert [row[2].rank for row in table.rows] == ["best", "second", ""]
    assert [row[3].rank for row in table.rows] == ["", "second", "best"]


def test_what_several_papers_print_alike_is_one_row_under_the_methods_title() -> None:
    def printed(paper: str, method: str, mae: float) -> PublishedValue:
        return PublishedValue(paper, "Table 1", method, "shtech_a", "mae", mae)

    values = [
        printed("B", "mcnn", 110.2),
        printed("A", "mcnn", 110.2),
        printed("C", "mcnn", 111.0),
        printed("A", "Else", 9),
    ]
    table = published_table("shtech_a", "A", values, HOST.methods)
    assert table is not None
    assert [(row[0].text, row[1].value, row[3].text if len(row) > 3 else row[2].text) for row in table.rows] == [
        ("Else", 9, "A, Table 1"),
        ("MCNN", 110.2, "A, Table 1; B, Table 1"),
        ("MCNN", 111.0, "C, Table 1"),
    ]


def test_variants_are_set_beside_the_whole_method() -> None:
    from harness.reporting.ablation import ablation_tables
    from harness.run import identity_hash

    whole = make_record("hsrnet", dataset="shtech_a", predicted=(80, 90, 100))
    content = make_record("hsrnet", dataset="shtech_a", predicted=(85, 95, 105)).model_dump()
    content["variant"] = content["identity"]["variant"] = "baseline"
    content["id"] = identity_hash(content["identity"])
    tables = ablation_tables(comparisons([whole, Record.model_validate(content)]), published.gather(HOST))
    assert [table.title for table in tables] == ["shtech_a: budget quick, recipe common: variants of HSRNET"]
    change = column(tables[0], "against the whole method")
    assert change["HSRNET [baseline]"].text == "+5.0 [+5.0, +5.0]" and change["HSRNET"].value is None
    printed = {
        v.value
        for v in published.gather(HOST)
        if (v.method, v.dataset, v.metric) == ("hsrnet[baseline]", "shtech_a", "mae")
    }
    assert printed and column(tables[0], "published MAE")["HSRNET [baseline]"].value == min(printed)
    assert ablation_tables(comparisons([whole]), []) == []


def test_budgets_are_never_mixed() -> None:
    found = [
        make_record(dataset=name, budget=budget)
        for name in ("shtech_a", "shtech_b")
        for budget in ("standard", "quick")
    ]
    titles = [table.title for table in overall_tables(comparisons(found))]
    assert titles == ["All benchmarks: budget standard, recipe common", "All benchmarks: budget quick, recipe common"]


def test_csv_and_json_hold_the_table() -> None:
    table = comparison_table(comparisons([make_record(), make_record("csrnet", predicted=(10, 10, 10))])[0], [])
    lines = list(csv.DictReader(table.csv().splitlines()))
    assert lines[0]["method"] == "MCNN" and lines[1]["method"].startswith("CSRNET")
    assert float(lines[0]["MAE"]) == 1.0 and float(lines[0]["MAE low"]) <= 1.0 <= float(lines[0]["MAE high"])
    shown = json.loads(json.dumps(table.as_json()))
    assert shown["rows"][0]["MAE"]["value"] == 1.0 and shown["columns"][0] == "method"


def runtime_record(**changes: Any) -> RuntimeRecord:
    base: dict[str, Any] = {
        "method": "mcnn",
        "variant": "",
        "title": "MCNN",
        "plugin": "d 1",
        "height": 512,
        "width": 1024,
        "precision": "float32",
        "parameters": 1,
        "inference_parameters": 1_000_000,
        "inference_megabytes": 4.0,
        "multiply_adds": 2_000_000_000,
        "not_counted": [],
        "milliseconds": [10.0, 30.0, 20.0],
        "peak_memory_mib": 100.0,
        "environment": {"device": "CPU (2 cores, x)", "backend": "tensorflow", "versions": {"keras": "3"}},
    }
    return RuntimeRecord.model_validate({**base, **changes})


def test_runtime_table_by_hand() -> None:
    slow = runtime_record(method="other", title="Other", milliseconds=[50.0], not_counted=["Mystery"])
    tables = runtime_tables([slow, runtime_record(), runtime_record(precision="mixed_bfloat16")], [])
    assert len(tables) == 2
    table = next(table for table in tables if "float32" in table.title)
    assert [cell.text for cell in table.rows[0]][:7] == ["MCNN", "1.00", "4.0", "2.00", "20.0", "50.00", "100"]
    assert table.rows[1][0].text == "Other (multiply-adds without Mystery)"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for record in (make_record(), make_record("csrnet", predicted=(10, 10, 10)), make_record(seed=1)):
        written(tmp_path / "runs", record)
    runtime_records.write(tmp_path / "runs" / "runtime", runtime_record())
    return tmp_path / "runs"


def test_check_says_what_is_stale(runs: Path, harness: Any) -> None:
    assert harness("report").returncode == 0
    fresh = harness("report", "--check")
    assert fresh.returncode == 0 and "files are fresh" in fresh.stdout
    with (runs.parent / "reports" / "LEADERBOARD.md").open("a") as file:
        file.write("more\n")
    reports = runs.parent / "reports"
    (reports / "figures").mkdir(exist_ok=True)
    for name in ("tables/old.csv", "figures/old-learning.svg", "tables/mine.csv", "figures/architecture.svg"):
        (reports / name).write_text("x\n")
    said = json.loads((reports / "tables.json").read_text())
    (reports / "tables.json").write_text(json.dumps([*said, {"name": "old"}]))
    stale = harness("report", "--check")
    assert stale.returncode == 1
    assert (
        "LEADERBOARD.md: not what these records make" in stale.stdout and "old.csv: no record makes it" in stale.stdout
    )
    assert (runs.parent / "reports" / "LEADERBOARD.md").read_text().endswith("more\n"), "a check writes nothing"
    assert "old-learning.svg: no record makes it" in stale.stdout
    assert "mine.csv" not in stale.stdout and "architecture.svg" not in stale.stdout
    assert harness("report").returncode == 0
    assert not (reports / "tables" / "old.csv").exists() and not (reports / "figures" / "old-learning.svg").exists()
    assert (reports / "tables" / "mine.csv").exists() and (reports / "figures" / "architecture.svg").exists(), (
        "not ours"
    )


def test_blocks_of_a_readme_are_refreshed_in_place(runs: Path, harness: Any) -> None:
    readme = runs.parent / "README.md"
    before = "# Mine\n<!-- harness:synth-common-quick -->\nold\n<!-- /harness -->\nmy words\n"
    readme.write_text(before)
    assert harness("report", "--into", "README.md").returncode == 0
    text = readme.read_text()
    assert text.startswith("# Mine\n<!-- harness:synth-common-quick -->\n") and text.endswith(
        "<!-- /harness -->\nmy words\n"
    )
    assert "\nold\n" not in text and "**1.0 [" in text
    harness("report", "--into", "README.md")
    assert readme.read_text() == text
    readme.write_text(before.replace("quick -->", "quick short -->"))
    assert harness("report", "--into", "README.md").returncode == 0
    made = readme.read_text()
    assert made.startswith("# Mine\n<!-- harness:synth-common-quick short -->\n") and made.endswith("-->\nmy words\n")
    assert "minutes of training" in text and "minutes of training" not in made and " RMSE |" in made
    assert made.count("\n- ") == 4 < text.count("\n- ") and "**1.0 [" in made
    readme.write_text("nothing")
    bad = harness("report", "--into", "README.md")
    assert bad.returncode == 2 and "no block to refresh" in bad.stderr
    readme.write_text(before.replace("synth-common-quick", "synth-comon-quick"))
    bad = harness("report", "--into", "README.md")
    assert bad.returncode == 2 and "Did you mean 'synth-common-quick'" in bad.stderr


def test_the_committed_reports_are_what_their_records_make() -> None:
    from click.testing import CliRunner

    from harness.commands.report import command

    root = ROOT / "reports"
    asked = ["--runs", str(root / "records"), "--out", str(root), "--check", "--into", str(ROOT / "README.md")]
    done = CliRunner().invoke(command, asked)
    assert done.exit_code == 0, done.output


def test_records_of_several_machines_are_joined(tmp_path: Path) -> None:
    one, two, here = tmp_path / "one", tmp_path / "two", tmp_path / "here"
    written(one, make_record())
    written(two, make_record("csrnet"))
    assert merge([one, two], here) == type(merge([], here))((make_record().name, make_record("csrnet").name), ())
    assert len(records.read_all([here])[0]) == 2
    assert merge([one, two], here).added == ()


def test_conflicts_of_a_merge_are_named_and_nothing_is_overwritten(tmp_path: Path, harness: Any) -> None:
    written(tmp_path / "runs", make_record())
    other = make_record(predicted=(13, 19, 30))
    assert other.id == make_record().id
    written(tmp_path / "other", other)
    done = harness("report", "--merge", "other")
    assert done.returncode == 1
    assert "conflict: " in done.stdout and "disagree: MAE 1.00 and 1.33" in done.stdout
    assert records.read_all([tmp_path / "runs"])[0] == [make_record()]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"paper: a\ntables:\n  - table: t\n    rows:\n      - {method: mcnn, dataset: synth, mae: 1, mae: 2}\n",
            "'mae' is there twice",
        ),
        ("paper: Müller\ntables: []\n".encode("latin-1"), "not text in UTF-8"),
        (b"paper: a\ntables:\n- table: t\n  rows:\n  - {{method: m}}\n", "not YAML"),
        (b"paper: a\ntables: &all\n- *all\n", "table 1"),
        (b"", "file: "),
    ],
)
def test_a_published_file_that_hides_a_number_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "published.yaml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as raised:
        published.read(path)
    assert str(raised.value).startswith(str(path))


def test_a_merge_overwrites_no_run_time_and_names_what_it_leaves(tmp_path: Path) -> None:
    """Their names hold the kind of a device: two machines of one kind have measured two things."""
    here, there = tmp_path / "here", tmp_path / "there"
    runtime_records.write(here / "runtime", runtime_record())
    for one in (runtime_record(milliseconds=[999.0]), runtime_record(method="csrnet")):
        path = runtime_records.write(there / "runtime", one)
    (path.parent / f"broken{runtime_records.SUFFIX}").write_text("{}")
    broken, differing = merge([there], here).conflicts
    assert "broken" in broken and "not a valid runtime record" in broken
    assert f"{here} and {there} disagree: 20 and 999 ms; that of {here} stays" in differing
    found, _ = runtime_records.read_all([here])
    assert {one.method: one.milliseconds for one in found} == {"mcnn": [10.0, 30.0, 20.0], "csrnet": [10.0, 30.0, 20.0]}
    assert len(merge([there], here).conflicts) == 2  # again: what was added is the same now
    runtime_records.write(there / "runtime", runtime_record(parameters=2))
    assert "disagree: parameters; that of" in merge([there], here).conflicts[1]


def test_runs_behind_links_are_read_once_and_links_back_end(tmp_path: Path) -> None:
    runs, elsewhere = tmp_path / "runs", tmp_path / "elsewhere"
    written(elsewhere, make_record())
    runs.mkdir()
    (runs / "linked").symlink_to(elsewhere)
    (runs / "again").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(runs)
    (runs / "itself").symlink_to(runs / "itself")
    (runs / "nowhere").symlink_to(tmp_path / "gone")
    assert records.read_all([runs]) == ([make_record()], [])
    (elsewhere / make_record().name / records.FILE).write_text("{")
    assert len(records.read_all([runs])[1]) == 1


def test_an_ok_record_takes_the_place_of_a_failed_one(tmp_path: Path) -> None:
    written(tmp_path / "a", make_record(status="failed"))
    written(tmp_path / "b", make_record())
    assert merge([tmp_path / "b"], tmp_path / "a").added
    assert records.read_all([tmp_path / "a"])[0][0].status == "ok"


@pytest.mark.parametrize("order", [("laptop", "cluster"), ("cluster", "laptop")])
def test_a_failed_record_hides_no_finished_one(tmp_path: Path, order: tuple[str, str]) -> None:
    """It ran out of memory on one machine, and was run again on another: the run is the same one."""
    written(tmp_path / "laptop", make_record(status="oom"))
    written(tmp_path / "cluster", make_record())
    (record,), _ = records.read_all([tmp_path / name for name in order])
    assert record.status == "ok"


@pytest.mark.parametrize("where", ["machines/one/NAME", "NAME"])
def test_pictures_come_along_from_wherever_a_record_lies(tmp_path: Path, where: str) -> None:
    source = tmp_path / where.replace("NAME", make_record().name)
    source.mkdir(parents=True)
    records.write(source, make_record())
    (source / examples.FOLDER).mkdir()
    (source / examples.FOLDER / "a.jpg").write_bytes(b"jpeg")
    merge([tmp_path / "machines" if "machines" in where else source], tmp_path / "here")
    assert (tmp_path / "here" / make_record().name / examples.FOLDER / "a.jpg").read_bytes() == b"jpeg"


def test_a_run_that_a_callback_ended_is_named_under_its_table() -> None:
    content = make_record().model_dump()
    content["training"]["stopped"] = True
    table = comparison_table(comparisons([Record.model_validate(content)])[0], [])
    (line,) = (note for note in table.notes if note.startswith("**ended early**"))
    assert make_record().name in line and "after 1 epochs" in line
    assert not any("ended early" in note for note in comparison_table(comparisons([make_record()])[0], []).notes)


def test_a_diff_for_a_pull_request(runs: Path, harness: Any) -> None:
    after = runs.parent / "after"
    shutil.copytree(runs, after)
    for record in records.read_all([after])[0]:
        if record.method == "csrnet":
            shutil.rmtree(after / record.name)
    written(after, make_record("csrnet", data="d1", predicted=(11, 21, 31), seed=3))
    written(after, make_record("hsrnet"))
    text = harness("diff", "runs", "after").stdout
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("|")}
    assert "no clear change" in rows["CSRNET"] and "-9.0 [" in rows["CSRNET"]  # errors 0, 10, 20 and 1, 1, 1
    assert "new" in rows["HSRNET"] and "1 row unchanged." in text
    clear = difference([make_record(predicted=(20, 30, 40))], [make_record(predicted=(11, 21, 31), seed=3)])
    assert "| -9.0 [-9.0, -9.0] | better" in clear
    assert difference([make_record()], [make_record()]).startswith("No differences.")
    again = difference([make_record(predicted=(11, 21, 31))], [make_record(predicted=(20, 30, 40))])  # one id
    assert "+9.0 [+9.0, +9.0]" in again and "worse; the same runs, with other results" in again


def test_a_diff_of_what_cannot_be_read_ends_with_1(tmp_path: Path) -> None:
    for side in ("before", "after"):
        written(tmp_path / side, make_record())
    (record,) = (tmp_path / "after").glob("*/record.json")
    record.write_text("{")
    done = CliRunner().invoke(cli, ["diff", str(tmp_path / "before"), str(tmp_path / "after")])
    assert done.exit_code == 1 and "gone" in done.output and f"{record}: not a valid record" in done.output


def test_a_rounded_number_and_a_contradiction_are_told_apart() -> None:
    def value(number: float, paper: str, **where: str) -> PublishedValue:
        return PublishedValue(paper, "T", "m", "d", "mae", number, **where)

    assert [c.kind for c in conflicts([value(61.59, "a"), value(61.6, "b")])] == ["rounding"]
    assert [c.kind for c in conflicts([value(61.5, "a"), value(61.6, "b")])] == ["disagreement"]
    assert conflicts([value(61.6, "a"), value(61.6, "b")]) == []
    scenes = [value(n, "a", scene=f"S{n}") for n in (1.0, 2.0)]
    assert conflicts([*scenes, value(1.5, "a", scene="average")]) == []
    assert [c.kind for c in conflicts([*scenes, value(1.9, "a", scene="average")])] == ["average"]


def test_published_lists_filters_and_names_conflicts(harness: Any) -> None:
    listed = json.loads(
        harness("published", "--method", "ssr_hef", "--dataset", "shtech_a", "--metric", "mae", "--json").stdout
    )
    assert {"paper", "table", "method", "dataset", "metric", "value", "scene", "category"} == set(listed[0])
    assert any(item["method"] == "ssr_hef" and item["value"] == 55.0 for item in listed)
    assert {item["method"].partition("[")[0] for item in listed} == {"ssr_hef"}
    text = harness("published", "--conflicts").stdout
    assert "disagreement: LBP+RR worldexpo10 S2 mae\n    58.9" in text
    assert "30.96      mean of the printed scenes" in text
    bad = harness("published", "--dataset", "shtech_c")
    assert bad.returncode == 2 and "Did you mean 'shtech_" in bad.stderr


def test_runtime_is_measured_in_a_fresh_process(harness: Any, tmp_path: Path) -> None:
    done = harness("runtime", "--methods", "mcnn", "--size", "64x96", "--repeats", "2")
    assert done.returncode == 0, done.stderr
    found = json.loads(next((tmp_path / "runs" / "runtime").glob("mcnn-64x96-*.runtime.json")).read_text())
    assert len(found["milliseconds"]) == 2 and min(found["milliseconds"]) > 0 and found["peak_memory_mib"] > 50
    assert found["inference_parameters"] == 127_953 and found["not_counted"] == []
    assert "| MCNN" in done.stdout
    bad = harness("runtime", "--size", "12")
    assert bad.returncode == 2 and "expected height x width" in bad.stderr


def test_a_table_without_rows_and_a_text_with_markup() -> None:
    with pytest.raises(HarnessError, match="no such"):
        records.read(Path("no such file"))
    table = Table("t", "T", ("method", "x"), ((Cell("<b>", "<b>"), Cell("1", 1.0)),))
    assert "<b>" in table.markdown() and "<b>" in table.csv()


def test_the_passes_that_warm_up_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first two, in which a network is compiled, take half a second here, and the others nothing."""
    import time

    from harness.runs import runtime
    from harness.training import backend

    passes: list[int] = []

    def forward(network: Any, image: np.ndarray) -> None:
        passes.append(len(passes))
        time.sleep(0.5 if len(passes) <= 2 else 0.0)

    monkeypatch.setattr(backend, "forward", forward)
    found = runtime.measure(runtime.RuntimeRequest("mcnn", height=32, width=64, repeats=3))
    assert len(passes) == 5 and len(found.milliseconds) == 3 and max(found.milliseconds) < 400
