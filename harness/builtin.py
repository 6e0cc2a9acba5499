"""What the host itself brings, through the same hooks as any plugin."""

from __future__ import annotations

from harness.benchmark import Benchmark
from harness.hookspecs import hookimpl


@hookimpl
def harness_benchmarks() -> list[Benchmark]:
    from harness.datasets.shanghaitech import SHTECH_A
    from harness.datasets.synth import SYNTH
    from harness.datasets.ucf_cc_50 import UCF_CC_50

    return [SHTECH_A, UCF_CC_50, SYNTH]
