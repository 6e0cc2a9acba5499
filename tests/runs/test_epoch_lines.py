"""What a run's log says while it trains, by a clock that the test sets."""

from __future__ import annotations

import time

from harness.runs.epoch_lines import epoch_lines

EPOCH = {"stage": "one", "loss": 0.3477, "mae": 8.1224, "learning_rate": 1e-4, "seconds": 22.8, "epochs": 8}


def test_a_run_that_goes_on_tells_what_is_left() -> None:
    noon = time.mktime((2026, 5, 4, 12, 0, 0, 0, 0, -1))
    now = [noon]
    line = epoch_lines(lambda: now[0])
    assert line("starting", {}) == ""
    assert line("start", {"epochs": 8, "steps": 90, "last_steps": 90, "resumed_at": 2}) == (
        "2026-05-04 12:00:00  8 epochs of 90 steps, 2 of them done"
    )
    assert line("step", {"step": 1, "total": 720, "loss": 0.3}) == ""
    now[0] += 30
    assert line("epoch", {**EPOCH, "epoch": 3}) == (
        "2026-05-04 12:00:30  epoch 3/8  stage one  loss 0.3477  MAE of crops 8.122  23 s  2 min left"
    )
    now[0] += 9000 - 30  # 4,500 seconds an epoch now, validation and all
    assert line("epoch", {**EPOCH, "epoch": 4, "val_mae": 61.26}) == (
        "2026-05-04 14:30:00  epoch 4/8  stage one  loss 0.3477  MAE of crops 8.122  validation MAE 61.3  23 s  5 h 0 min left"
    )
    assert line("epoch", {**EPOCH, "epoch": 8}).endswith("MAE of crops 8.122  23 s")
    assert line("test", {"done": 1, "total": 182}) == "2026-05-04 14:30:00  test on 182 images"
    assert line("test", {"done": 2, "total": 182}) == ""


def test_the_length_of_a_budget_of_steps_is_said_to_the_step() -> None:
    """20 of the 68 steps of a pass; and 20,000 steps, which are 294 passes and 8 steps."""
    for epochs, last, said in ((1, 20, "1 epoch of 20 steps"), (295, 8, "295 epochs of 68 steps, the last of 8")):
        line = epoch_lines(lambda: 0.0)("start", {"epochs": epochs, "steps": 68, "last_steps": last, "resumed_at": 0})
        assert line.endswith(f"  {said}")
