"""Records: what is accepted, what is refused, and the tables they make."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from made_records import comparison, make_record, written

from harness.errors import HarnessError
from harness.host.plugins import load_host
from harness.reporting.leaderboard import all_tables, leaderboard
from harness.reporting.rows import comparisons
from harness.runs import records
from harness.runs.merging import merge

FIXTURES = Path(__file__).parent / "records"


def test_round_trip(tmp_path: Path) -> None:
    record = make_record()
    assert records.read(written(tmp_path, record)) == record
    assert [path.name for path in (tmp_path / record.name).iterdir()] == ["record.json"]


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("v*.json")), ids=lambda path: path.stem)
def test_real_records_of_every_schema_version_are_read(path: Path) -> None:
    record = records.read(path)
    assert record.status == "ok" and record.results is not None and record.schema_version == int(path.stem[1])


def test_there_is_a_fixture_of_this_schema_version() -> None:
    assert (FIXTURES / f"v{records.SCHEMA_VERSION}.json").is_file()


def test_sizes_of_pictures_are_kept_and_old_records_have_none(tmp_path: Path) -> None:
    old = make_record()
    assert old.results is not None and old.results.per_image[0].height is old.results.per_image[0].width is None
    new = make_record(sizes=((48, 64), (50, 70), (2, 3)))
    found = records.read(written(tmp_path, new))
    assert found == new and found.results is not None
    assert [(image.height, image.width) for image in found.results.per_image] == [(48, 64), (50, 70), (2, 3)]


def edit(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text())
    for place, value in changes.items():
        at = content
        *parents, last = place.split("__")
        for key in parents:
            at = at[int(key) if isinstance(at, list) else key]
        at[last] = value
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"results__mae": 0.1}, "mae is 0.1, its per-image counts give 1"),
        ({"results__rmse": 0.5}, "rmse is 0.5, its per-image counts give"),
        ({"method": "csrnet"}, "method is 'csrnet', its identity says 'mcnn'"),
        ({"identity__seed": 7}, "its identity hashes to"),
        ({"status": "great"}, "not a valid record: status"),
        ({"results": None}, "status is ok but results is missing"),
        ({"schema_version": 99}, "schema version 99; this harness reads 1"),
        ({"surprise": 1}, "not a valid record: surprise"),
        ({"data__test_images": 2}, "2 test images, but counts of 3"),
        ({"results__per_image__0__height": 0}, "not a valid record: results.per_image.0.height"),
    ],
)
def test_a_record_changed_by_hand_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = written(tmp_path, make_record())
    edit(path, **changes)
    with pytest.raises(HarnessError) as error:
        records.read(path)
    assert str(error.value).startswith(f"{path}: ") and message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("variant", "small"),
        ("dataset", "mall"),
        ("fold", 1),
        ("seed", 1),
        ("select", "test-oracle"),
        ("precision", "mixed_bfloat16"),
        ("pretrained", "imagenet"),
    ],
)
def test_what_a_record_says_is_what_its_identity_says(tmp_path: Path, key: str, value: Any) -> None:
    path = written(tmp_path, make_record())
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(HarnessError, match=f"{key} is .*its identity says"):
        records.read(path)


@pytest.mark.parametrize("name", ["../../elsewhere", "/tmp/elsewhere", "a/b", "..", "", "a\\b"])
def test_a_record_cannot_say_where_it_is_merged_to(tmp_path: Path, name: str) -> None:
    content = json.loads(make_record().model_dump_json()) | {"name": name}
    path = tmp_path / "deep" / "source" / "record.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    merged = merge([path.parent.parent], tmp_path / "deep" / "into")
    assert merged.added == () and "expected the name of a folder" in merged.conflicts[0]
    assert list(tmp_path.rglob("record.json")) == [path]


def test_what_is_no_json_is_listed_and_not_fatal(tmp_path: Path) -> None:
    good = make_record()
    written(tmp_path, good)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "record.json").write_text("{")
    found, unreadable = records.read_all([tmp_path])
    assert found == [good]
    assert [item.path.parent.name for item in unreadable] == ["bad"]
    text = leaderboard(all_tables(comparisons(found), found, [], load_host()), unreadable)
    assert "## Records that could not be read" in text and "`bad`: not a valid record" in text


def test_nothing_is_left_when_a_record_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        records.write(tmp_path, make_record())
    assert not list(tmp_path.iterdir())


def cells(text: str, method: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {method}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def cell(text: str, method: str, header: str) -> str:
    return cells(text, method)[cells(text, "method").index(header)]


def test_a_table_by_hand() -> None:
    text = comparison([make_record()], load_host())
    row = cells(text, "MCNN")
    assert row[1].startswith("1.00 [") and row[2].startswith("1.29 [")  # errors 2, 1, 0
    assert cell(text, "MCNN", "minutes of training") == "1.0"  # 60 s
    floor = cells(text, "*always the mean of the training counts (floor)*")
    assert floor[1].startswith("8.33 [")  # |25-10|, |25-20|, |25-30|
    assert "budget quick: " in text and "recipe common: the same for all" in text


def test_published_numbers_stand_beside() -> None:
    text = comparison([make_record(dataset="shtech_a")], load_host())
    assert [cell(text, "MCNN", f"published {metric}") for metric in ("MAE", "RMSE")] == ["110.2", "173.2"]


def test_a_row_that_may_be_luck_says_so() -> None:
    """Errors 2, 1, 0 against the floor's 15, 5, 5 are clearly better; 14, 4, 6 are not, though better on average."""
    assert cells(comparison([make_record()], load_host()), "MCNN")[0] == "MCNN"
    text = comparison([make_record(predicted=(24, 24, 36))], load_host())
    assert "MCNN (not clearly better than the floor)" in text
    assert "MCNN (not clearly" not in comparison([make_record(predicted=(24, 24, 34))], load_host())


