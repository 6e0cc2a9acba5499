"""`harness eval` and `harness count` with weights the command itself has trained."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import Command, one_line, run, write_jpeg

from harness.runs import records


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MCNN trained on the smoke budget by the command itself."""
    folder = tmp_path_factory.mktemp("trained")
    harness = str(Path(sys.executable).with_name("harness"))
    options = ["--methods", "mcnn", "--datasets", "synth", "--budget", "smoke"]
    done = subprocess.run([harness, "bench", *options], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next((folder / "runs").rglob("best.weights.h5"))


def test_eval_gives_what_the_bench_gave(harness: Command, trained: Path) -> None:
    record = records.read(trained.with_name("record.json"))
    assert record.results is not None
    done = harness("eval", "--method", "mcnn", "--weights", trained, "--dataset", "synth", "--json")
    assert done.returncode == 0 and not done.stderr
    result = json.loads(done.stdout)
    assert list(result) == [
        "method",
        "dataset",
        "split",
        "images",
        "inexact_images",
        "mae",
        "rmse",
        "nae",
        "game",
        "localisation",
        "groups",
        "seconds",
        "per_image",
    ]
    assert result["images"] == 24 and len(result["game"]) == 4
    ours = {image["image"]: image["predicted"] for image in result["per_image"]}
    for image in record.results.per_image:
        assert ours[image.image] == pytest.approx(image.predicted, rel=1e-5)
    matched = sum(image.located.matched["8"] for image in record.results.per_image if image.located)
    heads = sum(image.true for image in record.results.per_image)
    assert list(result["localisation"]) == ["4", "8"]
    # On a ground that is drawn even, round-off decides which peaks are highest.
    assert result["localisation"]["8"]["recall"] == pytest.approx(matched / heads, abs=0.02)
    errors = [image["predicted"] - image["true"] for image in result["per_image"]]
    assert result["mae"] == pytest.approx(np.abs(errors).mean())
    assert result["game"][0] == pytest.approx(result["mae"])
    everything = json.loads(
        harness(
            "eval", "--method", "mcnn", "--weights", trained, "--dataset", "synth", "--split", "all", "--json"
        ).stdout
    )
    assert everything["images"] == 84


def test_weights_of_another_method_are_named(harness: Command, trained: Path) -> None:
    done = harness("eval", "--method", "csrnet", "--weights", trained, "--dataset", "synth")
    assert done.returncode == 2
    assert "weights of method 'mcnn'; expected 'csrnet'. Try --method mcnn." in one_line(done)


def test_weights_that_are_no_weights_are_named(harness: Command, tmp_path: Path) -> None:
    (tmp_path / "x.weights.h5").write_text("nothing")
    done = harness("eval", "--method", "mcnn", "--weights", "x.weights.h5", "--dataset", "synth")
    assert done.returncode == 2 and "neither native Keras weights" in one_line(done)


def test_count_overwrites_nothing_that_it_reads(harness: Command, trained: Path, tmp_path: Path) -> None:
    """A table's name forgotten before a glob, an overlay's name that a picture has, a COCO file of somebody's own."""
    for name in ("a.png", "a_mcnn.png"):
        cv2.imwrite(str(tmp_path / name), np.full((64, 64, 3), 90, np.uint8))
    weights = tmp_path / "mine.weights.h5"
    weights.write_bytes(trained.read_bytes())
    (tmp_path / "points.json").write_text('{"images": []}')
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    using = ("--method", "mcnn", "--weights", weights)
    for images, options, said in (
        (["a.png", "a_mcnn.png"], ["--overlay", "."], "a_mcnn.png: would be written over"),
        (["a.png"], ["--csv", "a_mcnn.png"], "--csv a_mcnn.png: expected the name of a table to write"),
        (["a.png"], ["--csv", "mine.weights.h5"], "--csv mine.weights.h5: expected the name of a table"),
        (["a.png"], ["--points", "."], "points.json: lies there, and was not made by harness count"),
    ):
        done = harness("count", *images, *using, *options)
        assert done.returncode == 2 and said in one_line(done), done.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    for _ in range(2):  # its own it replaces
        assert harness("count", "a.png", *using, "--points", "found").returncode == 0


def test_one_region_or_picture_costs_no_other(harness: Command, trained: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "b.png"), np.full((64, 64, 3), 90, np.uint8))
    left, outside = ([[x, 0], [x + 32, 0], [x + 32, 64], [x, 64]] for x in (0, 900))
    (tmp_path / "roi.json").write_text(json.dumps({"x": outside, "y": left}))
    using = ("--method", "mcnn", "--weights", trained)
    done = harness("count", "b.png", "./b.png", *using, "--roi", "roi.json", "--csv", "t.csv")
    assert done.returncode == 1 and "region 'x' holds none" in done.stderr
    assert [line.split(",")[:2] for line in (tmp_path / "t.csv").read_text().splitlines()[1:]] == [["b.png", "y"]]


