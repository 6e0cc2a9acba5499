"""Unpacking archives that somebody else made: no path outside the target, no links, no more bytes than allowed."""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from harness.errors import DataError

BLOCK = 1 << 20
DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError)


@dataclass(frozen=True)
class _Member:
    name: str
    folder: bool
    file: bool
    size: int
    source: Any


def unpack(archive: Path, target: Path, largest: int, strip: bool) -> int:
    """Unpacks a zip or tar archive into `target`, all or nothing, beside what is there; returns the number of files.

    Args:
        largest: bytes that all files together may have.
        strip: leave out the one folder that holds everything, where there is such a one.

    Raises:
        DataError: not an archive, damaged, or with a member that is refused; nothing of it is in `target` then.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix="unpacking-", dir=target.parent))
    try:
        everything = temporary / "everything"
        everything.mkdir()
        with _opened(archive) as (members, read):
            count = _write(archive, members, read, everything, largest)
        tops = list(everything.iterdir())
        inner = tops[0] if strip and len(tops) == 1 and tops[0].is_dir() else everything
        move_into(target, inner, archive.name)
        return count
    except DAMAGED as error:
        of_disk = isinstance(error, OSError) and error.errno  # a full one, say: the archive may be whole
        advice = "" if of_disk else "; delete it to download it again, or unpack it by hand"
        raise DataError(f"{archive}: cannot be unpacked ({error}){advice}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def move_into(target: Path, folder: Path, what: str) -> None:
    """Moves all that is in `folder`, or none of it, into `target`, beside what is there.

    Raises:
        DataError: one of it is there.
    """
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder, target)
        return
    items = list(folder.iterdir())
    for item in items:
        if (target / item.name).exists():
            raise DataError(f"{target / item.name}: already there; move it away to unpack {what} again")
    moved: list[str] = []
    try:
        for item in items:
            moved.append(item.name)
            shutil.move(item, target / item.name)
    except BaseException:  # an interruption too: what is there in part would be taken for all
        for name in moved:
            if (target / name).exists() and not (folder / name).exists():
                shutil.move(target / name, folder / name)
        raise


def _write(archive: Path, members: list[_Member], read: Any, folder: Path, largest: int) -> int:
    total = sum(member.size for member in members)
    if total > largest:
        raise DataError(
            f"{archive}: {total:,} bytes unpacked; expected at most {largest:,}. It is not what it should be."
        )
    left, count = largest, 0
    for member in members:
        path = folder / _safe(archive, member)
        if member.folder:
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with read(member) as source, path.open("xb") as file:
            while block := source.read(min(BLOCK, left + 1)):
                left -= len(block)
                if left < 0:  # headers may lie
                    raise DataError(f"{archive}: more than {largest:,} bytes unpacked; it is not what it should be")
                file.write(block)
        count += 1
    return count


def _safe(archive: Path, member: _Member) -> Path:
    name = PurePosixPath(member.name.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or ":" in member.name:
        raise DataError(f"{archive}: member {member.name!r} would lie outside the target; refused")
    if not member.folder and not member.file:
        raise DataError(f"{archive}: member {member.name!r} is a link or a device; refused")
    return Path(*name.parts)


@contextmanager
def _opened(archive: Path) -> Iterator[tuple[list[_Member], Any]]:
    if tarfile.is_tarfile(archive):  # first: a tar whose last member is a zip ends as a zip does
        with tarfile.open(archive) as tar:

            def read(member: _Member) -> IO[bytes]:
                file = tar.extractfile(member.source)
                assert file is not None
                return file

            yield [_Member(one.name, one.isdir(), one.isreg(), one.size, one) for one in tar.getmembers()], read
            _check_end(tar)
    elif zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            yield [_of_zip(info) for info in opened.infolist()], lambda member: opened.open(member.source)
    else:
        raise DataError(
            f"{archive}: neither a zip nor a tar archive; unpack it by hand, or delete it to download it again"
        )


def _check_end(tar: tarfile.TarFile) -> None:
    """Raises `tarfile.ReadError` unless the members end at the mark of a tar's end: at a cut or a damaged header, where
    `tarfile` stops too, there is none. Reads on to the end, where a compressed stream has its checksum."""
    stream = tar.fileobj
    assert stream is not None
    stream.seek(tar.offset)  # type: ignore[attr-defined]
    if stream.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
        raise tarfile.ReadError("it ends too early, or is damaged within")
    while stream.read(BLOCK):
        pass


def _of_zip(info: zipfile.ZipInfo) -> _Member:
    mode = info.external_attr >> 16
    plain = not mode or stat.S_IFMT(mode) in (0, stat.S_IFREG)
    return _Member(info.filename, info.is_dir(), plain and not info.is_dir(), info.file_size, info)
