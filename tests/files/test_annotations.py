from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from harness.errors import DataError
from harness.files.annotations import checked_points, inside, read_mat_points

HERE = Path("points.mat")


def test_zero_heads_of_any_empty_shape() -> None:
    for empty in (np.zeros((0, 2)), np.zeros((0, 0)), []):
        assert checked_points(HERE, empty).shape == (0, 2)


def test_negative_outside_and_repeated_points_are_kept() -> None:
    points = [[-3.0, 4.0], [900.0, 4.0], [5.0, 5.0], [5.0, 5.0]]
    assert checked_points(HERE, points).tolist() == points


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite_points_are_named(bad: float) -> None:
    with pytest.raises(DataError, match=r"points\.mat: 1 of 3 head points are NaN or infinite \(first: number 2\)"):
        checked_points(HERE, [[1, 1], [bad, 2], [3, 3]])


@pytest.mark.parametrize("values", [np.zeros((4, 1)), np.zeros(5), np.zeros((2, 2, 2))])
def test_other_shapes_are_named(values: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"expected \(heads, 2\)"):
        checked_points(HERE, values)


def test_text_is_not_points() -> None:
    with pytest.raises(DataError, match="are not numbers"):
        checked_points(HERE, np.array([["a", "b"]]))


def test_a_file_that_is_not_matlab(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    path.write_bytes(b"this is no matlab file" * 20)
    with pytest.raises(DataError, match=rf"{path}: not a MATLAB file"):
        read_mat_points(path, "annPoints")


def test_other_variables_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    savemat(path, {"heads": np.zeros((2, 2)), "other": 1})
    with pytest.raises(DataError, match="no variable 'annPoints'; found heads, other"):
        read_mat_points(path, "annPoints")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="annotation file is missing"):
        read_mat_points(tmp_path / "x.mat", "annPoints")


def test_the_frame_is_half_open() -> None:
    points = np.array([[0, 0], [9.99, 4.99], [10, 0], [0, 5], [-0.01, 1]], float)
    assert inside(points, 5, 10).tolist() == [True, True, False, False, False]