def test_weights_that_cannot_be_read_are_said_in_one_line(harness: Command, trained: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "b.png"), np.full((64, 64, 3), 90, np.uint8))
    content = trained.read_bytes()
    (tmp_path / "half.weights.h5").write_bytes(content[: len(content) // 2])
    (tmp_path / "w.h5").write_bytes(content)
    for name, said in (("half.weights.h5", "damaged, or written by another version"), ("w.h5", "call it w.weights.h5")):
        done = harness("count", "b.png", "--method", "mcnn", "--weights", name)
        assert done.returncode == 2 and said in one_line(done)


def test_count_prints_counts_and_draws_overlays(harness: Command, trained: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    cv2.imwrite(str(tmp_path / "one.png"), np.zeros((1, 1, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "odd.jpg"), generator.integers(0, 255, (131, 87, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "deep.png"), generator.integers(0, 65535, (64, 64, 4), np.uint16))
    images = ("one.png", "odd.jpg", "deep.png")
    done = harness("count", *images, "--method", "mcnn", "--weights", trained, "--overlay", "drawn", "--json")
    assert done.returncode == 0, done.stderr
    counted = json.loads(done.stdout)
    assert [entry["image"] for entry in counted] == list(images)
    assert all(np.isfinite(entry["count"]) for entry in counted)
    height, width, _ = cv2.imread(str(tmp_path / counted[1]["overlay"])).shape
    assert width == 4 * 87 and height > 4 * 131  # enlarged, with a legend below
    options = ["--method", "mcnn", "--weights", trained, "--points", "found", "--csv", "counts.csv"]
    lines = harness("count", *images, *options).stdout.splitlines()
    assert [float(line.split()[0]) for line in lines] == pytest.approx([entry["count"] for entry in counted], abs=0.06)
    assert [line.rpartition("  → ")[2] for line in lines] == [
        f"found/{Path(name).stem}_mcnn_points.csv" for name in images
    ]
    assert sorted(path.name for path in (tmp_path / "found").glob("*.png")) == [
        "deep_mcnn_points.png",
        "odd_mcnn_points.png",
        "one_mcnn_points.png",
    ]
    assert [
        image["file_name"] for image in json.loads((tmp_path / "found" / "points.json").read_text())["images"]
    ] == list(images)
    assert (tmp_path / "counts.csv").read_text().startswith("image,count,points\n")


def test_count_names_what_it_cannot_read(harness: Command, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff\xda" + b"0" * 50)
    done = harness("count", "bad.jpg", "--method", "mcnn", "--weights", trained)
    assert done.returncode == 2 and "bad.jpg: truncated image" in one_line(done)
    write_jpeg(tmp_path / "good.jpg", np.full((16, 24, 3), 90, np.uint8))
    some = harness("count", "bad.jpg", "good.jpg", "--method", "mcnn", "--weights", trained, "--csv", "new/counts.csv")
    assert some.returncode == 1 and some.stdout.endswith("  good.jpg\n")
    assert "not counted: bad.jpg: truncated image" in some.stderr
    assert (tmp_path / "new" / "counts.csv").read_text().startswith("image,count\ngood.jpg,")
    assert "gone.jpg: no such image" in one_line(harness("count", "gone.jpg", "--method", "mcnn", "--weights", trained))


def test_a_picture_that_a_region_misses_does_not_cost_the_others(
    harness: Command, trained: Path, tmp_path: Path
) -> None:
    for name, side in (("a.jpg", 200), ("b.jpg", 40), ("c.jpg", 200)):
        write_jpeg(tmp_path / "roi" / name, np.full((side, side, 3), 90, np.uint8))
    (tmp_path / "roi.json").write_text("[[100, 100], [180, 100], [180, 180]]")
    options = ["--method", "mcnn", "--weights", trained, "--roi", "roi.json", "--csv", "roi.csv"]
    done = harness("count", "roi", *options)
    assert done.returncode == 1 and done.stdout.count("\n") == 2
    assert "not counted: roi/b.jpg: the region holds none of its 40 × 40 pixels" in done.stderr
    assert [line.partition(",")[0] for line in (tmp_path / "roi.csv").read_text().split()[1:]] == [
        "roi/a.jpg",
        "roi/c.jpg",
    ]


def test_broken_weights_are_named(harness: Command, trained: Path, tmp_path: Path) -> None:
    import h5py

    (tmp_path / "nan.weights.h5").write_bytes(trained.read_bytes())
    with h5py.File(tmp_path / "nan.weights.h5", "r+") as file:
        found: list[h5py.Dataset] = []
        file.visititems(lambda _, each: found.append(each) if isinstance(each, h5py.Dataset) and each.ndim else None)
        for each in found:
            each[...] = np.nan
    write_jpeg(tmp_path / "a.jpg", np.full((32, 32, 3), 90, np.uint8))
    options = ["--method", "mcnn", "--weights", "nan.weights.h5"]
    for command in (["count", "a.jpg", *options, "--json"], ["eval", *options, "--dataset", "synth", "--json"]):
        done = harness(*command)
        assert done.returncode == 2 and not done.stdout
        assert "finite number; these weights are broken" in one_line(done)


def test_a_split_without_images_is_named(harness: Command, trained: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_jpeg(tmp_path / "two" / f"{name}.jpg", np.full((32, 32, 3), 90, np.uint8))
        (tmp_path / "two" / f"{name}.txt").write_text("3 4\n")
    done = harness("eval", "--method", "mcnn", "--weights", trained, "--dataset", "two", "--split", "val")
    assert done.returncode == 2 and "--split val: two has no images there" in one_line(done)
    assert "by key" not in harness("eval", "--method", "mcnn", "--weights", trained, "--dataset", "two").stdout


# `ru_maxrss` of a child begins with what the process that started it held, and a worker of the suite holds a lot by then.
SAYS_ITS_PEAK = """
import sys
from pathlib import Path
from harness.commands.cli import main
try:
    main()
finally:
    print(Path("/proc/self/status").read_text())
"""


@pytest.mark.skipif(
    not Path("/proc/self/status").is_file(), reason="the kernel does not say what a process held at most"
)
def test_a_large_photograph_stays_under_4_gib(trained: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (500, 750, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "large.jpg"), cv2.resize(noise, (6000, 4000)))
    command = ["count", "large.jpg", "--method", "mcnn", "--weights", str(trained), "--overlay", "drawn"]
    said = run(sys.executable, "-c", SAYS_ITS_PEAK, *command, cwd=tmp_path)
    peak = int(re.search(r"VmHWM:\s+(\d+) kB", said)[1])
    assert 2**17 < peak < 4 * 2**20, f"{peak / 2**20:.2f} GiB"
