"""Density over a photograph: the photograph stays visible, and the colours are explained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT

from harness.data.datasets.synth import SYNTH
from harness.files.images import read_image
from harness.host.plugins import load_host
from harness.run import Request
from harness.runs import examples, overlay
from harness.runs.overlay import blend, drawn, per_pixel, top_of, write_overlay
from harness.runs.resolve import resolve

PHOTOGRAPH = np.random.default_rng(0).integers(0, 256, (40, 400, 3)).astype(np.uint8)
NOBODY = np.zeros((40, 400))


def test_where_nobody_is_the_photograph_is_untouched() -> None:
    np.testing.assert_array_equal(blend(PHOTOGRAPH, NOBODY - 0.1, 0.01), PHOTOGRAPH)
    half = NOBODY.copy()
    half[:, 200:] = 0.01
    shown = blend(PHOTOGRAPH, half, 0.01)
    np.testing.assert_array_equal(shown[:, :200], PHOTOGRAPH[:, :200])
    assert np.abs(shown[:, 200:].astype(int) - PHOTOGRAPH[:, 200:]).mean() > 30


def test_opacity_rises_with_density_and_never_hides_the_photograph() -> None:
    """Opacity from what a black and a white photograph become: what is left of the 255 between them."""
    ramp = np.tile(np.linspace(0, 0.02, 400), (40, 1))  # colours end half way
    black, white = (blend(np.full((40, 400, 3), value, np.uint8), ramp, 0.01).astype(float) for value in (0, 255))
    opacity = (1 - (white - black) / 255).mean(axis=(0, 2))
    assert opacity[0] == 0 and (np.diff(opacity) > -0.01).all()
    assert 0.1 < opacity[50] < opacity[100] < opacity[200] and opacity.max() < 0.8


def test_colours_tell_densities_apart() -> None:
    levels = np.array([[0.0, 0.002, 0.005, 0.008, 0.01]])
    shown = blend(np.full((1, 5, 3), 128, np.uint8), levels, 0.01).astype(int)[0]
    assert np.abs(np.diff(shown, axis=0)).sum(axis=1).min() > 40


def test_the_legend_names_counts_unit_and_range(monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2

    said: list[str] = []
    real = cv2.putText
    monkeypatch.setattr(cv2, "putText", lambda picture, text, *rest: (said.append(text), real(picture, text, *rest)))
    ramp = np.tile(np.linspace(0, 0.0123, 400), (40, 1))
    shown = drawn(PHOTOGRAPH, ramp, 0.0123, "true 12  predicted 11.5")
    assert said == ["true 12  predicted 11.5", "0", "0.012+ heads per pixel"]
    np.testing.assert_array_equal(shown[:40], blend(PHOTOGRAPH, ramp, 0.0123))
    strip = shown[40:].reshape(-1, 3)
    assert shown.shape[1] == 400 and 20 < len(shown) - 40 < 100
    for share in (0.1, 0.5, 1.0):  # over grey, as in the photograph
        colour = blend(np.full((1, 1, 3), 128, np.uint8), np.array([[share]]), 1.0)[0, 0].astype(int)
        assert np.abs(strip - colour).sum(axis=1).min() < 12


@pytest.mark.parametrize("width", [1, 37, 320, 3000])
def test_a_picture_of_any_width_has_a_legend_as_wide(width: int) -> None:
    shown = drawn(np.zeros((30, width, 3), np.uint8), np.zeros((30, width)), 0.01, "predicted 123456.7")
    assert shown.shape[1] >= 320 and shown.shape[1] % width == 0 and len(shown) > 30


def test_a_strip_of_one_pixel_is_not_enlarged_beyond_what_a_file_holds() -> None:
    shown = drawn(np.zeros((3200, 1, 3), np.uint8), np.zeros((3200, 1)), 0.01, "predicted 1.0")
    assert 3200 <= len(shown) < 40_000 and shown.shape[1] == 320


def test_the_scale_is_heads_a_pixel() -> None:
    """Three heads in one cell of 8 × 8 pixels: the map over the pixels has three heads too."""
    cells = np.zeros((5, 7), np.float32)
    cells[2, 3] = 3.0
    pixels = per_pixel(cells, 8, 40, 56)
    assert pixels.shape == (40, 56) and pixels.sum() == pytest.approx(3.0, rel=1e-3)
    assert top_of(pixels) <= pixels.max() <= 3 / 64 * 1.001
    assert top_of(np.zeros((3, 3))) == 1.0
    assert per_pixel(cells, 8, 37, 50).shape == (37, 50)


def test_an_empty_picture_and_a_negative_map_are_drawn(tmp_path: Path) -> None:
    write_overlay(tmp_path / "a.png", PHOTOGRAPH, np.full((5, 50), -0.2, np.float32), 8, 0.0)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[:40], PHOTOGRAPH)


def test_the_examples_of_a_run_keep_the_photograph_visible(tmp_path: Path) -> None:
    request = Request("tiny", "synth", budget="smoke")
    run = resolve(load_host([ROOT / "tests" / "methods_on_trial.py"]), request, "test")
    sample = SYNTH.index(Path())[0]
    image, points = SYNTH.read_image(sample, 3), SYNTH.read_points(sample)
    empty = np.zeros((-(-image.shape[0] // 8), -(-image.shape[1] // 8)), np.float32)
    (found,) = examples.write(tmp_path, run, [(sample, empty)], {sample.name: points})
    shown: dict[str, Any] = {
        name: read_image(tmp_path / examples.FOLDER / getattr(found, name)).astype(int)
        for name in ("picture", "true_density", "predicted_density")
    }
    height, width = shown["picture"].shape[:2]
    factor = -(-320 // width)
    parts = {name: each[: height * factor : factor, ::factor] for name, each in shown.items() if name != "picture"}
    apart = {name: np.abs(part - shown["picture"]).mean() for name, part in parts.items()}
    assert apart["predicted_density"] < 12  # what two JPEG files differ in
    assert apart["true_density"] > 1.3 * apart["predicted_density"]
    assert found.true == len(points) and found.predicted == 0


def test_colours_end_at_the_percentile_that_is_said() -> None:
    """199 cells of 1 to 199 and many of nobody or less: 99.5 in a hundred of those above zero lie below 198.01."""
    density = np.concatenate([np.arange(1.0, 200.0), np.zeros(500), -np.ones(9)])
    assert top_of(density) == pytest.approx(1 + 0.995 * 198)


def test_the_pictures_of_fewest_middling_and_most_heads_are_shown() -> None:
    """Whatever their names are; of equal counts the first by name, and each once where there are few."""
    counts = {"a": 30.0, "b": 5.0, "c": 90.0, "d": 7.0, "e": 60.0, "f": 5.0, "g": 8.0}
    assert examples.chosen(counts) == ["b", "g", "c"]  # 5 5 7 8 30 60 90
    assert examples.chosen({"a": 3.0, "b": 1.0}) == ["b", "a"]
    assert examples.chosen({"a": 3.0}) == ["a"] and examples.chosen({}) == []


def test_true_and_predicted_densities_of_an_example_are_in_one_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a picture that is reduced to half its sides both are still heads a pixel of the picture: each adds up to a quarter of
    the heads, and the colours of the one mean what they mean in the other."""
    request = Request("tiny", "synth", budget="smoke")
    run = resolve(load_host([ROOT / "tests" / "methods_on_trial.py"]), request, "test")
    photograph = np.full((600, 960, 3), 90, np.uint8)
    run = replace(run, benchmark=replace(SYNTH, read_image=lambda sample, channels: photograph))
    points = np.array([[100.0, 100.0], [480.0, 300.0], [800.0, 500.0]])
    predicted = np.full((75, 120), 3 / (75 * 120), np.float32)
    seen: list[tuple[np.ndarray, float]] = []
    monkeypatch.setattr(
        overlay, "drawn", lambda picture, density, top, words: (seen.append((density, top)), picture)[1]
    )
    examples.write(tmp_path, run, [(SYNTH.index(Path())[0], predicted)], {SYNTH.index(Path())[0].name: points})
    (true, top), (counted, same) = seen
    assert true.shape == counted.shape == (300, 480) and top == same
    assert [4 * float(each.sum()) for each in (true, counted)] == pytest.approx([3.0, 3.0], rel=1e-3)
    assert np.unravel_index(true[:100, :100].argmax(), (100, 100)) in [(row, x) for row in (49, 50) for x in (49, 50)]
    # Of a kernel of 4 pixels of the picture, 2 of the small ones, the share between its middle and half a sigma, both ways.
    assert true.max() == pytest.approx(0.19146**2 / 4, rel=1e-3)
