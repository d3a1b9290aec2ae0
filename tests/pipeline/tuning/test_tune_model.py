"""The tasks of a model in several sizes of its inputs."""

from __future__ import annotations

import pytest

from tests import tiny
from tvmopt.pipeline.errors import UsageError
from tvmopt.pipeline.tuning.tune_model import tunable_tasks
from tvmopt.schedules.target import parse_target

TARGET = parse_target("llvm", 1)
LARGE = tiny.TWO_CONVOLUTIONS
SMALL = LARGE.replace("14,14", "9,7")


def test_the_tasks_of_all_sizes_are_tuned_together() -> None:
    large, small = tiny.load(LARGE), tiny.load(SMALL)
    alone = {name: tunable_tasks((model,), TARGET) for name, model in (("large", large), ("small", small))}
    together = tunable_tasks((large, small), TARGET)
    assert together == (*alone["large"], *alone["small"])
    assert len({task.name for task in together}) == len(together)


def test_a_kernel_of_several_sizes_is_one_task() -> None:
    model = tiny.load(LARGE)
    once, twice = tunable_tasks((model,), TARGET), tunable_tasks((model, model), TARGET)
    assert [task.name for task in once] == [task.name for task in twice]
    assert [2 * task.weight for task in once] == [task.weight for task in twice]
    assert [task.layers for task in once] == [task.layers for task in twice]
    assert [task.alternative for task in once] == [task.alternative for task in twice]


def test_a_pattern_that_matches_no_task_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no task matches 'dense\*' \(tasks of two: conv2d-"):
        tunable_tasks((tiny.load(LARGE), tiny.load(SMALL)), TARGET, "dense*")
