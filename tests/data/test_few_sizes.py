"""Crops by share have few sizes: the same where images have few, else none larger than asked, and little smaller."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.benchmark import Sample
from harness.data.crops import CropSize, drawn_share
from harness.data.datasets.synth import SYNTH
from harness.data.few_sizes import MOST, few
from harness.data.image_store import ImageStore
from harness.data.pipeline import Pipeline
from harness.host.plugins import load_host
from harness.recipe import Recipe
from harness.run import Request
from harness.runs.resolve import resolve


def drawn(count: int, seed: int = 0) -> list[CropSize]:
    sides = np.random.default_rng(seed).integers(2, 100, (count, 2)) * 8
    return [CropSize(int(height), int(width)) for height, width in sides]


@pytest.mark.parametrize("count", [1, 5, MOST])
def test_few_are_left_as_they_are(count: int) -> None:
    sizes = drawn(count)
    assert few(sizes + sizes[:2]) == {size: size for size in sizes}


@pytest.mark.parametrize("count", [MOST + 1, 60, 700])
def test_many_become_at_most_eight_and_none_larger(count: int) -> None:
    given = few(drawn(count))
    assert set(given) == set(drawn(count)) and len(set(given.values())) == MOST
    for wanted, size in given.items():
        assert size.height <= wanted.height and size.width <= wanted.width
        assert size.height % 8 == size.width % 8 == 0


def kept(given: dict[CropSize, CropSize]) -> float:
    return sum(s.height * s.width / (w.height * w.width) for w, s in given.items())


@pytest.mark.parametrize("seed", range(4))
def test_two_of_few_keep_as_much_as_the_best_split_by_a_side(seed: int) -> None:
    """Against every cut of either side tried in turn."""
    sizes = list(set(drawn(9, seed)))
    best = 0.0
    for axis in ("height", "width"):
        for cut in {getattr(size, axis) for size in sizes}:
            parts = [[s for s in sizes if getattr(s, axis) < cut], [s for s in sizes if getattr(s, axis) >= cut]]
            given = {
                size: CropSize(min(s.height for s in part), min(s.width for s in part))
                for part in parts
                for size in part
            }
            best = max(best, kept(given))
    assert kept(few(sizes, 2)) == pytest.approx(best)


def test_a_size_that_many_pictures_have_is_kept_before_one_that_one_has() -> None:
    often, seldom = CropSize(400, 400), CropSize(440, 400)
    assert few([often, seldom, CropSize(8, 8)] + [often] * 9, 2)[often] == often
    assert few([often, seldom, CropSize(8, 8)] + [seldom] * 99, 3)[seldom] == seldom


def test_crops_of_an_epoch_have_these_sizes_and_one_padding_each() -> None:
    shapes = [(64 + 8 * n, 200 - 8 * n) for n in range(12)]
    benchmark = replace(
        SYNTH,
        read_image=lambda sample, channels: np.zeros((*shapes[int(sample.name)], channels), np.uint8),
        read_points=lambda sample: np.full((60 * int(sample.name), 2), 3.0),
    )
    recipe = Recipe("r", 1, images_per_step=1, crops_per_image=2, crop=None, crop_share=1.0)
    samples = tuple(Sample(f"{number}", "train") for number in range(12))
    made = Pipeline(benchmark, samples, ImageStore(benchmark, 1), recipe, 8, 0)
    paddings: dict[tuple[int, ...], set[int]] = {}
    for images, points, _ in made.epoch(0, 24):
        paddings.setdefault(images.shape[1:3], set()).add(points.shape[1])
        assert points.shape[1] & (points.shape[1] - 1) == 0
    assert set(paddings) == {(s.height, s.width) for s in few(CropSize(*shape) for shape in shapes).values()}
    assert len(paddings) == MOST and all(len(rows) == 1 for rows in paddings.values())


def test_whole_images_stay_nearly_whole_where_small_crops_are_drawn_more_often() -> None:
    """SSR-HEF's odds: nine of a quarter of the sides to one of the whole, on images of sixty sizes.

    Sizes shared by all crops left whole images a third of their area.
    """
    shapes = [(8 * (30 + 7 * n % 41), 8 * (40 + 11 * n % 53)) for n in range(60)]
    benchmark = replace(
        SYNTH,
        read_image=lambda sample, channels: np.zeros((*shapes[int(sample.name)], channels), np.uint8),
        read_points=lambda sample: np.zeros((0, 2)),
    )
    shares = (0.25,) * 9 + (0.5,) * 4 + (1.0,)
    recipe = Recipe("r", 1, images_per_step=1, crops_per_image=1, crop=None, crop_share=shares)
    samples = tuple(Sample(f"{number}", "train") for number in range(60))
    made = Pipeline(benchmark, samples, ImageStore(benchmark, 1), recipe, 8, 0)
    list(made.epoch(0, 1))  # chooses the sizes
    found: dict[float, dict[CropSize, list[float]]] = {share: {} for share in set(shares)}
    for step in range(2000):
        row = step % 60
        height, width = shapes[row]
        ((_, size, _),) = made.draws(0, step, [row], lambda row: (*shapes[row], 3))
        share = drawn_share(recipe, np.random.default_rng([0, 0, step, 0]))
        found[share].setdefault(size, []).append(size.height * size.width / (height * width * share**2))
    for share, sizes in found.items():
        assert 1 < len(sizes) <= MOST, (share, sizes)
    kept = [part for parts in found[1.0].values() for part in parts]
    assert len(kept) > 80 and np.mean(kept) > 0.75 and max(kept) <= 1


def test_runs_of_crops_by_share_are_other_runs_than_before_and_the_rest_is_not() -> None:
    host = load_host()
    samples = SYNTH.index(Path())
    by_share = resolve(host, Request("mcnn", "synth", recipe="paper", budget="paper"), "x", samples)
    assert by_share.recipe.crop is None and by_share.identity["crop_sizes"] == MOST
    assert (
        resolve(host, Request("ssr_hef", "synth", recipe="paper", budget="paper"), "x", samples).identity["crop_sizes"]
        == 3 * MOST
    )
    assert "crop_sizes" not in resolve(host, Request("mcnn", "synth"), "x", samples).identity
