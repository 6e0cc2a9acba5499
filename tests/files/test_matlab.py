"""MATLAB files are read by a process of its own: one for all of them, that may die and that nobody has to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from harness.errors import DataError
from harness.files import matlab
from harness.files.annotations import read_mat_points
from harness.files.matlab import Reader

WAIT = 20.0  # seconds for a process to be gone

DEADLY = """
import os, signal, time
from harness.files import mat_worker

read = mat_worker.load

def load(path):
    if "deadly" in path:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "endless" in path:
        while True:
            pass
    if "late" in path and not os.path.exists(path + ".tried"):
        open(path + ".tried", "w").close()
        os.kill(os.getpid(), signal.SIGSEGV)
    return read(path)

mat_worker.load = load
mat_worker.DEADLINE = float(os.environ.get("DEADLINE", "10"))
mat_worker.IDLE = float(os.environ.get("IDLE", "60"))
mat_worker.main()
"""


def written(path: Path, heads: int) -> Path:
    savemat(path, {"annPoints": np.arange(2.0 * heads).reshape(heads, 2)})
    return path


@pytest.fixture
def reader() -> Reader:
    made = Reader()
    yield made  # type: ignore[misc]
    made.close()


@pytest.fixture
def hurt(reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reader:
    """A reader whose process is killed by files with certain names."""
    (tmp_path / "deadly_worker.py").write_text(DEADLY)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(matlab, "WORKER", "deadly_worker")
    return reader


def gone(pid: int) -> bool:
    """Whether the process ends in time; one that its parent has not asked after counts as ended."""
    state = Path(f"/proc/{pid}/stat")
    until = time.monotonic() + WAIT
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
            if state.is_file() and state.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False


def test_all_files_of_all_threads_are_read_by_one_process(reader: Reader, tmp_path: Path) -> None:
    paths = [written(tmp_path / f"{number}.mat", number) for number in range(40)]
    first = len(reader.read(paths[3])["annPoints"])
    pid = reader.pid
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda path: len(reader.read(path)["annPoints"]), paths))
    assert first == 3 and found == list(range(40))
    assert pid is not None and reader.pid == pid


def test_a_process_that_was_killed_is_started_again(reader: Reader, tmp_path: Path) -> None:
    path = written(tmp_path / "a.mat", 5)
    reader.read(path)
    first = reader.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert len(reader.read(path)["annPoints"]) == 5
    assert reader.pid not in (None, first)


def test_a_file_that_kills_its_reader_is_named_and_no_other(hurt: Reader, tmp_path: Path) -> None:
    good, deadly, late = (written(tmp_path / f"{name}.mat", 2) for name in ("good", "deadly", "late"))
    hurt.read(good)
    with pytest.raises(DataError, match=rf"^{deadly}: damaged: .*crashed \(signal SIGSEGV\)") as raised:
        hurt.read(deadly)
    assert "\n" not in str(raised.value)
    assert len(hurt.read(good)["annPoints"]) == 2
    # What dies of the file before it, is read by the next process.
    assert len(hurt.read(late)["annPoints"]) == 2


def test_a_file_that_holds_up_its_reader_is_named(
    hurt: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEADLINE", "1")
    endless = written(tmp_path / "endless.mat", 2)
    with pytest.raises(DataError, match=rf"^{endless}: damaged: .*ended with exit status 1 after \d+ s"):
        hurt.read(endless)
    monkeypatch.delenv("DEADLINE")
    assert len(hurt.read(written(tmp_path / "good.mat", 2))["annPoints"]) == 2


def test_it_leaves_when_nothing_is_asked(hurt: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDLE", "0.5")
    path = written(tmp_path / "good.mat", 2)
    hurt.read(path)
    assert hurt.pid is not None and gone(hurt.pid)
    assert len(hurt.read(path)["annPoints"]) == 2


def python(code: str, *arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


ENDINGS = {
    "returns": "",
    "is killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "leaves at once": "os._exit(0)",
    "raises": "raise SystemExit(1)",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_it_ends_with_its_parent(ending: str, tmp_path: Path) -> None:
    code = f"""
