"""Figures as files: whole in themselves, and what the page shows."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from made_records import changed, make_record

import harness
from harness.reporting import figures
from harness.reporting.figure_files import SERIES, figure_files, standalone
from harness.reporting.rows import comparisons

LOOKS = [{"val_mae": 9.0}, {}, {"epoch": 3, "val_mae": 4.0}]
SVG = "{http://www.w3.org/2000/svg}"


def test_a_file_has_every_curve_with_its_name_and_colour() -> None:
    records = [make_record(name, history=LOOKS, predicted=(n, n, n)) for n, name in enumerate(("mcnn", "a&b"), 12)]
    files = figure_files(comparisons(records))
    assert list(files) == ["synth-common-quick-learning.svg"]
    root = ElementTree.fromstring(files["synth-common-quick-learning.svg"])
    names = [text.text for text in root.iter(f"{SVG}text") if text.get("class") == "name"]
    assert names == ["synth: budget quick, recipe common", "A&B", "MCNN"], "best first"
    curves = [group for group in root.iter(f"{SVG}g") if group.find(f"{SVG}polyline") is not None]
    assert [group.get("class") for group in curves] == ["series c0", "series c1"]
    assert all(len(group.findall(f"{SVG}circle")) == 2 for group in curves)
    height = float(root.get("height", ""))
    assert all(float(text.get("y", "0")) < height for text in root.iter(f"{SVG}text"))


def test_a_long_title_has_several_lines_within_the_picture() -> None:
    title = "ShanghaiTech Part A: budget long (standard+crops=110000,validations=20), recipe long (common+ema=0.999)"
    root = ElementTree.fromstring(standalone("<svg></svg>", title, []))
    lines = list(root.iter(f"{SVG}text"))
    assert len(lines) == 3 and " ".join(line.text or "" for line in lines) == title
    heights = [float(line.get("y", "")) for line in lines]
    assert heights == sorted(set(heights)) and all(7 * len(line.text or "") < figures.WIDE.width - 70 for line in lines)


def test_none_without_validations_nor_of_a_proof_and_one_of_a_name() -> None:
    assert not figure_files(comparisons([make_record()]))
    assert not figure_files(comparisons([make_record(budget="smoke", history=LOOKS)]))
    one = make_record(history=LOOKS, steps=30)
    (svg,) = figure_files(comparisons([one, changed(make_record(history=LOOKS, steps=90), data="d2")])).values()
    assert ": 4.0 at 15<" in svg, "that of the longest training: epoch 3 of 5 steps"


def test_colours_are_the_pages() -> None:
    css = (Path(harness.__file__).parent / "reporting" / "templates" / "report.css").read_text()
    assert re.findall(r"\.c\d+ \{ --c: (#\w+); \}", css) == list(SERIES) and len(SERIES) == figures.COLOURS
    style = standalone("<svg></svg>", "a title", [])
    for name, light, dark in re.findall(r"--(ground|ink|faint|rule): (#\w+);.*?--\1: (#\w+);", css, re.DOTALL):
        assert light in style and dark in style, name
