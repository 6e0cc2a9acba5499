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
            _unpack(archive, together, download, strip=len(downloads) == 1)
        move_into(target, together, " and ".join(archive.name for archive in archives))
    return target


def _unpack(archive: Path, together: Path, download: Download, strip: bool) -> None:
    """Unpacks what was downloaded, and then notes its checksum: what is no whole archive is not to be expected again."""
    import pooch

    unpack(archive, together, download.largest, strip)
    noted = _noted(archive)
    if not download.sha256 and not noted.is_file():
        noted.write_text(pooch.file_hash(str(archive)) + "\n", encoding="utf-8")


def _noted(archive: Path) -> Path:
    return archive.with_name(f"{archive.name}.sha256")


def downloaded(download: Download, folder: Path, progress: Progress | None = None) -> Path:
    """The file of `download` in `folder`, through pooch: kept from before, or fetched and checked.

    Where nobody published a checksum, that of the first download that could be unpacked, noted beside the file, is expected.
    """
    import pooch

    # Archives of several benchmarks may be called alike: main.zip, download, content.
    address = hashlib.sha256(download.url.encode()).hexdigest()[:8]
    name = f"{address}-{download.url.rsplit('/', 1)[-1].partition('?')[0] or 'archive'}"
    noted = _noted(folder / name)
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
    return Path(found)


class _Resuming:
    """A pooch downloader that keeps what it has in `part` and asks the server only for the rest."""

    def __init__(self, part: Path, size: int, progress: Progress | None) -> None:
        self.part, self.size, self.progress = part, size, progress

    def __call__(self, url: str, output_file: str, _pooch: Any, check_only: bool = False) -> None:
        import requests

        have = self.part.stat().st_size if self.part.is_file() else 0
        whole = self.size
        if not (whole and have == whole):
            headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
            with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
                if answer.status_code == 416:  # nothing is left to send
                    whole = whole or int(answer.headers.get("Content-Range", "").rpartition("/")[2].strip("*") or have)
                else:
                    answer.raise_for_status()
                    self._save(answer, have if answer.status_code == 206 else 0)
        have = self.part.stat().st_size
        if whole and have != whole:
            if have > whole:
                self.part.unlink()
            raise OSError(f"{have:,} bytes came, {whole:,} expected")
        os.replace(self.part, output_file)

    def _save(self, answer: Any, have: int) -> None:
        import urllib3

        announced = int(answer.headers.get("Content-Length", 0))
        total = have + announced if announced else 0
        with self.part.open("ab" if have else "wb") as file:
            try:
                # As it was sent, which is what sizes and ranges count: a server may call a .tar.gz a tar that is encoded.
                for block in answer.raw.stream(BLOCK, decode_content=False):
                    file.write(block)
                    have += len(block)
                    if self.progress:
                        self.progress(have, total)
            except urllib3.exceptions.HTTPError as error:
                raise OSError(f"{error}") from None
        if total and have < total:
            raise OSError(f"{have:,} of {total:,} bytes came")
