"""What the host itself brings, through the same hooks as any plugin."""

from __future__ import annotations

from harness.benchmark import Benchmark
from harness.hookspecs import hookimpl
from harness.host.trackers import harness_callbacks
from harness.localisation import METRICS
from harness.metrics import Metric

__all__ = ["harness_benchmarks", "harness_callbacks", "harness_metrics"]


@hookimpl
def harness_metrics() -> list[Metric]:
    return list(METRICS)


@hookimpl
def harness_benchmarks() -> list[Benchmark]:
    from harness.data.datasets.jhu_crowd import JHU_CROWD, JHU_CROWD_PP
    from harness.data.datasets.mall import MALL
    from harness.data.datasets.nwpu_crowd import NWPU_CROWD
    from harness.data.datasets.shanghaitech import SHTECH_A, SHTECH_B
    from harness.data.datasets.synth import SYNTH
    from harness.data.datasets.trancos import TRANCOS
    from harness.data.datasets.ucf_cc_50 import UCF_CC_50
    from harness.data.datasets.ucf_qnrf import UCF_QNRF
    from harness.data.datasets.ucsd import UCSD
    from harness.data.datasets.worldexpo10 import WORLDEXPO10

    return [
        SHTECH_A,
        SHTECH_B,
        UCF_CC_50,
        UCF_QNRF,
        WORLDEXPO10,
        JHU_CROWD,
        JHU_CROWD_PP,
        NWPU_CROWD,
        MALL,
        UCSD,
        TRANCOS,
        SYNTH,
    ]
