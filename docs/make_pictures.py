"""Makes docs/pictures: three drawn scenes with what a network counts in them, and the page of reports of the same runs.

    python docs/make_pictures.py [--runs DIR]

Without finished runs in DIR it trains three small networks on drawn scenes first: about eight minutes on two CPU cores. Needs a
Chromium for the page. Everything in the pictures is drawn, so they may be passed on.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from harness.runs import examples
from harness.runs.overlay import GROUND
from harness.runs.records import read_all

PICTURES = Path(__file__).parent / "pictures"
METHODS, BEST = "mcnn,ssr_hef,at_cfcn", "ssr_hef"
MOST_BYTES = 300 * 1024
GAP, WIDTH = 12, 1200  # pixels
PAGE = (1400, 1665)  # of which the head is shown
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def harness(*arguments: str | Path) -> None:
    """Runs the command of that name."""
    subprocess.run([sys.executable, "-m", "harness.commands.cli", *map(str, arguments)], check=True)


def scenes(folder: Path) -> np.ndarray:
    """uint8 [H, 1200, 3], BGR: the example pictures of the run in `folder`, above its densities over them."""
    columns = []
    for example in sorted(examples.read(folder), key=lambda one: one.true):
        kept = folder / examples.FOLDER
        density = cv2.imread(str(kept / example.predicted_density))
        picture = cv2.imread(str(kept / example.picture))
        high = round(picture.shape[0] * density.shape[1] / picture.shape[1])
        picture = cv2.resize(picture, (density.shape[1], high), interpolation=cv2.INTER_CUBIC)
        columns.append(np.concatenate([picture, _ground(GAP, density.shape[1]), density]))
    between = _ground(columns[0].shape[0], GAP)
    row = np.concatenate([part for column in columns for part in (between, column)][1:], axis=1)
    return cv2.resize(row, (WIDTH, round(row.shape[0] * WIDTH / row.shape[1])), interpolation=cv2.INTER_AREA)


def _ground(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), GROUND[::-1], np.uint8)


def page(runs: Path, folder: Path) -> np.ndarray:
    """uint8 [H, W, 3], BGR: the head of report.html, as a browser shows it."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit(f"no browser: none of {', '.join(BROWSERS)} is installed")
    harness("report", "--runs", runs, "--out", folder)
    shot = folder / "shot.png"
    size = f"--window-size={PAGE[0]},{PAGE[1]}"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars"]
    address = (folder / "report.html").resolve().as_uri()
    subprocess.run([browser, *options, f"--user-data-dir={folder / 'profile'}", f"--screenshot={shot}", size, address])
    return cv2.imread(str(shot))


def write(name: str, encoded: tuple[bool, np.ndarray]) -> None:
    """Writes a picture unless it is too large to be committed."""
    data = encoded[1].tobytes()
    if len(data) > MOST_BYTES:
        raise SystemExit(f"{name}: {len(data):,} bytes; at most {MOST_BYTES:,} may be committed")
    PICTURES.mkdir(exist_ok=True)
    (PICTURES / name).write_bytes(data)
    print(f"{PICTURES / name}: {len(data):,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/pictures"), help="folder of the runs (%(default)s)")
    runs = parser.parse_args().runs
    harness("bench", "--methods", METHODS, "--datasets", "synth", "--budget", "quick", "--out", runs)
    best = next(record for record in read_all([runs])[0] if record.method == BEST)
    write("scenes.jpg", cv2.imencode(".jpg", scenes(runs / best.name), [cv2.IMWRITE_JPEG_QUALITY, 85]))
    shown = page(runs, runs / "report")
    write("report.png", cv2.imencode(".png", shown, [cv2.IMWRITE_PNG_COMPRESSION, 9]))


if __name__ == "__main__":
    main()
