"""What a tuning run prints at its end, for kernels of any size."""

from __future__ import annotations

from tests import tiny
from tvmopt.cli.tuning_view import summary_lines, task_table
from tvmopt.pipeline.tuning.progress import TaskState
from tvmopt.pipeline.tuning.search import TuneSummary
from tvmopt.schedules.target import parse_target


def state(default_s: float, best_s: float, flops: int) -> TaskState:
    task = tiny.tasks(parse_target("llvm", 1))[0]
    return TaskState(task, "conv2d", flops, 10, 0, 4, 0, default_s, best_s, {}, "")


def test_times_and_rates_keep_two_figures() -> None:
    small = state(2.5e-7, 2e-7, 88)
    lines = summary_lines(TuneSummary((small,), "trials", 1.0), "logs")
    assert "the model's tuned kernels: 0.00025 ms with defaults, 0.0002 ms tuned (1.25×)" in lines
    (row,) = task_table((small,), 1e11).rows
    assert "0.44" in str(row)
    (row,) = task_table((state(2e-3, 1e-3, 123_456_789),), 0).rows
    assert "123" in str(row)


def test_several_sizes_are_named() -> None:
    lines = summary_lines(TuneSummary((state(3e-3, 2e-3, 1),), "trials", 1.0), "logs", sizes=3)
    assert "the model's tuned kernels, one run in each of 3 sizes: 3 ms with defaults, 2 ms tuned (1.50×)" in lines
