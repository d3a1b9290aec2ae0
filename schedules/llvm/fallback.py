"""The last rule: schedules the kernels that TVM generated for operators that no template covers.

Nothing is left as naive loops:

1. Element-wise blocks are inlined into their readers.
2. Outer loops are divided among the threads: just as many loops as give every thread enough work, so that inner loops
   keep plain indices.
3. The innermost loop over neighbouring elements is vectorised; in a reduction it goes inside the reduced axes.

Operators that TVM writes as one opaque piece (sorting, scans) stay as they are.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

from tvmopt.schedules.dtypes import dtype_of
from tvmopt.schedules.llvm.parts.emit import serialized
from tvmopt.schedules.target import Target

MIN_PARALLEL = 4096
"""Fewer iterations than this are not worth waking a thread for."""
TASKS_PER_THREAD = 8
"""With this many tasks per thread, an uneven division costs little."""
MIN_VECTOR = 4
"""Shorter vectors than this are not worth a loop."""
VECTOR_DTYPES = frozenset({"float32", "float16"})
"""Element types to vectorise; index arithmetic rarely vectorises."""


def schedule_rest(module: Any, target: Target) -> Any:
    """Schedules every PrimFunc of `module` that is not marked as scheduled, and returns `module`.

    Args:
        module: an IRModule.
        target: the CPU it is for.
    """
    from tvm import tirx

    for variable, function in module.functions_items():
        if isinstance(function, tirx.PrimFunc) and not _is_scheduled(function):
            scheduled = _schedule(function, target).with_attr("tirx.is_scheduled", True)
            module.update_func(variable, scheduled if target.threads > 1 else serialized(scheduled))
    return module


def _is_scheduled(function: Any) -> bool:
    return function.attrs is not None and "tirx.is_scheduled" in function.attrs


def _schedule(function: Any, target: Target) -> Any:
    import tvm
    from tvm.s_tir import SBlockRealize, Schedule

    body = function.body
    if not isinstance(body, SBlockRealize) or body.block.name_hint != "root":
        return function
    schedule = Schedule(tvm.IRModule({"main": function}))
    root = schedule.get_sblock("root")
    for block in schedule.get_child_blocks(root):
        _try_inline(schedule, block)
    for block in schedule.get_child_blocks(root):
        _parallel_and_vector(schedule, block, target)
    scheduled = schedule.mod["main"]
    for name in ("global_symbol", "tirx.noalias"):
        if function.attrs is not None and name in function.attrs:
            scheduled = scheduled.with_attr(name, function.attrs[name])
    return scheduled


def _try_inline(schedule: Any, block: Any) -> None:
    """Inlines an element-wise block into its readers; TVM raises an error where that is not possible."""
    from tvm.s_tir import ScheduleError

    if _has_condition(schedule, block) and any(_is_reduction(schedule, x) for x in schedule.get_consumers(block)):
        # Mostly padding: its bounds would be checked for every element of every window.
        return
    try:
        schedule.compute_inline(block)
    except ScheduleError:
        return


def _has_condition(schedule: Any, block: Any) -> bool:
    """Whether the block chooses between values, as padding does."""
    import tvm_ffi
    from tvm import tirx
    from tvm.ir import Call

    found = []

    def visit(node: Any) -> None:
        if isinstance(node, tirx.Select) or getattr(node.op, "name", "") == "prim.if_then_else":
            found.append(node)

    tvm_ffi.structural_walk(schedule.get(block).body, ((tirx.Select, Call), visit))
    return bool(found)


def _kinds(schedule: Any, block: Any) -> list[int]:
    return [int(variable.iter_type) for variable in schedule.get(block).iter_vars]


def _is_reduction(schedule: Any, block: Any) -> bool:
    from tvm import tirx

    return any(kind != tirx.IterVar.DataPar for kind in _kinds(schedule, block))


def _parallel_and_vector(schedule: Any, block: Any, target: Target) -> None:
    from tvm import tirx

    loops, kinds = schedule.get_loops(block), _kinds(schedule, block)
    extents = [schedule.get(loop).extent for loop in loops]
    if len(loops) != len(kinds) or any(not isinstance(extent, tirx.IntImm) for extent in extents):
        return
    work = math.prod(int(extent) for extent in extents)
    count = len(list(itertools.takewhile(lambda kind: kind == tirx.IterVar.DataPar, kinds)))
    if count == 0:
        return
    width = _vector_width(schedule, block, int(extents[count - 1]), target)
    outer, lane = loops[:count], None
    if width >= MIN_VECTOR:
        last, lane = schedule.split(outer[-1], [None, width])
        outer[-1] = last
    if lane is not None and count < len(loops):
        schedule.reorder(*loops[count:], lane)
    if work >= MIN_PARALLEL:
        _divide(schedule, outer, target)
    if lane is None:
        return
    schedule.vectorize(lane)
    if count < len(loops):
        start = schedule.decompose_reduction(block, loops[count])
        schedule.vectorize(schedule.get_loops(start)[-1])


def _vector_width(schedule: Any, block: Any, extent: int, target: Target) -> int:
    """The longest vector that divides the last loop over neighbouring elements; 1 for types that do not vectorise."""
    writes = schedule.get(block).writes
    dtype = str(writes[0].source.dtype) if len(writes) == 1 else ""
    return math.gcd(extent, target.lanes(dtype_of(dtype).accumulator)) if dtype in VECTOR_DTYPES else 1


def _divide(schedule: Any, loops: list[Any], target: Target) -> None:
    """Divides the outermost of `loops` among the threads."""
    wanted, count, tasks = TASKS_PER_THREAD * target.threads, 0, 1
    while count < len(loops) and tasks < wanted:
        tasks *= int(schedule.get(loops[count]).extent)
        count += 1
    schedule.parallel(schedule.fuse(*loops[:count]) if count > 1 else loops[0])
