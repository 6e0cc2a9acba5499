"""What plugins give a finished run: what of it is no number costs itself alone."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.host.plugins import load_host
from harness.metrics import Metric
from harness.runs import outcome

MCNN = load_host().methods["mcnn"]


@pytest.mark.parametrize(
    ("learned", "values", "said"),
    [
        ({"a": 1.5, "b": float("nan")}, {"a": 1.5}, ["learned of mcnn: b is no finite number"]),
        ({"a": "much"}, {}, ["learned of mcnn raised ValueError: could not convert string to float: 'much'"]),
        ({"a": np.float32(2)}, {"a": 2.0}, []),
    ],
)
def test_what_a_network_learned_costs_no_run(learned: Any, values: dict[str, float], said: list[str]) -> None:
    method = replace(MCNN, learned=lambda network: learned)
    assert outcome._learned(method, None) == (values, said)
    assert outcome._learned(replace(MCNN, learned=None), None) == ({}, [])


def test_a_metric_that_writes_into_its_arrays_changes_no_other() -> None:
    def bias(true: np.ndarray, predicted: np.ndarray) -> float:
        predicted -= true
        return float(predicted.mean())

    metrics = {
        "a": Metric("a", "bias", bias),
        "b": Metric("b", "mean", lambda true, predicted: float(predicted.mean())),
    }
    results: Any = [
        SimpleNamespace(true=10.0, predicted=12.0, located=None),
        SimpleNamespace(true=20.0, predicted=24.0, located=None),
    ]
    host: Any = SimpleNamespace(metrics=metrics)
    assert outcome._extra_metrics(host, results) == ({"a": 3.0, "b": 18.0}, [])
