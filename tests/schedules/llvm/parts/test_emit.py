"""The number of tasks in a PrimFunc's parallel loops."""

from __future__ import annotations

from typing import Any

import pytest
from tvm import tirx

from tests import tiny
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.recurrent.barrier import Meeting
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.target import parse_target

Y = tirx.decl_buffer((64,), "float32", name="y")


def write(i: Any) -> Any:
    return emit.store(Y, emit.const(1.0), [i], 1)


@pytest.mark.parametrize(("loops", "tasks"), [([64], 64), ([7], 7), ([7, 7], 7), ([7, 8], 0), ([1], 0), ([], 0)])
def test_task_count_common_to_all_parallel_loops(loops: list[int], tasks: int) -> None:
    body = emit.seq([emit.parallel(extent, write) for extent in loops])
    assert emit.parallel_tasks(emit.kernel([Y], body, 2)) == tasks


def test_on_one_thread_there_are_none() -> None:
    assert emit.parallel_tasks(emit.kernel([Y], emit.parallel(64, write), 1)) == 0


def test_an_extent_that_is_not_known() -> None:
    many = tirx.Var("many", "int32")
    loop = tirx.For(tirx.Var("i", "int32"), 0, many, tirx.ForKind.PARALLEL, write(0))
    assert emit.parallel_tasks(tirx.PrimFunc([many, Y], loop)) == 0


def test_threads_with_a_barrier_share_no_tasks() -> None:
    meeting = Meeting(4, parse_target("llvm", 2))
    body = meeting.region(meeting.round_of(1, write))
    assert emit.parallel_tasks(emit.kernel([Y], body, 2)) == 0


def test_kernels_of_templates() -> None:
    target = parse_target("llvm", 2)
    for task in tiny.tasks(target):
        template = template_for(task.workload, target)
        function = template.build(task.workload, target, template.default(task.workload, target))
        assert emit.parallel_tasks(function) > 0
