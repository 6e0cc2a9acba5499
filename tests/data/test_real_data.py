"""The real ShanghaiTech A and UCF_CC_50; skipped, and said so, where they are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.data.check import check
from harness.data.datasets.shanghaitech import SHTECH_A
from harness.data.datasets.ucf_cc_50 import UCF_CC_50

pytestmark = pytest.mark.real_data


def test_part_a_is_what_it_is_known_to_be(real_data: Path) -> None:
    found = check(SHTECH_A, SHTECH_A.require(real_data))
    values = {what: value for what, value, _ in found.rows}
    assert not found.wrong
    assert (values["images"], values["annotations"], values["points outside the frame"]) == (482, 241_275, 0)
    test = [sample for sample in SHTECH_A.index(SHTECH_A.require(real_data)) if sample.split == "test"]
    assert len(test) == 182 and sum(len(SHTECH_A.read_points(sample)) for sample in test) == 78_862


def test_ucf_is_what_it_is_known_to_be(real_data: Path) -> None:
    found = check(UCF_CC_50, UCF_CC_50.require(real_data))
    values = {what: value for what, value, _ in found.rows}
    assert not found.wrong
    assert (values["images"], values["annotations"], values["largest"]) == (50, 63_974, 4_633)
    assert any("largest: found 4,633, published 4,543 (known:" in line for line in found.differs)


def test_published_mcnn_gives_its_known_error(
    harness: Callable, real_data: Path, checkpoints: Path, tmp_path: Path
) -> None:
    """An independent implementation in PyTorch gave MAE 133.281, RMSE 172.744 on the first thirty of these files.

    On all of them another gave 118.10 and 173.91, and so does `harness eval`, in a minute; the weights for Part B are tried
    on all of Part B.
    """
    source, part = real_data / "ShanghaiTech/part_A", tmp_path / "ShanghaiTech/part_A"
    for kind, name in (("images", "IMG_{}.jpg"), ("ground-truth", "GT_IMG_{}.mat")):
        (part / "test_data" / kind).mkdir(parents=True)
        for number in range(1, 31):
            file = name.format(number)
            (part / "test_data" / kind / file).symlink_to(source / "test_data" / kind / file)
    (part / "train_data").symlink_to(source / "train_data")
    weights = checkpoints / "mcnn_shtechA_660.h5"
    done = harness(
        "eval", "--method", "mcnn", "--weights", weights, "--dataset", "shtech_a", "--data-root", tmp_path, "--json"
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["images"] == 30
    assert result["mae"] == pytest.approx(133.281, abs=0.01)
    assert result["rmse"] == pytest.approx(172.744, abs=0.01)


def test_targets_lie_where_a_trained_network_sees_heads(real_data: Path, checkpoints: Path) -> None:
    """Rendered targets and the published network agree cell by cell far better than when either is turned around."""
    from crowd_harness_mcnn import METHOD

    from harness.head_spacing import Sigma
    from harness.host.plugins import load_host
    from harness.nn.density import render
    from harness.training.prediction import predict_density
    from harness.training.weights import load_network

    network = load_network(load_host(), METHOD, checkpoints / "mcnn_shtechA_660.h5")
    samples = [sample for sample in SHTECH_A.index(SHTECH_A.require(real_data)) if sample.split == "test"][:6]
    right, turned = [], []
    for sample in samples:
        image = SHTECH_A.read_image(sample, 1)
        points = SHTECH_A.read_points(sample)
        target = np.asarray(render(points, Sigma(12.0).of(points), *image.shape[:2], 4))
        predicted = predict_density(network, image, 4, 4, 64)
        right.append(np.corrcoef(target.ravel(), predicted.ravel())[0, 1])
        turned.append(np.corrcoef(target[:, ::-1].ravel(), predicted.ravel())[0, 1])
    assert np.mean(right) > 0.5 > np.mean(turned) + 0.15