import os, signal, sys
from pathlib import Path
from harness.files import matlab
matlab.read(Path(sys.argv[1]))
print(matlab._reader.pid, flush=True)
{ENDINGS[ending]}
"""
    done = python(code, written(tmp_path / "a.mat", 2))
    assert not done.stderr
    assert gone(int(done.stdout))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_has_a_reader_of_its_own(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from harness.files import matlab
path = Path(sys.argv[1])
matlab.read(path)
mine = matlab._reader.pid
if os.fork() == 0:
    for _ in range(50):
        assert len(matlab.read(path)["annPoints"]) == 2
    assert matlab._reader.pid not in (None, mine)
    sys.exit(7)
for _ in range(50):
    assert len(matlab.read(path)["annPoints"]) == 2
assert os.waitstatus_to_exitcode(os.wait()[1]) == 7 and matlab._reader.pid == mine
print("both")
"""
    done = python(code, written(tmp_path / "a.mat", 2))
    assert (done.stdout, done.stderr) == ("both\n", "")


def test_it_is_light() -> None:
    """Neither process loads what networks need; the parent does not even load SciPy."""
    for module, kept_out in (
        ("harness.files.matlab", "scipy h5py tensorflow jax torch keras cv2 numpy"),
        ("harness.files.mat_worker", "tensorflow jax torch keras cv2"),
    ):
        code = "import importlib, sys\nmodule = importlib.import_module(sys.argv[1])\n"
        code += "try: module.load('none.mat')\nexcept (AttributeError, FileNotFoundError): pass\nprint(*sys.modules)"
        done = python(code, module)
        assert not set(kept_out.split()) & set(done.stdout.split()), done.stdout + done.stderr


def matlab_7_3(path: Path, write: Callable) -> Path:
    import h5py

    with h5py.File(path, "w", userblock_size=512) as file:
        write(file)
    header = b"MATLAB 7.3 MAT-file".ljust(116) + b"\x00" * 8 + b"\x00\x02IM"
    with path.open("r+b") as raw:
        raw.write(header)
    return path


@pytest.mark.parametrize("shape", [(0, 0), (0, 2)])
def test_an_empty_matrix_of_matlab_7_3_holds_its_dimensions(shape: tuple[int, int], tmp_path: Path) -> None:
    """MATLAB stores the size of an empty matrix as its content, and marks it."""

    def write(file: dict) -> None:
        file["annPoints"] = np.array(shape, np.uint64)
        file["annPoints"].attrs["MATLAB_class"] = np.bytes_("double")
        file["annPoints"].attrs["MATLAB_empty"] = np.uint8(1)
        file["full"] = np.array([[1.0, 3.0], [2.0, 4.0]])  # MATLAB's [1 2; 3 4]
        file["full"].attrs["MATLAB_class"] = np.bytes_("double")

    path = matlab_7_3(tmp_path / "a.mat", write)
    assert read_mat_points(path, "annPoints").shape == (0, 2)
    assert matlab.read(path)["annPoints"].shape == shape
    assert read_mat_points(path, "full").tolist() == [[1, 2], [3, 4]]


def test_of_matlab_7_3_only_matrices_of_numbers_are_read(tmp_path: Path) -> None:
    import h5py

    def write(file: h5py.File) -> None:
        file["annPoints"] = np.ones((2, 3))
        file["cell"] = np.array([file["annPoints"].ref], dtype=h5py.ref_dtype)
        file.create_group("struct")["loc"] = np.ones(3)

    path = matlab_7_3(tmp_path / "a.mat", write)
    with pytest.raises(DataError, match="no variable 'cell'; found annPoints"):
        read_mat_points(path, "cell")
