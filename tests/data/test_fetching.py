"""Downloads from a server of the test's own, and archives that want more than they may."""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import stat
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.benchmark import Benchmark, Download
from harness.data.fetching import downloaded, fetch
from harness.errors import DataError, HarnessError
from harness.files import archives
from harness.host.plugins import load_host


class Server:
    """Serves `files` by name, with ranges; breaks off after `most` bytes of an answer if that is set."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.ranges: list[str | None] = []
        self.most: int | None = None
        self.says_length, self.encoding, self.insists = True, "", False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = outer.files.get(self.path.lstrip("/"))
                if content is None:
                    self.send_error(404)
                    return
                asked = self.headers.get("Range")
                outer.ranges.append(asked)
                begin = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
                if begin >= len(content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(content)}")
                    self.end_headers()
                    return
                self.send_response(206 if asked else 200)
                if outer.says_length:
                    self.send_header("Content-Length", str(len(content) - begin))
                if outer.encoding and (outer.insists or outer.encoding in self.headers.get("Accept-Encoding", "")):
                    self.send_header("Content-Encoding", outer.encoding)
                self.end_headers()
                end = begin + outer.most if outer.most else None
                self.wfile.write(content[begin:end])

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.server.shutdown()
    running.server.server_close()


def zipped(folder: Path, top: str) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, f"{top}/{path.relative_to(folder)}")
    return output.getvalue()


@pytest.fixture
def qnrf(tmp_path: Path) -> bytes:
    benchmark = load_host().benchmark("ucf_qnrf")
    assert benchmark.write is not None
    benchmark.write(tmp_path / "drawn", 10, 0)
    return zipped(tmp_path / "drawn", "UCF-QNRF_ECCV18")


def test_from_download_to_images(server: Server, qnrf: bytes, harness: Any, tmp_path: Path) -> None:
    server.files["q.zip"] = qnrf
    arguments = ("data", "fetch", "ucf_qnrf", "--url", f"{server.address}/q.zip", "--data-root", "root")
    done = harness(*arguments)
    assert done.returncode == 0, done.stderr
    assert "10 images" in done.stdout and (tmp_path / "root" / "UCF-QNRF_ECCV18" / "Train").is_dir()
    (noted,) = (tmp_path / "root/.downloads").glob("*-q.zip.sha256")
    assert noted.read_text().strip() == hashlib.sha256(qnrf).hexdigest()
    again = harness(*arguments)
    assert again.returncode == 2 and "already there" in again.stderr


def test_a_broken_download_is_continued(server: Server, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4000
    server.files["f.zip"], server.most = content, 300_000
    download = Download(f"{server.address}/f.zip", sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(DataError, match="continues where it stopped"):
        downloaded(download, tmp_path)
    (part,) = tmp_path.glob("*-f.zip.part")
    kept = part.stat().st_size
    assert 0 < kept <= 300_000
    server.most = None
    assert downloaded(download, tmp_path).read_bytes() == content
    assert server.ranges[-1] == f"bytes={kept}-"


def test_a_wrong_checksum_is_refused_and_not_kept(server: Server, tmp_path: Path) -> None:
    server.files["f.zip"] = b"something else"
    with pytest.raises(DataError, match=r"(?i)hash"):
        downloaded(Download(f"{server.address}/f.zip", sha256="0" * 64), tmp_path)
    assert not list(tmp_path.glob("*f.zip"))


@pytest.mark.parametrize("second", ["absent", "damaged"])
def test_a_benchmark_of_two_archives_is_there_whole_or_not(server: Server, tmp_path: Path, second: str) -> None:
    """After a second archive that did not come, or could not be unpacked, the same command begins where it is needed."""
    frames, truth = (zip_of(tmp_path / name, {f"{name}.txt": name}) for name in ("frames", "truth"))
    server.files["frames.zip"] = frames
    if second == "damaged":
        server.files["truth.zip"] = b"Rar!"
    downloads = tuple(Download(f"{server.address}/{name}.zip") for name in ("frames", "truth"))
    benchmark = replace(load_host().benchmark("ucsd"), downloads=downloads)
    with pytest.raises(DataError):
        fetch(benchmark, tmp_path / "root")
    assert benchmark.locate(tmp_path / "root") is None
    assert not [path for path in (tmp_path / "root").iterdir() if path.name != ".downloads"]
    server.files["truth.zip"] = truth
    for path in (tmp_path / "root/.downloads").glob("*truth*"):
        path.unlink()
    folder = fetch(benchmark, tmp_path / "root")
    assert sorted(path.name for path in folder.iterdir()) == ["frames.txt", "truth.txt"]
    assert not [path for path in (tmp_path / "root").iterdir() if path not in (folder, tmp_path / "root/.downloads")]


def zip_of(path: Path, files: dict[str, str]) -> bytes:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path.read_bytes()


def test_files_of_one_name_at_two_addresses_are_two(server: Server, tmp_path: Path) -> None:
    for name in ("a/content", "b/content"):
        server.files[name] = name.encode()
        assert downloaded(Download(f"{server.address}/{name}"), tmp_path).read_bytes() == name.encode()


def mall_of(server: Server, name: str) -> tuple[Benchmark, Download]:
    download = Download(f"{server.address}/{name}")
    return replace(load_host().benchmark("mall"), downloads=(download,)), download


def test_a_file_that_changed_since_the_first_download_is_noticed(server: Server, tmp_path: Path) -> None:
    server.files["f.zip"] = zip_of(tmp_path / "f", {"a.txt": "first"})
    mall, download = mall_of(server, "f.zip")
    shutil.rmtree(fetch(mall, tmp_path / "root"))
    downloaded(download, tmp_path / "root/.downloads").unlink()
    server.files["f.zip"] = zip_of(tmp_path / "f", {"a.txt": "second"})
    with pytest.raises(DataError, match=r"(?i)hash"):
        fetch(mall, tmp_path / "root")


@pytest.mark.parametrize("first", ["a page to log in", "cut"])
def test_what_was_no_whole_archive_is_not_expected_again(server: Server, tmp_path: Path, first: str) -> None:
    whole = zip_of(tmp_path / "f", {"a.txt": "first"})
    server.files["f.zip"] = whole[: len(whole) // 2] if first == "cut" else b"<html>log in</html>"
    server.says_length = False
    mall, download = mall_of(server, "f.zip")
    with pytest.raises(DataError, match="delete it to download it again"):
        fetch(mall, tmp_path / "root")
    server.files["f.zip"] = whole
    downloaded(download, tmp_path / "root/.downloads").unlink()
    assert [path.name for path in fetch(mall, tmp_path / "root").iterdir()] == ["a.txt"]


@pytest.mark.parametrize("insists", [False, True])
def test_bytes_are_counted_as_they_are_sent(server: Server, tmp_path: Path, insists: bool) -> None:
    """A server that would encode is asked not to; one that calls a .tar.gz an encoded tar sends the .tar.gz all the same."""
    with tarfile.open(tmp_path / "f.tar.gz", "w:gz") as tar:
        tar.add(Path(__file__), "a.txt")
    packed = (tmp_path / "f.tar.gz").read_bytes()
    server.files["f.tar.gz"], server.encoding, server.insists, server.most = packed, "gzip", insists, 1000
    download = Download(f"{server.address}/f.tar.gz", size=len(packed))
    with pytest.raises(DataError, match="continues where it stopped"):
        downloaded(download, tmp_path / "root")
    (part,) = (tmp_path / "root").glob("*.part")
    assert part.read_bytes() == packed[: part.stat().st_size]
    server.most = None
    assert downloaded(download, tmp_path / "root").read_bytes() == packed


@pytest.mark.parametrize("size", [True, False])
def test_a_part_that_is_longer_than_the_file_is_thrown_away(server: Server, tmp_path: Path, size: bool) -> None:
    content = server.files["f.zip"] = bytes(range(256))
    download = Download(f"{server.address}/f.zip", size=len(content) if size else 0)
    downloaded(download, tmp_path).rename(tmp_path / "elsewhere")
    part = tmp_path / f"{hashlib.sha256(download.url.encode()).hexdigest()[:8]}-f.zip.part"
    part.write_bytes(content + b"of another file")
    with pytest.raises(DataError, match=r"271 bytes came, 256 expected\)"):
        downloaded(download, tmp_path)
    assert downloaded(download, tmp_path).read_bytes() == content


@pytest.mark.parametrize("there", [False, True])
def test_an_interruption_while_files_are_moved_leaves_all_or_nothing(
    server: Server, tmp_path: Path, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["f.zip"] = zip_of(tmp_path / "f", {"a.txt": "a", "b.txt": "b", "c.txt": "c"})
    mall, _ = mall_of(server, "f.zip")
    target = tmp_path / "root" / mall.expected[0]
    if there:
        (target / "notes").mkdir(parents=True)
    moves, really = iter(range(99)), shutil.move

    def move(source: Path, to: Path) -> None:
        if next(moves) == 1:
            raise KeyboardInterrupt
        really(source, to)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "move", move)
        try:
            archives.move_into(target, unpacked(tmp_path), "f.zip")
            whole = True
        except KeyboardInterrupt:
            whole = False
    assert whole != there
    assert len(list(target.glob("*.txt"))) == (3 if whole else 0)


def unpacked(tmp_path: Path) -> Path:
    folder = tmp_path / "unpacked"
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.txt").write_text(name)
    return folder


@pytest.mark.parametrize("name", ["worldexpo10", "jhu_crowd", "nwpu_crowd", "shtech_a", "ucf_cc_50"])
def test_what_must_be_asked_for_says_how(name: str, tmp_path: Path) -> None:
    benchmark = load_host().benchmark(name)
    with pytest.raises(HarnessError) as error:
        fetch(benchmark, tmp_path)
    assert benchmark.homepage in str(error.value) and str(tmp_path / benchmark.expected[0]) in str(error.value)


def test_every_benchmark_says_how_to_get_it() -> None:
    for benchmark in load_host().benchmarks.values():
        assert not benchmark.needs_files or benchmark.downloads or benchmark.how_to_get, benchmark.name


def bad_zip(path: Path, name: str, mode: int = 0, content: bytes = b"x") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("good.txt", "good")
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        archive.writestr(info, content)
    return path


@pytest.mark.parametrize("name", ["../evil.txt", "/etc/evil.txt", "a/../../evil.txt", "..\\evil.txt", "C:/evil.txt"])
def test_no_member_leaves_the_target(tmp_path: Path, name: str) -> None:
    archive = bad_zip(tmp_path / "a.zip", name)
    with pytest.raises(DataError, match="outside the target"):
        archives.unpack(archive, tmp_path / "in" / "target", 1000, strip=False)
    assert not list((tmp_path / "in").rglob("*")), "nothing of a refused archive stays"


def test_links_are_refused(tmp_path: Path) -> None:
    archive = bad_zip(tmp_path / "a.zip", "link", stat.S_IFLNK | 0o777, b"/etc/passwd")
    with pytest.raises(DataError, match="link or a device"):
        archives.unpack(archive, tmp_path / "target", 1000, strip=False)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            info = tarfile.TarInfo("link")
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    with pytest.raises(DataError, match="link or a device"):
        archives.unpack(tmp_path / "a.tar.gz", tmp_path / "target", 1000, strip=False)


def test_size_is_bounded(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(1_000_000))
    assert (tmp_path / "a.zip").stat().st_size < 5000
    with pytest.raises(DataError, match="1,000,000 bytes unpacked; expected at most 999,999"):
        archives.unpack(tmp_path / "a.zip", tmp_path / "target", 999_999, strip=False)


def test_a_tar_with_one_folder_is_unpacked_without_it(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        info = tarfile.TarInfo("TOP/images/1.txt")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"one"))
    assert archives.unpack(tmp_path / "a.tar.gz", tmp_path / "target", 100, strip=True) == 1
    assert (tmp_path / "target/images/1.txt").read_bytes() == b"one"


def test_damaged_and_foreign_files(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"Rar!")
    with pytest.raises(DataError, match="neither a zip nor a tar"):
        archives.unpack(tmp_path / "a.zip", tmp_path / "target", 100, strip=True)
    good = bad_zip(tmp_path / "b.zip", "fine.txt", content=bytes(1000)).read_bytes()
    (tmp_path / "b.zip").write_bytes(good.replace(bytes(1000), bytes(999) + b"1"))
    with pytest.raises(DataError, match="cannot be unpacked"):
        archives.unpack(tmp_path / "b.zip", tmp_path / "target", 10_000, strip=False)


def tar_of(path: Path, files: dict[str, bytes], mode: str = "w") -> bytes:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path.read_bytes()


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("damage", ["cut after a member", "cut within a header", "a damaged header"])
def test_a_tar_that_is_not_whole_is_refused(tmp_path: Path, damage: str, compressed: bool) -> None:
    """`tarfile` ends at such a place without a word."""
    packed = tar_of(tmp_path / "whole", {f"{number}.txt": b"x" * 400 for number in range(10)})  # 1024 bytes a member
    bad = {
        "cut after a member": packed[: 6 * 1024],
        "cut within a header": packed[: 6 * 1024 + 300],
        "a damaged header": packed[: 6 * 1024] + bytes(range(256)) * 2 + packed[6 * 1024 + 512 :],
    }[damage]
    (tmp_path / "bad").write_bytes(gzip.compress(bad) if compressed else bad)
    with pytest.raises(DataError, match="ends too early, or is damaged within"):
        archives.unpack(tmp_path / "bad", tmp_path / "target", 1 << 20, strip=False)
    assert not (tmp_path / "target").exists()
    assert archives.unpack(tmp_path / "whole", tmp_path / "target", 1 << 20, strip=False) == 10


def test_a_tar_that_ends_with_a_zip_is_a_tar(tmp_path: Path) -> None:
    inner = zip_of(tmp_path / "inner.zip", {"inner.txt": "inner"})
    tar_of(tmp_path / "a.tar", {"a.jpg": b"a", "b.jpg": b"b", "inner.zip": inner})
    assert archives.unpack(tmp_path / "a.tar", tmp_path / "target", 1 << 20, strip=False) == 3
    assert sorted(path.name for path in (tmp_path / "target").iterdir()) == ["a.jpg", "b.jpg", "inner.zip"]


@pytest.mark.parametrize("kind", ["tar.gz", "tar.xz", "zip"])
def test_one_wrong_byte_anywhere_is_noticed(tmp_path: Path, kind: str) -> None:
    """Of the data, the compressor's own marks, or the checksum at the end: never files that are not those that were packed."""
    generator = np.random.default_rng(3)
    content = " ".join(map(str, generator.integers(0, 1000, 4000))).encode()
    good = tmp_path / f"good.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(good, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("points.txt", content)
    else:
        with tarfile.open(good, f"w:{kind.removeprefix('tar.')}") as tar:
            info = tarfile.TarInfo("points.txt")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    packed = good.read_bytes()
    begin, end = len(packed) // 10, len(packed) * 8 // 10
    for number, place in enumerate(generator.integers(begin, end, 25)):
        damaged = bytearray(packed)
        damaged[place] ^= 0xFF
        (tmp_path / "bad").write_bytes(damaged)
        with pytest.raises(DataError, match="bad: "):
            archives.unpack(tmp_path / "bad", tmp_path / f"target{number}", 1 << 20, strip=False)
        assert not (tmp_path / f"target{number}").exists()
