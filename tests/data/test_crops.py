from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.benchmark import Sample
from harness.data.crops import CropSize, drawn_share, fixed_size, flip, make_crop, pad_to, shared_size
from harness.data.datasets.synth import SYNTH
from harness.data.image_store import ImageStore
from harness.data.pipeline import Pipeline
from harness.recipe import Recipe

PLAIN = Recipe(name="test", epochs=1, crop=32, flip=0.0)


def marked(height: int, width: int, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An image whose only bright pixels are those the heads lie in."""
    image = np.zeros((height, width, 1), np.uint8)
    image[points[:, 1].astype(int), points[:, 0].astype(int)] = 255
    return image, np.column_stack([points, np.full(len(points), 2.0)]).astype(np.float32)


@settings(max_examples=80)
@given(seed=st.integers(0, 10_000), flipping=st.booleans())
def test_heads_stay_on_their_pixels(seed: int, flipping: bool) -> None:
    generator = np.random.default_rng(seed)
    height, width = generator.integers(20, 90, 2)
    points = np.floor(generator.uniform(0, [width, height], (30, 2))) + 0.5
    image, heads = marked(height, width, points)
    recipe = replace(PLAIN, flip=float(flipping))
    made = make_crop(image, heads, CropSize(32, 48), recipe, generator)
    crop, moved = made.image, made.heads
    assert crop.shape == (32, 48, 1)
    own = crop[: min(32, height), :, 0]
    if not flipping:  # padding repeats the last column and row, bright ones too
        own = own[:, : min(48, width)]
        assert {(int(y), int(x)) for x, y, _ in moved} == set(map(tuple, np.argwhere(own).tolist()))
    assert all(crop[int(y), int(x), 0] == 255 for x, y, _ in moved)
    assert (moved[:, 2] == 2).all()


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 1000))
def test_flipping_twice_is_the_identity(height: int, width: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    image = generator.integers(0, 255, (height, width, 3), np.uint8)
    heads = generator.uniform(0.01, [width - 0.01, height - 0.01, 5], (6, 3)).astype(np.float32)
    again, moved = flip(*flip(image, heads))
    np.testing.assert_array_equal(again, image)
    np.testing.assert_allclose(moved, heads, atol=1e-4)


@given(st.integers(1, 400), st.integers(0, 1000), st.sampled_from([0.0, 0.25, 0.5, 1 - 2**-12]))
def test_a_mirrored_head_lies_in_the_mirrored_pixel(width: int, seed: int, part: float) -> None:
    """Of whole-pixel coordinates, as JHU-CROWD has them, too: x = c lies in pixel c, mirrored in pixel W − 1 − c."""
    column = np.random.default_rng(seed).integers(0, width, 20)
    heads = np.column_stack([column + part, np.zeros(20), np.ones(20)]).astype(np.float32)
    _, moved = flip(np.zeros((1, width, 1), np.uint8), heads)
    np.testing.assert_array_equal(np.floor(moved[:, 0]), width - 1 - column)


def test_a_head_on_the_left_edge_stays_in_the_frame_when_mirrored() -> None:
    _, moved = flip(np.zeros((4, 16, 1), np.uint8), np.array([[0.0, 1.0, 2.0]], np.float32))
    assert 15 < moved[0, 0] < 16


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_scaling_moves_heads_and_their_sigma(scale: float) -> None:
    image = np.zeros((64, 64, 1), np.uint8)
    image[30:34, 18:22] = 255
    heads = np.array([[20.0, 32.0, 3.0]], np.float32)
    recipe = replace(PLAIN, scales=(scale, scale))
    size = CropSize(int(64 * scale), int(64 * scale))
    made = make_crop(image, heads, size, recipe, np.random.default_rng(0))
    crop, moved = made.image, made.heads
    np.testing.assert_allclose(moved, [[20 * scale, 32 * scale, 3 * scale]])
    rows, columns = np.nonzero(crop[:, :, 0] > 127)
    assert columns.mean() + 0.5 == pytest.approx(20 * scale, abs=0.6)
    assert rows.mean() + 0.5 == pytest.approx(32 * scale, abs=0.6)


def test_grey_and_noise() -> None:
    image = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    heads = np.zeros((0, 3), np.float32)
    grey = make_crop(image, heads, CropSize(32, 32), replace(PLAIN, grey=1.0), np.random.default_rng(1)).image
    assert (grey[..., 0] == grey[..., 1]).all() and (grey[..., 1] == grey[..., 2]).all()
    noisy = [
        make_crop(image, heads, CropSize(32, 32), replace(PLAIN, noise=9.0), np.random.default_rng(seed)).image
        for seed in range(20)
    ]
    plain = [make_crop(image, heads, CropSize(32, 32), PLAIN, np.random.default_rng(seed)).image for seed in range(20)]
    changed = sum(bool((a != b).any()) for a, b in zip(noisy, plain, strict=True))
    assert 3 < changed < 17  # with probability one half


def test_grey_is_the_luma_of_its_colours() -> None:
    """Of red, green and blue what ITU-R BT.601 weighs them, as OpenCV makes grey of RGB: BGR's order would darken people."""
    import cv2

    image = np.zeros((32, 32, 3), np.uint8)
    image[:8, :, 0] = image[8:16, :, 1] = image[16:24, :, 2] = 255
    image[24:] = np.random.default_rng(0).integers(0, 256, (8, 32, 3))
    made = make_crop(
        image, np.zeros((0, 3)), CropSize(32, 32), replace(PLAIN, grey=1.0), np.random.default_rng(1)
    ).image
    expected = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    assert np.abs(made[:, :, 0].astype(int) - expected).max() <= 1
    assert [int(made[row, 0, 0]) for row in (0, 8, 16)] == [76, 150, 29]


def test_noise_is_as_wide_as_the_recipe_says() -> None:
    """The spread over 40,000 pixels, whose standard error is 0.4 %; rounding adds a twelfth to the variance."""
    image, recipe = np.full((200, 200, 1), 128, np.uint8), replace(PLAIN, crop=200, noise=9.0)
    made = (
        make_crop(image, np.zeros((0, 3), np.float32), CropSize(200, 200), recipe, np.random.default_rng(s)).image
        for s in range(8)
    )
    spreads = [crop.std() for crop in made if crop.std() > 0]
    assert len(spreads) > 1 and spreads == pytest.approx([(9.0**2 + 1 / 12) ** 0.5] * len(spreads), rel=0.02)


def test_a_crop_that_is_reduced_is_the_mean_of_its_pixels() -> None:
    """At a quarter of its size, of 4 × 4 pixels each: interpolated between four of them it would flicker with the crop."""
    image = np.random.default_rng(0).integers(0, 256, (64, 80, 3)).astype(np.uint8)
    maps = {"depth": np.random.default_rng(1).uniform(0, 1, (64, 80)).astype(np.float32)}
    recipe, size = replace(PLAIN, scales=(0.25, 0.25)), CropSize(16, 20)
    made = make_crop(image, np.zeros((0, 3)), size, recipe, np.random.default_rng(0), maps)
    means = image.reshape(16, 4, 20, 4, 3).mean(axis=(1, 3))
    assert np.abs(made.image - means).max() <= 0.51
    np.testing.assert_allclose(made.maps["depth"], maps["depth"].reshape(16, 4, 20, 4).mean(axis=(1, 3)), rtol=1e-5)


def test_heads_of_a_resized_crop_follow_the_pixels_of_each_side() -> None:
    """7 rows at half their size are 4 and not 3½, 200 columns are 100: x is halved, y is times 4/7, sigma times the scale."""
    recipe, heads = replace(PLAIN, scales=(0.5, 0.5)), np.array([[120.0, 6.0, 3.0]], np.float32)
    made = make_crop(np.zeros((7, 200, 1), np.uint8), heads, CropSize(8, 100), recipe, np.random.default_rng(0))
    assert made.frame.tolist() == [0, 0, 100, 4]
    np.testing.assert_allclose(made.heads, [[60.0, 6 * 4 / 7, 1.5]], rtol=1e-6)


def test_noise_does_not_darken() -> None:
    """Of 40,000 pixels the mean moves by less than a tenth of a grey level (its standard error is 0.045)."""
    image = np.full((200, 200, 1), 128, np.uint8)
    recipe = replace(PLAIN, crop=200, noise=9.0)
    made = (
        make_crop(image, np.zeros((0, 3), np.float32), CropSize(200, 200), recipe, np.random.default_rng(s))
        for s in range(8)
    )
    means = [crop.image.mean() - 128 for crop in made if crop.image.std() > 0]
    assert len(means) > 1 and np.abs(np.mean(means)) < 0.1, means


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (fixed_size(32, 8), (32, 32)),
        (fixed_size((50, 70), 16), (48, 64)),
        (fixed_size(4, 16), (16, 16)),
        (shared_size(0.5, (100, 151, 3), 8), (48, 72)),
        (shared_size(1.0, (100, 151, 3), 4), (100, 148)),
        (shared_size(0.01, (100, 151, 3), 4), (4, 4)),
        (shared_size(0.7, (720, 1440, 3), 8), (504, 1008)),  # in binary 0.7 of 720 is less than 504
    ],
)
def test_crop_sizes_fit_the_network(size: CropSize, expected: tuple[int, int]) -> None:
    assert (size.height, size.width) == expected


