"""The figures of the page: their numbers by hand, one scale for all methods, and links that lead somewhere."""

from __future__ import annotations

import re
from typing import Any

import pytest
from made_records import changed, make_record, with_groups

from harness.host.plugins import load_host
from harness.reporting import figures, graphs, write
from harness.reporting.figures import Series
from harness.reporting.graphs import Part
from harness.reporting.html import page
from harness.reporting.rows import comparisons
from harness.runs.records import Record

SIZES = ((100, 100), (200, 250), (1000, 1000))


def parts(*found: Record) -> list[Part]:
    (comparison,) = comparisons(found)
    return [Part(row, number, f"m{number}") for number, row in enumerate(comparison.rows)]


def made(*found: Record) -> str:
    tables, host = comparisons(found), load_host()
    return page(write.tables_of(tables, list(found), [], host), tables, len(found), [], host, {})


def titles(svg: str) -> list[str]:
    """What the dots of a chart say."""
    return re.findall(r"<circle[^>]*><title>([^<]*)</title>", svg)


def places(svg: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', svg)]


def test_error_against_crops_seen_by_hand() -> None:
    """Five images an epoch, two crops of each a step; the mean of two seeds; x is logarithmic."""
    schedule = {"crops_per_image": 2}
    first = [{"epoch": 1, "val_mae": 9.0}, {"epoch": 2}, {"epoch": 4, "val_mae": 5.0}, {"epoch": 16, "val_mae": 4.0}]
    runs = [
        make_record(schedule=schedule, history=first, steps=80),
        make_record(schedule=schedule, seed=1, history=[{**e, "val_mae": 1.0} for e in first], steps=80),
    ]
    figure = graphs.learning(parts(*runs))
    assert titles(figure.svg) == ["MCNN: 5.0 at 10", "MCNN: 3.0 at 40", "MCNN: 2.5 at 160"]
    (a, _), (b, _), (c, _) = places(figure.svg)
    assert b - a == pytest.approx(c - b, abs=0.2) and b > a
    assert "still learning: MCNN" in figure.caption


def test_who_was_better_before_is_not_called_learning() -> None:
    history = [{"epoch": 1, "val_mae": 4.0}, {"epoch": 2, "val_mae": 5.0}]
    assert "still learning" not in graphs.learning(parts(make_record(history=history))).caption
    nothing = graphs.learning(parts(make_record()))
    assert nothing.svg == "" and "no validations" in nothing.caption


def test_one_early_outlier_does_not_flatten_the_rest() -> None:
    history = [{"epoch": 1, "val_mae": 4000.0}, {"epoch": 2, "val_mae": 50.0}, {"epoch": 3, "val_mae": 40.0}]
    (_, _), (_, before), (_, after) = places(graphs.learning(parts(make_record(history=history))).svg)
    assert after - before > 5


def test_errors_by_density_and_size_by_hand() -> None:
    """10 heads on 0.01 megapixels are 1,000 a megapixel, 20 on 0.05 are 400, 30 on 1 are 30; errors 2, 1, 0; two groups."""
    drawn = parts(make_record(sizes=SIZES), make_record("csrnet", predicted=(20, 20, 20), sizes=SIZES))
    density, size = graphs.densities(drawn), graphs.sizes(drawn)
    assert titles(density.svg) == [
        "MCNN: 0.5 at 215",
        "MCNN: 2.0 at 1,000",
        "CSRNET: 5.0 at 215",
        "CSRNET: 10.0 at 1,000",
    ]
    assert titles(size.svg)[:2] == ["MCNN: 1.5 at 0.03", "MCNN: 0.0 at 1"]
    assert "2 groups" in density.caption and "image size" in size.caption


def test_many_images_make_eight_groups_of_equal_size() -> None:
    count = 80
    true, sizes = tuple(range(1, count + 1)), tuple((1000, 1000 + n) for n in range(count))
    record = make_record(true=true, predicted=tuple(n + (n % 10) for n in true), sizes=sizes)
    found = titles(graphs.sizes(parts(record)).svg)
    assert len(found) == 8 and all(title.startswith("MCNN: 4.5 at") for title in found)


def test_without_sizes_the_figures_are_left_out_and_that_is_said() -> None:
    for figure in (graphs.densities(parts(make_record())), graphs.sizes(parts(make_record()))):
        assert figure.svg == "" and "do not hold the sizes" in figure.caption
    text = made(make_record())
    assert "Error against density: left out" in text and "Error against image size: left out" in text
    some = parts(make_record(sizes=SIZES), make_record("csrnet", predicted=(20, 20, 20)))
    assert "without CSRNET, whose records hold no sizes" in graphs.densities(some).caption
    alike = graphs.sizes(parts(make_record(sizes=((100, 200),) * 3)))
    assert alike.svg == "" and "all images have 0.02 megapixels" in alike.caption


def test_an_image_without_heads_has_a_place() -> None:
    record = make_record(true=(0, 20, 30), predicted=(1, 20, 30), sizes=SIZES)
    assert all(0 < x < figures.WIDE.width for x, _ in places(graphs.densities(parts(record)).svg))


def test_scatters_are_one_a_method_on_one_scale() -> None:
    drawn = graphs.clouds(parts(make_record(), make_record("csrnet", predicted=(900, 20, 30))))
    assert [cloud.part.title for cloud in drawn] == ["MCNN", "CSRNET"]
    assert [titles(cloud.svg)[0] for cloud in drawn] == ["12 for 10", "900 for 10"]
    first, second = (dict(zip(titles(cloud.svg), places(cloud.svg), strict=True)) for cloud in drawn)
    assert first["30 for 30"] == second["30 for 30"], "the same count lies at the same place"
    assert 'c0"' in drawn[0].svg and 'c1"' in drawn[1].svg
    ticks = [re.findall(r'class="tick"[^>]*>([^<]*)<', cloud.svg) for cloud in drawn]
    assert ticks[0] == ticks[1]


def test_a_scale_begins_below_the_fewest_heads_and_holds_what_is_below_it() -> None:
    series = [Series("a", ((240.0, 3.0), (2500.0, 5000.0)))]
    assert figures.shared_range(series) == (100.0, 5000.0)
    (_, low), (_, high) = places(figures.cloud(series[0], (100.0, 5000.0), "x", "y"))
    assert low == figures.PANEL.height - figures.PANEL.bottom and high > figures.PANEL.top


def test_counts_within_a_decade_have_linear_scales() -> None:
    """Of 17 to 53 heads half a logarithmic scale from 10 to 100 would be empty."""
    series = [Series("a", ((17.0, -4.0), (53.0, 40.0)))]
    ends = figures.shared_range(series)
    assert ends == (0.0, 53.0)
    (left, low), (right, high) = places(figures.cloud(series[0], ends, "x", "y"))
    foot, side = figures.PANEL.height - figures.PANEL.bottom, figures.PANEL.left
    assert low == foot and (right - side) / (left - side) == pytest.approx(53 / 17, rel=0.01) and high < low


def test_a_method_has_one_colour_in_every_figure() -> None:
    """MCNN is second on one benchmark and first on the other."""
    found = comparisons(
        [
            make_record(),
            make_record("csrnet", predicted=(10, 20, 30)),
            make_record(dataset="mall"),
            make_record("p2p", dataset="mall", predicted=(90, 90, 90)),
        ]
    )
    colours = graphs.colours_of(found)
    drawn = [{part.title: part.colour for part in graphs.parts_of(one, "a", colours)} for one in found]
    assert drawn[0]["MCNN"] == drawn[1]["MCNN"] and all(len(set(each.values())) == 2 for each in drawn)
    twice = comparisons(
        [
            make_record(),
            changed(make_record(predicted=(10, 20, 31)), precision="mixed_bfloat16"),
            make_record("csrnet", predicted=(50, 50, 50)),
        ]
    )
    again = {part.row.method: part.colour for part in graphs.parts_of(twice[0], "a", colours)}
    assert again["csrnet"] == colours["csrnet"], "a second row of MCNN takes no other method's colour"
    assert len({part.colour for part in graphs.parts_of(twice[0], "a", colours)}) == 3
    taken = {row.method: 0 for one in found for row in one.rows}
    assert {part.colour for part in graphs.parts_of(found[0], "a", taken)} == {0, 1}, "one that is taken gives way"


def test_bins_of_nearly_one_size_are_one() -> None:
    """Half of the images have 1 megapixel give or take a row; the axis goes from 0.1 to 10."""
    sizes = [(100, 1000)] * 10 + [(1000, 1000 + n // 5) for n in range(40)] + [(1000, 10000)] * 10
    true = tuple(range(1, 61))
    figure = graphs.sizes(parts(make_record(true=true, predicted=true, sizes=tuple(sizes))))
    assert len(titles(figure.svg)) == 3 and "a mean for each of 3 groups of images" in figure.caption


def fills(text: str, title: str) -> dict[str, str]:
    """The colour of each value in a method's first grid."""
    grids = re.findall(r"<svg class=\"grid\".*?</svg>(?:<figcaption>)(.*?)</figcaption>", text)
    number = next(n for n, caption in enumerate(grids) if title in caption)
    svg = re.findall(r"<svg class=\"grid\".*?</svg>", text)[number]
    return {value: fill for fill, value in re.findall(r'fill="(#\w+)"><title>([^<]*)</title>', svg)}


def test_grids_have_one_scale_of_colours_for_all_methods() -> None:
    """Truth 10 of one image, predictions 40 and 20: the colours end at 40, and 20 is not the colour of 40."""
    text = made(make_record(predicted=(20, 20, 30)), make_record("csrnet", predicted=(40, 20, 30)))
    truth, mcnn, csrnet = (fills(text, name) for name in ("truth", "MCNN", "CSRNET"))
    last = "#" + "".join(f"{channel:02x}" for channel in figures.RAMP[-1])
    middle = "#" + "".join(f"{channel:02x}" for channel in figures.RAMP[2])
    assert csrnet["40.0"] == last and truth["10.0"] == middle  # the root of a quarter is a half
    assert len({truth["10.0"], mcnn["20.0"], csrnet["40.0"]}) == 3
    assert truth["0.0"] == mcnn["0.0"] == csrnet["0.0"]
    legend = re.search(r'class="ramp"></i><span><b>0</b><b>(.*?)</b><b>(.*?)</b>', text)
    assert legend and legend.groups() == ("10", "40")


def test_cells_below_zero_are_said_to_look_like_zero() -> None:
    assert "<b>≤ 0</b>" in made(make_record(predicted=(-2, 20, 30))) and "≤ 0<" not in made(make_record())


def test_grids_have_the_proportions_of_their_picture() -> None:
    assert "aspect-ratio: 250 / 200" in made(make_record(sizes=SIZES)) and "aspect-ratio: 4 / 3" in made(make_record())


def test_links_lead_from_a_row_to_its_figures_and_back() -> None:
    history: Any = [{"epoch": 1, "val_mae": 2.0}, {"epoch": 2, "val_mae": 1.0}]
    text = made(
        make_record(history=history),
        make_record("csrnet", predicted=(90, 90, 90)),  # without validations; its row says more than its name
        make_record(seed=1, status="failed"),
        make_record(dataset="shtech_a", history=history),
    )
    anchors = re.findall(r' id="([^"]+)"', text)
    assert len(anchors) == len(set(anchors))
    assert not set(re.findall(r'href="#([^"]+)"', text)) - set(anchors)
    rows = dict(re.findall(r'<tr id="([^"]+)">.*?<span>(.*?)</span>', text))
    assert sorted(name.split(" ")[0] for name in rows.values()) == ["CSRNET", "MCNN", "MCNN"]
    for anchor, name in rows.items():
        line = re.search(rf'<tr id="{anchor}">.*?</tr>', text)
        curve = [] if name.startswith("CSRNET") else ["curve"]
        assert line and re.findall(r'<a href="#[^"]*">(\w+)</a>', line[0]) == [*curve, "scatter", "pictures"]
        assert text.count(f'href="#{anchor}"') >= 5, "from the legend, the scatter and three pictures"


def test_rows_of_two_versions_do_not_share_a_place() -> None:
    old = changed(make_record(), plugin=("d", "1"))
    other = with_groups(changed(make_record(predicted=(11, 20, 30)), plugin=("e", "abcdefabcdef")), [{}] * 3)
    rows = re.findall(r'<tr id="([^"]+)">', made(old, other))
    assert len(rows) == 2 == len(set(rows))


def test_the_last_fifth_is_what_may_still_be_learning() -> None:
    """Of a hundred epochs whose error is lowest once: at the 80th it is named, at the 79th it is not."""
    for lowest, named in ((79, False), (80, True), (100, True)):
        history = [{"epoch": n, "val_mae": 4.0 if n == lowest else 5.0} for n in range(1, 101)]
        assert ("still learning: MCNN" in graphs.learning(parts(make_record(history=history))).caption) is named, lowest


def test_a_scatter_has_at_most_four_hundred_dots_and_says_which() -> None:
    for images, dots, said in (
        (400, 400, ""),
        (401, 201, "one image in 2 is shown"),
        (801, 267, "one image in 3 is shown"),
    ):
        true = tuple(range(1, images + 1))
        drawn = parts(make_record(true=true, predicted=true))
        (cloud,) = graphs.clouds(drawn)
        assert len(titles(cloud.svg)) == dots and graphs.clouds_told(drawn) == said
