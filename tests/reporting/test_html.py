"""report.html: what it holds, and that it works in a real browser, on a phone's width too."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest
from made_records import make_record, written

from harness.host.plugins import load_host
from harness.reporting import write
from harness.reporting.html import page, prose
from harness.reporting.rows import comparisons
from harness.runs import examples, records

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def made(folder: Path) -> str:
    places, unreadable = records.read_with_folders([folder])
    found, folders = [record for _, record in places], {record.id: place for place, record in places}
    host, tables = load_host(), comparisons(found)
    return page(write.tables_of(tables, found, [], host), tables, len(found), unreadable, host, folders)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    for record in (
        make_record(),
        make_record("csrnet", predicted=(10, 10, 10)),
        make_record("hsrnet", predicted=(15, 25, 35)),
    ):
        written(folder, record)
    return folder


def test_it_is_one_file_with_no_reference_outside(runs: Path) -> None:
    text = made(runs)
    references = re.findall(r"(?:src|href)=\"([^\"]+)\"", text)
    assert references and all(reference.startswith(("#", "data:")) for reference in references)
    assert "http://" not in text and "https://" not in text and "@import" not in text


def test_names_cannot_inject_markup(tmp_path: Path) -> None:
    written(tmp_path, make_record(status="failed", message="<script>alert(1)</script>"))
    assert "<script>alert" not in made(tmp_path)


def test_notes_written_for_markdown_read_as_prose(runs: Path) -> None:
    text = made(runs)
    assert "Made by <code>harness report</code> from" in text
    shown = re.sub(r"<(script|style)>.*?</\1>", "", text, flags=re.DOTALL)
    assert "`" not in shown and "**" not in shown


def test_a_note_cannot_inject_markup() -> None:
    assert str(prose("**<b>** `<i>` & plain")) == "<strong>&lt;b&gt;</strong> <code>&lt;i&gt;</code> &amp; plain"


def test_columns_are_sorted_by_what_every_machine_computes_alike(tmp_path: Path) -> None:
    """More digits than CSV and JSON keep would make the same records give another page elsewhere."""
    written(tmp_path, make_record(predicted=(10, 20, 31)))  # an MAE of a third
    keys = re.findall(r'data-key="([^"]*)"', made(tmp_path))
    assert "0.333333" in keys and not [
        key for key in keys if re.fullmatch(r"-?[\d.]+", key) and len(key.partition(".")[2]) > 6
    ]


def test_grids_stand_in_for_pictures_that_were_not_kept(runs: Path) -> None:
    text = made(runs)
    assert text.count('class="grid"') == 3 * 4  # three images; the truth and three methods
    assert text.count('class="ramp"') == 3  # and what their colours mean
    assert 'alt="density, MCNN"' not in text


@pytest.mark.parametrize("deeper", ["", "machine/runs"])
def test_kept_pictures_are_shown_wherever_the_record_lies(runs: Path, deeper: str) -> None:
    record = make_record()
    if deeper:  # and where one that failed lies is not where to look
        (runs / deeper).mkdir(parents=True)
        (runs / record.name).rename(runs / deeper / record.name)
        written(runs, make_record(status="failed"))
    folder = next(path.parent for path in runs.rglob(records.FILE) if records.read(path) == record) / examples.FOLDER
    folder.mkdir()
    for name in ("p.jpg", "t.png", "d.png"):
        (folder / name).write_bytes(b"not really")
    kept = examples.Example("i1", 20, 19, "p.jpg", "t.png", "d.png")
    (folder / examples.INDEX).write_text(json.dumps([asdict(kept)]))
    text = made(runs)
    assert text.count('alt="density, MCNN"') == 1 and text.count('alt="density, truth"') == 1 and 'alt="i1"' in text


def browser() -> str:
    found = next(filter(None, map(shutil.which, (os.environ.get("HARNESS_BROWSER", ""), *BROWSERS))), None)
    if not found:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed (or set HARNESS_BROWSER)")
    return found


PROBE = """<script>
const errors = []; window.addEventListener("error", event => errors.push(event.message));
window.addEventListener("load", () => {
  const table = document.querySelector("#synth-common-quick ~ .wide table");
  const names = () => [...table.tBodies[0].rows].map(row => row.cells[0].textContent.slice(0, 4)).join(",");
  const said = [names()];
  const head = [...table.querySelectorAll("th button")].find(button => button.textContent === "MAE");
  head.click(); said.push(names()); head.click(); said.push(names());
  said.push(document.documentElement.scrollWidth <= innerWidth ? "fits" : "too wide");
  const ground = () => getComputedStyle(document.body).backgroundColor;
  const first = ground(); document.getElementById("theme").click();
  said.push(first !== ground() ? "two themes" : "one theme");
  said.push([...document.images].every(image => image.naturalWidth) ? "pictures load" : "broken pictures");
  said.push(errors.length ? errors.join() : "no errors");
  document.body.innerHTML = "<pre>SAID " + said.join(" | ") + " DIAS</pre>";
});
</script></head>"""


@pytest.mark.parametrize("width", [390, 1300])
def test_in_a_browser(runs: Path, tmp_path: Path, width: int) -> None:
    before, up, down, *rest = probed(tmp_path, made(runs), PROBE, width)
    assert before == "MCNN,HSRN,CSRN,alwa" and up == "MCNN,HSRN,CSRN,alwa" and down == "CSRN,HSRN,MCNN,alwa"
    assert rest == ["fits", "two themes", "pictures load", "no errors"]


CHOOSER = """<script>
window.addEventListener("load", () => {
  const box = document.querySelector("#shtech_a-common-quick ~ .wide"), table = box.querySelector("table");
  const said = [], heads = () => [...table.tHead.rows[0].cells].filter(head => head.offsetWidth).map(head => head.textContent);
  const say = () => said.push(heads().join(",") + (box.scrollWidth <= box.clientWidth ? "" : ",too wide"));
  say();
  document.body.style.width = "390px"; dispatchEvent(new Event("resize")); say();
  const list = [...box.previousElementSibling.querySelectorAll("label")];
  const tick = name => list.find(label => label.textContent.trim() === name).querySelector("input");
  tick("MAE").click(); tick("runs").click(); tick("of the paper's training").click(); say();
  said.push(box.previousElementSibling.querySelector("summary").textContent);
  document.body.style.width = ""; dispatchEvent(new Event("resize")); say();
  [...box.previousElementSibling.querySelectorAll("button")].find(one => one.textContent === "what fits").click(); say();
  document.body.innerHTML = "<pre>SAID " + said.join(" | ") + " DIAS</pre>";
});
</script></head>"""


def test_columns_fit_until_someone_chooses(tmp_path: Path) -> None:
    for record in (make_record(dataset="shtech_a"), make_record("csrnet", dataset="shtech_a", predicted=(10, 10, 10))):
        written(tmp_path / "runs", record)
    whole, narrow, chosen, summary, stays, again = probed(tmp_path, made(tmp_path / "runs"), CHOOSER, 1300)
    assert whole.startswith("method,MAE,RMSE,behind the best,published MAE,published RMSE,published − measured,")
    assert narrow == "method,MAE,of the paper's training"
    assert chosen == "method,runs" and summary.startswith("columns (2 of 1") and stays == chosen
    assert again == whole


def probed(folder: Path, text: str, probe: str, width: int) -> list[str]:
    """What `probe` says of the page in a browser."""
    path = folder / "probe.html"
    path.write_text(text.replace("</head>", probe, 1))
    command = [browser(), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    command += ["--disable-background-networking", f"--window-size={width},900", "--dump-dom", f"file://{path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    said = re.findall(r"<pre>SAID (.*) DIAS</pre>", done.stdout)
    assert len(said) == 2, done.stdout[-500:] + done.stderr[-1000:]
    return html.unescape(said[-1]).split(" | ")  # the first is the probe itself
