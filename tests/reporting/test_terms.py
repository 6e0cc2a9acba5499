"""Curves of the terms of a loss: a logarithmic axis, one figure a method that has several."""

from __future__ import annotations

import re
from typing import Any

import pytest
from made_records import make_record

from harness.host.plugins import load_host
from harness.reporting import figures, write
from harness.reporting.figures import Series
from harness.reporting.html import page
from harness.reporting.rows import comparisons
from harness.runs.records import Record


def with_history(record: Record, terms: list[dict[str, float]]) -> Record:
    content = record.model_dump()
    (epoch,) = content["training"]["history"]
    content["training"]["history"] = [
        {**epoch, "epoch": number, "loss": sum(own.values()), "terms": {f"{name}_loss": own[name] for name in own}}
        for number, own in enumerate(terms, 1)
    ]
    return Record.model_validate(content)


def made(*found: Record) -> str:
    tables, host = comparisons(found), load_host()
    return page(write.tables_of(tables, list(found), [], host), tables, len(found), [], host, {})


def heights(svg: str) -> list[float]:
    """Of the first line's points."""
    points = re.search(r'<polyline [^>]*points="([^"]*)"', svg)
    assert points
    return [float(pair.split(",")[1]) for pair in points[1].split()]


def ticks(svg: str) -> list[str]:
    return re.findall(r'<text class="tick"[^>]*text-anchor="end">([^<]*)</text>', svg)


def test_equal_factors_are_equal_steps() -> None:
    svg = figures.lines([Series("a", ((1, 0.001), (2, 0.1), (3, 10.0)))], "epoch", "term", logarithmic=True)
    top, middle, bottom = sorted(heights(svg))
    assert bottom - middle == pytest.approx(middle - top, abs=0.2) and middle - top > 50
    assert {"0.001", "0.1", "10"} <= set(ticks(svg))


@pytest.mark.parametrize("values", [(0.31, 0.33), (2.0, 2.0), (1e-9, 3e5)])
def test_there_are_ticks_whatever_the_range(values: tuple[float, float]) -> None:
    svg = figures.lines([Series("a", tuple(enumerate(values)))], "epoch", "term", logarithmic=True)
    found = [float(tick.replace(",", "")) for tick in ticks(svg)]
    assert 2 <= len(found) <= 8 and found == sorted(found) and len(set(found)) == len(found)
    assert all(figures.WIDE.top <= y <= figures.WIDE.height - figures.WIDE.bottom for y in heights(svg))


def test_what_a_logarithm_does_not_have_is_left_out() -> None:
    svg = figures.lines([Series("a", ((1, -1.0), (2, 0.0), (3, 5.0), (4, 4.0)))], "epoch", "term", logarithmic=True)
    assert len(heights(svg)) == 2
    assert figures.lines([Series("a", ((1, -1.0), (2, 0.0)))], "epoch", "term", logarithmic=True) == ""


def test_a_method_with_several_terms_has_a_figure_with_a_legend() -> None:
    two = with_history(make_record(), [{"density": 4.0, "mask": 0.5}, {"density": 1.0, "mask": 0.4}])
    one = with_history(make_record("csrnet", predicted=(1, 2, 3)), [{"density": 4.0}])
    text = made(two, one)
    (figure,) = re.findall(r'<figure class="terms">(.*?)</figure>', text, re.DOTALL)
    assert "MCNN" in re.sub("<svg.*?</svg>", "", figure, flags=re.DOTALL) and "CSRNET" not in figure
    assert re.findall(r'<i class="(c\d)"></i>([^<]*)</span>', figure) == [("c0", "density"), ("c1", "mask")]
    assert figure.count("<polyline") == 2 and "density: 4.0 at 1" in figure and "mask: 0.4 at 2" in figure


def test_a_term_cannot_inject_markup() -> None:
    hostile: Any = {"<script>alert(1)</script>": 1.0, "mask": 2.0}
    assert "<script>alert" not in made(with_history(make_record(), [hostile, hostile]))


def test_records_without_terms_have_no_such_figure() -> None:
    assert 'class="terms"' not in made(make_record())
