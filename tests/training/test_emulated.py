"""A run in bfloat16 on a processor that has no instructions for it says so in one line as it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from harness.commands import findings
from harness.training import backend

# As Linux says it, in part; the last is an ARM processor's, which lists other things under another name.
WITHOUT = (
    "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu sse2 avx2 avx512f avx512_vnni amx_int8\nbogomips\t: 5\n"
)
WITH = (WITHOUT.replace("avx512_vnni", "avx512_bf16"), WITHOUT.replace("amx_int8", "amx_bf16"))
OTHER = "processor\t: 0\nFeatures\t: fp asimd\n"
SAID = (
    "--precision mixed_bfloat16: this processor has neither amx_bf16 nor avx512_bf16, so bfloat16 is emulated and "
    "training takes many times as long; use --precision float32"
)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    def write(text: str) -> None:
        path = tmp_path / "cpuinfo"
        path.write_text(text, encoding="utf-8")
        monkeypatch.setattr(backend, "CPUINFO", path)
        monkeypatch.setattr(backend, "accelerator", lambda: None)

    return write


def test_a_processor_without_the_instructions_is_named(fake: Any) -> None:
    fake(WITHOUT)
    assert backend.emulated("mixed_bfloat16") == SAID
    assert backend.emulated("float32") == backend.emulated("mixed_float16") == ""


@pytest.mark.parametrize("text", [*WITH, OTHER, ""])
def test_one_with_either_and_one_that_says_nothing_are_not(fake: Any, text: str) -> None:
    fake(text)
    assert backend.emulated("mixed_bfloat16") == ""


def test_nor_is_one_whose_system_has_no_such_file(fake: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake(WITHOUT)
    monkeypatch.setattr(backend, "CPUINFO", tmp_path / "none")
    assert backend.emulated("mixed_bfloat16") == ""


def test_nor_one_beside_an_accelerator(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(WITHOUT)
    monkeypatch.setattr(backend, "accelerator", lambda: "a GPU")
    assert backend.emulated("mixed_bfloat16") == ""


@pytest.mark.parametrize(("text", "advised"), [(WITHOUT, False), (WITH[0], True)])
def test_the_doctor_does_not_advise_what_is_emulated(
    fake: Any, monkeypatch: pytest.MonkeyPatch, text: str, advised: bool
) -> None:
    fake(text)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert ("bfloat16" in findings._devices().text) == advised


@pytest.mark.system
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_bench_says_it_once(harness: Any, tmp_path: Path, jobs: int) -> None:
    """Two cells, on a machine whose processor is what a plugin says it is."""
    (tmp_path / "cpuinfo").write_text(WITHOUT, encoding="utf-8")
    plugin = tmp_path / "methods.py"
    trial = (ROOT / "tests" / "methods_on_trial.py").read_text(encoding="utf-8")
    lie = f"import pathlib\nfrom harness.training import backend\nbackend.CPUINFO = pathlib.Path('{tmp_path / 'cpuinfo'}')\n"
    plugin.write_text(trial.replace("import os\n", f"import os\n{lie}", 1), encoding="utf-8")
    bench = (
        "bench",
        "--methods",
        "tiny",
        "--datasets",
        "synth",
        "--budget",
        "smoke",
        "--seeds",
        "0,1",
        "--plugin",
        plugin,
    )
    done = harness(*bench, "--precision", "mixed_bfloat16", "--jobs", jobs, CUDA_VISIBLE_DEVICES="-1")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines().count(SAID) == 1
    before, _, after = done.stderr.partition(SAID)
    assert "[1/2]" not in before and "[2/2]" in after, "as the first cell starts"
    for log in (tmp_path / "runs").glob("*/log.txt"):
        assert SAID in log.read_text(encoding="utf-8")