def test_a_head_at_the_last_edge_stays_within_a_crop_that_is_resized() -> None:
    """The product with the scale may be rounded onto the edge, where a head is rendered nowhere and yet counted."""
    image = np.zeros((56, 56, 3), np.uint8)
    last = np.nextafter(np.float32(56), np.float32(0))
    for scale in np.linspace(1.1, 1.2, 101):
        recipe = replace(PLAIN, scales=(float(scale), float(scale)), flip=0.0)
        size = CropSize(*2 * (int(56 * scale),))
        heads = np.array([[last, last, 4.0]], np.float32)
        crop = make_crop(image, heads, size, recipe, np.random.default_rng(0))
        assert (crop.heads[:, :2] < np.array([size.width, size.height], np.float32)).all(), scale


@pytest.mark.parametrize("sizes", [1, 12])
def test_crops_by_share_are_drawn_with_their_odds_before_and_after_sizes_are_few(sizes: int) -> None:
    """As a pipeline gives them: of 12 sizes of pictures no crop is larger than its share, of one size each is its share."""
    shapes = [(96 + 8 * n, 200 - 8 * n, 3) for n in range(sizes)]
    benchmark = replace(
        SYNTH,
        read_image=lambda sample, channels: np.zeros(shapes[int(sample.name)], np.uint8),
        read_points=lambda sample: np.zeros((0, 2)),
    )
    recipe = Recipe("r", 1, images_per_step=1, crops_per_image=1, crop=None, crop_share=(0.5, 0.5, 0.5, 1.0))
    samples = tuple(Sample(f"{number}", "train") for number in range(sizes))
    made = Pipeline(benchmark, samples, ImageStore(benchmark, 1), recipe, 8, 0)
    list(made.epoch(0, 1))
    whole = 0
    for step in range(400):
        row = step % sizes
        ((_, size, _),) = made.draws(0, step, [row], shapes.__getitem__)
        share = drawn_share(recipe, np.random.default_rng([0, 0, step, 0]))
        wanted = shared_size(share, shapes[row], 8)
        assert size.height <= wanted.height and size.width <= wanted.width and (sizes > 1 or size == wanted)
        whole += share == 1.0
    assert 70 < whole < 130


def test_maps_of_lengths_grow_with_the_crop() -> None:
    """The same picture at half its size has half the lengths."""
    maps = {"length": np.full((60, 80), 9.0, np.float32), "depth": np.full((60, 80), 9.0, np.float32)}
    recipe = replace(PLAIN, scales=(0.5, 0.5))
    image, size = np.zeros((60, 80, 1), np.uint8), CropSize(24, 32)
    made = make_crop(image, np.zeros((0, 3)), size, recipe, np.random.default_rng(0), maps, ["length"])
    assert made.maps["length"] == pytest.approx(4.5) and made.maps["depth"] == pytest.approx(9.0)
    assert made.frame.tolist() == [0, 0, 32, 24]


def test_padding_repeats_the_last_row_and_column() -> None:
    image = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    padded = pad_to(image, 3, 5)[:, :, 0]
    assert padded.tolist() == [[0, 1, 2, 2, 2], [3, 4, 5, 5, 5], [3, 4, 5, 5, 5]]
    assert pad_to(image, 1, 1) is image
