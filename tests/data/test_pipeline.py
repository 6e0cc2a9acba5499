"""Batches: their contract, their independence of threads, the image store behind them."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import write_jpeg

from harness.benchmark import Benchmark, Sample
from harness.data.datasets.synth import SYNTH
from harness.data.image_store import ImageStore
from harness.data.pipeline import AHEAD, Pipeline, Waiting, padded
from harness.host.plugins import load_host
from harness.recipe import COMMON, Recipe

RECIPE = replace(COMMON, crop=64)


def pipeline(recipe: Recipe = RECIPE, seed: int = 0, channels: int = 3) -> Pipeline:
    samples = SYNTH.index(Path())[:7]
    return Pipeline(SYNTH, samples, ImageStore(SYNTH, channels), recipe, 8, seed)


def test_contract() -> None:
    for images, points, maps in pipeline().epoch(0, 3):
        assert list(maps) == ["frame"] and (maps["frame"] == np.array([0, 0, 64, 64])).all()
        assert images.shape == (4, 64, 64, 3) and images.dtype == np.uint8
        batch, rows, columns = points.shape
        assert (batch, columns) == (4, 4) and points.dtype == np.float32
        assert rows & (rows - 1) == 0
        valid = points[..., 3] == 1
        assert ((points[valid][:, :2] >= 0) & (points[valid][:, :2] < 64)).all()
        assert set(np.unique(points[..., 3])) <= {0.0, 1.0}
        assert (points[..., 2] > 0).all()


@pytest.mark.parametrize("steps", [1, 5, 8, 9, 20])
def test_an_epoch_has_exactly_its_steps(steps: int) -> None:
    assert len(list(pipeline().epoch(0, steps))) == steps


def test_the_same_seed_gives_the_same_batches_and_others_others() -> None:
    first, second = list(pipeline().epoch(3, 4)), list(pipeline().epoch(3, 4))
    for (image, points, _), (same_image, same_points, _) in zip(first, second, strict=True):
        np.testing.assert_array_equal(image, same_image)
        np.testing.assert_array_equal(points, same_points)
    assert not np.array_equal(first[0][0], next(iter(pipeline(seed=1).epoch(3, 4)))[0])
    assert not np.array_equal(first[0][0], next(iter(pipeline().epoch(4, 4)))[0])


def test_an_epoch_that_is_left_early_stops_its_threads() -> None:
    import threading

    before = threading.active_count()
    epoch = pipeline().epoch(0, 50)
    next(epoch)
    epoch.close()
    assert threading.active_count() == before


def test_an_unreadable_image_stops_the_epoch_with_its_name(tmp_path: Path) -> None:
    from harness.errors import DataError

    path = tmp_path / "bad.jpg"
    path.write_bytes(b"nothing")
    benchmark = replace(SYNTH, read_image=Benchmark.read_image)
    broken = Pipeline(benchmark, (Sample("bad", "train", path),), ImageStore(benchmark, 3), RECIPE, 8, 0)
    with pytest.raises(DataError, match=r"bad\.jpg"):
        list(broken.epoch(0, 2))


def test_crops_by_share_follow_the_image() -> None:
    recipe = replace(RECIPE, crop=None, crop_share=0.5, images_per_step=1, crops_per_image=3)
    images, points, _ = next(pipeline(recipe).epoch(0, 1))
    assert images.shape == (3, 96, 128, 3) and len(points) == 3


def test_each_step_draws_one_of_several_shares() -> None:
    recipe = replace(RECIPE, crop=None, crop_share=(0.25, 0.25, 0.25, 1.0), images_per_step=1)
    shapes = [images.shape[1:3] for images, _, _ in pipeline(recipe).epoch(0, 80)]
    assert set(shapes) == {(48, 64), (192, 256)}
    assert 45 <= shapes.count((48, 64)) <= 75  # of 80, three in four


def test_label_maps_travel_with_their_pixels() -> None:
    """A map that is a copy of the image's red channel is still that after cropping, scaling, padding and mirroring."""
    from harness.label_map import LabelMap

    red = LabelMap(
        "red", lambda benchmark, sample, points, shape: benchmark.read_image(sample, 3)[:, :, 0].astype("f4")
    )
    samples = SYNTH.index(Path())[:4]
    recipe = replace(RECIPE, crop=208, scales=(0.8, 1.2))  # higher than the scenes
    made = Pipeline(SYNTH, samples, ImageStore(SYNTH, 3), recipe, 8, 0, {"red": red})
    for images, _, maps in made.epoch(0, 4):
        assert maps["red"].shape == (4, 208, 208, 1) and maps["red"].dtype == np.float32
        np.testing.assert_allclose(maps["red"][..., 0], images[..., 0], atol=1.01)  # one grey value of rounding