def test_a_row_under_the_floor_says_so() -> None:
    text = comparison([make_record(predicted=(90, 90, 90))], load_host())
    assert "MCNN (not better than the floor)" in text


def test_folds_are_averaged_and_missing_ones_named() -> None:
    first = make_record(dataset="ucf_cc_50", fold=0, folds=5, true=(10, 20), predicted=(12, 22))
    second = make_record(dataset="ucf_cc_50", fold=1, folds=5, true=(10, 20), predicted=(16, 26))
    failed = make_record(dataset="ucf_cc_50", fold=2, folds=5, status="oom", message="killed")
    text = comparison([first, second, failed], load_host())
    row = cells(text, "MCNN")
    assert "(2 of 5 folds)" in row[0]
    assert row[1] == "4.0 [4.0, 4.0]"
    assert "**oom**: " in text and "killed" in text


def test_what_must_not_mix_does_not() -> None:
    different = [
        make_record(),
        make_record(budget="standard"),
        make_record(recipe="paper"),
        make_record(select="test-oracle"),
        make_record(data="d2"),
        make_record(dataset="shtech_a"),
    ]
    tables = comparisons(different)
    assert len(tables) == 6 and all(len(table.rows) == 1 for table in tables)
    text = comparison(different, load_host())
    assert text.count("CHECKPOINT CHOSEN ON THE TEST SET") == 1
    assert "these numbers are too good" in text


def test_files_that_are_not_the_authors_own_are_named() -> None:
    text = comparison([make_record(departures=["a resized copy"], available=9)], load_host())
    assert "**not the authors' own files**: a resized copy" in text
    assert "measured on 3 of 9 test images" in text


def test_failed_cells_keep_their_line(tmp_path: Path) -> None:
    text = comparison([make_record(status="failed", message="ValueError: no\nlast | line")], load_host())
    assert cell(text, "MCNN", "runs") == "failed"
    assert "ValueError: no ⏎ last ¦ line" in text


def test_a_report_is_the_same_bytes_twice_and_needs_no_keras(tmp_path: Path) -> None:
    for record in (make_record(), make_record("csrnet", predicted=(10, 10, 10)), make_record(seed=1)):
        written(tmp_path / "runs", record)
    code = (
        "import sys; from harness.commands.cli import cli; "
        "cli(['report', '--runs', 'runs', '--out', sys.argv[1]], standalone_mode=False); "
        "print([name for name in ('keras', 'tensorflow', 'matplotlib') if name in sys.modules])"
    )
    texts = []
    for out in ("one", "two"):
        done = subprocess.run([sys.executable, "-c", code, out], cwd=tmp_path, capture_output=True, text=True)
        assert done.stdout.splitlines()[-1] == "[]", done.stderr
        texts.append((tmp_path / out / "LEADERBOARD.md").read_bytes())
    assert texts[0] == texts[1]
    assert texts[0].index(b"| MCNN") < texts[0].index(b"| CSRNET")  # best first
