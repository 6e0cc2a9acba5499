"""What the host itself brings, through the same hooks as any plugin."""

from __future__ import annotations

from harness.benchmark import Benchmark
from harness.hookspecs import hookimpl
from harness.trackers import harness_callbacks

__all__ = ["harness_benchmarks", "harness_callbacks"]


@hookimpl
def harness_benchmarks() -> list[Benchmark]:
    from harness.datasets.jhu_crowd import JHU_CROWD, JHU_CROWD_PP
    from harness.datasets.mall import MALL
    from harness.datasets.shanghaitech import SHTECH_A, SHTECH_B
    from harness.datasets.synth import SYNTH
    from harness.datasets.trancos import TRANCOS
    from harness.datasets.ucf_cc_50 import UCF_CC_50
    from harness.datasets.ucf_qnrf import UCF_QNRF
    from harness.datasets.ucsd import UCSD
    from harness.datasets.worldexpo10 import WORLDEXPO10

    return [
        SHTECH_A,
        SHTECH_B,
        UCF_CC_50,
        UCF_QNRF,
        WORLDEXPO10,
        JHU_CROWD,
        JHU_CROWD_PP,
        MALL,
        UCSD,
        TRANCOS,
        SYNTH,
    ]