@pytest.mark.parametrize("flip", [0.0, 1.0])
@pytest.mark.parametrize("stride", [1, 4, 8, 16])
def test_in_a_crop_of_a_smaller_picture_every_head_counts_one_where_the_test_looks(stride: int, flip: float) -> None:
    """Pictures of 158×238 in crops of 256²: the test drops the cells behind the picture, and what lay there would be lost."""
    from keras import ops

    from harness.nn.batch import Batch

    generator = np.random.default_rng(stride)
    heads = {f"{n}": generator.uniform(0, [238, 158], (40, 2)) for n in range(3)}
    heads["0"][:4] = [[0, 0], [237.99, 157.99], [3, 157.5], [237.5, 80]]
    small = replace(
        SYNTH,
        read_image=lambda sample, channels: np.zeros((158, 238, channels), np.uint8),
        read_points=lambda sample: heads[sample.name],
    )
    samples = tuple(Sample(name, "train") for name in heads)
    recipe = replace(RECIPE, crop=256, flip=flip, images_per_step=3)
    ((images, points, maps),) = Pipeline(small, samples, ImageStore(small, 1), recipe, 16, 0).epoch(0, 1)
    density = ops.convert_to_numpy(Batch(images, points, maps).density(stride))[..., 0]
    rows, columns = -(-158 // stride), -(-238 // stride)
    seen = density[:, :rows, density.shape[2] - columns :] if flip else density[:, :rows, :columns]
    np.testing.assert_allclose(seen.sum(axis=(1, 2)), 40, rtol=1e-5)
    np.testing.assert_allclose(density.sum(axis=(1, 2)), 40, rtol=1e-5)


def test_a_region_travels_with_its_crops_and_every_head_in_it_counts_one() -> None:
    """Seen through the batch that a loss is given: whatever part of the region a crop holds, nothing is lost at its border."""
    from keras import ops

    from harness.data.regions import seen_inside
    from harness.nn.batch import Batch

    def left_of_a_slope(sample: Sample) -> np.ndarray:
        return np.arange(256)[None, :] < 100 + np.arange(192)[:, None] // 2

    benchmark = seen_inside(replace(SYNTH, read_roi=left_of_a_slope), "mask")
    samples = SYNTH.index(Path())[:4]
    recipe = replace(RECIPE, crop=96)
    heads = 0.0
    for images, points, maps in Pipeline(benchmark, samples, ImageStore(benchmark, 3), recipe, 8, 0).epoch(0, 6):
        region = maps["region"][..., 0]
        assert region.shape == images.shape[:3] and set(np.unique(region)) <= {0.0, 1.0}
        assert not images[region == 0].any(), "the picture is black where the region is not"
        density = ops.convert_to_numpy(Batch(images, points, maps).density(8))[..., 0]
        shares = region.reshape(len(region), 12, 8, 12, 8).mean(axis=(2, 4))
        np.testing.assert_allclose(
            (density * shares).sum(axis=(1, 2)), points[..., 3].sum(axis=1), rtol=1e-4, atol=1e-6
        )
        heads += points[..., 3].sum()
    assert heads > 10


@pytest.mark.parametrize(("recipe", "expected"), [("common", 0.2 * 30), ("paper", 4.0)])
def test_kernels_in_metres_are_for_recipes_that_want_them(recipe: str, expected: float) -> None:
    """A benchmark's own kernels (0.2 m at 30 pixels a metre) are the common recipe's; a paper's recipe keeps its rule."""
    from harness.head_spacing import Sigma
    from harness.recipe import COMMON

    benchmark = replace(SYNTH, sigma_metres=0.2, read_perspective=lambda sample: np.full((192, 256), 30.0, np.float32))
    chosen = COMMON if recipe == "common" else Recipe("paper", epochs=1, sigma=Sigma(4.0))
    made = Pipeline(benchmark, SYNTH.index(Path())[:1], ImageStore(benchmark, 3), chosen, 8, 0)
    np.testing.assert_allclose(made.heads(made.samples[0])[:, 2], expected, rtol=1e-6)


def test_papers_that_say_so_have_worldexpos_own_kernels() -> None:
    """SSR-HEF's section IV and MCNN's: "the provided perspective maps are also used to encode the ground-truth density map"."""
    methods = load_host().methods
    own = {name for name, method in methods.items() if method.recipe_for("worldexpo10").benchmark_kernels}
    assert own == {"ssr_hef", "mcnn"}
    assert not any(method.recipe_for("shtech_a").benchmark_kernels for method in methods.values())


def test_waiting_is_measured() -> None:
    waiting = Waiting()
    list(pipeline().epoch(0, 3, waiting))
    assert waiting.seconds > 0


@pytest.mark.parametrize(("heads", "rows"), [(0, 64), (64, 64), (65, 128), (128, 128), (129, 256)])
def test_padding_goes_to_the_next_power_of_two(heads: int, rows: int) -> None:
    points = padded([np.ones((heads, 3), np.float32), np.zeros((0, 3), np.float32)])
    assert points.shape == (2, rows, 4)
    assert points[..., 3].sum() == heads


def file_benchmark() -> Benchmark:
    return replace(SYNTH, read_image=Benchmark.read_image)


def samples_on_disk(folder: Path, count: int = 4) -> tuple[Sample, ...]:
    generator = np.random.default_rng(0)
    return tuple(
        Sample(
            str(n),
            "train",
            write_jpeg(folder / f"{n}.jpg", generator.integers(0, 255, (40, 50, 3), np.uint8)),
        )
        for n in range(count)
    )


def test_the_store_maps_what_does_not_fit_in_memory(tmp_path: Path) -> None:
    samples = samples_on_disk(tmp_path)
    store = ImageStore(file_benchmark(), 3, memory=2 * 40 * 50 * 3, folder=tmp_path / "cache")
    images = [store.get(sample) for _ in range(2) for sample in samples][len(samples) :]
    assert [isinstance(image, np.memmap) for image in images] == [False, False, True, True]
    for sample, image in zip(samples, images, strict=True):
        np.testing.assert_array_equal(image, file_benchmark().read_image(sample, 3))
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc")
def test_mapped_pictures_hold_no_files_open(tmp_path: Path) -> None:
    """A process may have 1,024 files open, or 256, and benchmarks have thousands of pictures."""
    samples = samples_on_disk(tmp_path, 12)
    store = ImageStore(file_benchmark(), 3, memory=0, folder=tmp_path / "cache")
    for sample in 2 * samples:
        store.get(sample)
    gc.collect()
    assert not [path for path in Path("/proc/self/fd").iterdir() if str(tmp_path) in str(path.resolve())]
    assert not [line for line in Path("/proc/self/maps").read_text().splitlines() if str(tmp_path) in line]


@pytest.mark.parametrize("left", [0, 60, 200, None])
def test_a_damaged_file_of_the_cache_is_made_again(tmp_path: Path, left: int | None) -> None:
    (sample,) = samples_on_disk(tmp_path, 1)
    expected = np.array(ImageStore(file_benchmark(), 3, memory=0, folder=tmp_path / "cache").get(sample))
    (file,) = (tmp_path / "cache").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b"}", b" ") if left is None else whole[:left])
    again = ImageStore(file_benchmark(), 3, memory=0, folder=tmp_path / "cache")
    np.testing.assert_array_equal(again.get(sample), expected)
    assert file.read_bytes() == whole and isinstance(again.get(sample), np.memmap)


