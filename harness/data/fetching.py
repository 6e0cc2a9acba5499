"""Downloading a benchmark from where its authors offer it: resumed where it broke off, checked, unpacked safely."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.benchmark import Benchmark, Download
from harness.errors import DataError, HarnessError
from harness.files.archives import move_into, unpack

DOWNLOADS = ".downloads"  # in the data root; kept, so that nothing is downloaded twice
BLOCK = 1 << 16  # bytes; what is lost where a connection breaks
TIMEOUT = 60
Progress = Callable[[int, int], None]


def fetch(
    benchmark: Benchmark, data_root: Path, url: str = "", sha256: str = "", progress: Progress | None = None
) -> Path:
    """The folder of `benchmark` under `data_root`, downloaded if it is not there.

    Args:
        url: one archive to take in the place of the authors' own.
        sha256: what that archive's must be, if known.
        progress: called with bytes so far and in all (0 where the server does not say).

    Raises:
        HarnessError: the authors offer no plain download; the message says how to ask for it.
        DataError: the download failed or is not what it should be, or the archive is refused.
    """
    if benchmark.locate(data_root):
        raise HarnessError(
            f"{benchmark.locate(data_root)}: already there; 'harness data check {benchmark.name}' reads it"
        )
    downloads = (Download(url, sha256=sha256),) if url else benchmark.downloads
    if not downloads:
        raise HarnessError(
            f"dataset {benchmark.name}: {benchmark.how_to_get or 'its authors offer no plain download'} See "
            f"{benchmark.homepage}. Unpack it to {data_root / benchmark.expected[0]}, or give an archive's address with --url."
        )
    target = data_root / benchmark.expected[0]
    archives = [downloaded(download, data_root / DOWNLOADS, progress) for download in downloads]
    with tempfile.TemporaryDirectory(prefix="unpacking-", dir=data_root) as temporary:
        together = Path(temporary) / "all"  # of them, or none
        for archive, download in zip(archives, downloads, strict=True):
            unpack(archive, together, download.largest, strip=len(downloads) == 1)
        move_into(target, together, " and ".join(archive.name for archive in archives))
    return target


def downloaded(download: Download, folder: Path, progress: Progress | None = None) -> Path:
    """The file of `download` in `folder`, through pooch: kept from before, or fetched and checked.

    Where nobody published a checksum, that of the first download is noted beside the file and expected from then on.
    """
    import pooch

    # Archives of several benchmarks may be called alike: main.zip, download, content.
    address = hashlib.sha256(download.url.encode()).hexdigest()[:8]
    name = f"{address}-{download.url.rsplit('/', 1)[-1].partition('?')[0] or 'archive'}"
    noted = folder / f"{name}.sha256"
    expected = download.sha256 or (noted.read_text(encoding="utf-8").strip() if noted.is_file() else "")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = pooch.retrieve(
            download.url,
            known_hash=f"sha256:{expected}" if expected else None,
            fname=name,
            path=folder,
            downloader=_Resuming(folder / f"{name}.part", download.size, progress),
        )
    except ValueError as error:  # pooch's word for a wrong checksum
        (folder / f"{name}.part").unlink(missing_ok=True)
        raise DataError(f"{download.url}: {str(error).splitlines()[0]}") from None
    except OSError as error:
        raise DataError(
            f"{download.url}: cannot be downloaded ({error}); the same command continues where it stopped"
        ) from None
    if not expected:
        noted.write_text(pooch.file_hash(found) + "\n", encoding="utf-8")
    return Path(found)


class _Resuming:
    """A pooch downloader that keeps what it has in `part` and asks the server only for the rest."""

    def __init__(self, part: Path, size: int, progress: Progress | None) -> None:
        self.part, self.size, self.progress = part, size, progress

    def __call__(self, url: str, output_file: str, _pooch: Any, check_only: bool = False) -> None:
        import requests

        have = self.part.stat().st_size if self.part.is_file() else 0
        if not (self.size and have == self.size):
            headers = {"Range": f"bytes={have}-"} if have else {}
            with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
                if answer.status_code == 416:  # nothing is left to send
                    pass
                else:
                    answer.raise_for_status()
                    self._save(answer, have if answer.status_code == 206 else 0)
        have = self.part.stat().st_size
        if self.size and have != self.size:
            raise OSError(f"{have:,} bytes came, {self.size:,} expected")
        os.replace(self.part, output_file)

    def _save(self, answer: Any, have: int) -> None:
        announced = int(answer.headers.get("Content-Length", 0))
        total = have + announced if announced else 0
        with self.part.open("ab" if have else "wb") as file:
            for block in answer.iter_content(BLOCK):
                file.write(block)
                have += len(block)
                if self.progress:
                    self.progress(have, total)
        if total and have < total:
            raise OSError(f"{have:,} of {total:,} bytes came")