def test_a_changed_source_is_not_served_from_the_cache(tmp_path: Path) -> None:
    (sample,) = samples_on_disk(tmp_path, 1)
    first = np.array(ImageStore(file_benchmark(), 1, memory=0, folder=tmp_path / "cache").get(sample))
    assert sample.image is not None
    write_jpeg(sample.image, np.zeros((40, 50, 3), np.uint8))
    second = ImageStore(file_benchmark(), 1, memory=0, folder=tmp_path / "cache").get(sample)
    assert first.any() and not second.any()


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path: Path) -> None:
    (sample,) = samples_on_disk(tmp_path, 1)
    (tmp_path / "file").write_text("")
    store = ImageStore(file_benchmark(), 3, memory=0, folder=tmp_path / "file" / "cache")
    with pytest.warns(UserWarning, match="cannot cache images"):
        image = store.get(sample)
    np.testing.assert_array_equal(image, file_benchmark().read_image(sample, 3))
    assert store.get(sample).shape == (40, 50, 3)


def test_what_is_in_a_cache_is_read_where_nothing_more_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, missing = samples_on_disk(tmp_path, 2)
    store = ImageStore(file_benchmark(), 3, memory=0, folder=tmp_path / "cache")
    store.get(there)

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.warns(UserWarning, match="cannot cache images"):
        store.get(missing)
    assert isinstance(store.get(there), np.memmap)


def test_the_next_batches_are_sent_while_a_step_runs() -> None:
    """Whoever holds the first batch and asks for no other finds the next seven sent, by other threads."""
    import threading

    sent: list[str] = []
    all_there = threading.Event()

    def send(batch: object) -> object:
        sent.append(threading.current_thread().name)
        if len(sent) == AHEAD:
            all_there.set()
        return batch

    epoch = pipeline().epoch(0, 20, sent=send)
    next(epoch)
    assert all_there.wait(60), f"{len(sent)} sent"
    epoch.close()
    assert len(sent) == AHEAD and threading.current_thread().name not in sent
