"""The last rule: schedules whatever kernel TVM made of an operator that no template covers.

Nothing is left as naive loops: element-wise blocks are inlined, outer loops divided among the threads, the innermost
loop vectorised where it runs over neighbouring elements.
"""

from __future__ import annotations

import math
from typing import Any

from schedules.target import Target

MIN_PARALLEL = 4096
"""Fewer iterations than this are not worth waking a thread for."""


def schedule_rest(module: Any, target: Target) -> Any:
    """`module` with every PrimFunc scheduled that is not marked as scheduled.

    Args:
        module: an IRModule.
        target: the CPU it is for.
    """
    from tvm import tirx

    for variable, function in module.functions_items():
        if isinstance(function, tirx.PrimFunc) and not _is_scheduled(function):
            module.update_func(variable, _schedule(function, target))
    return module


def _is_scheduled(function: Any) -> bool:
    return function.attrs is not None and "tirx.is_scheduled" in function.attrs


def _schedule(function: Any, target: Target) -> Any:
    import tvm
    from tvm.s_tir import Schedule

    schedule = Schedule(tvm.IRModule({"main": function}))
    root = schedule.get_sblock("root")
    for block in schedule.get_child_blocks(root):
        _try_inline(schedule, block)
    for block in schedule.get_child_blocks(root):
        _parallel_and_vector(schedule, block, target)
    scheduled = schedule.mod["main"].with_attr("tirx.is_scheduled", True)
    for name in ("global_symbol", "tirx.noalias"):
        if function.attrs is not None and name in function.attrs:
            scheduled = scheduled.with_attr(name, function.attrs[name])
    return scheduled


def _try_inline(schedule: Any, block: Any) -> None:
    """Inlines an element-wise block into its readers; TVM says itself where that is not possible."""
    from tvm.s_tir import ScheduleError

    try:
        schedule.compute_inline(block)
    except ScheduleError:
        return


def _parallel_and_vector(schedule: Any, block: Any, target: Target) -> None:
    from tvm import tirx

    loops = schedule.get_loops(block)
    kinds = [int(variable.iter_type) for variable in schedule.get(block).iter_vars]
    extents = [schedule.get(loop).extent for loop in loops]
    if len(loops) != len(kinds) or any(not isinstance(extent, tirx.IntImm) for extent in extents):
        return
    sizes = [int(extent) for extent in extents]
    outer = 0
    while outer < len(loops) and kinds[outer] == tirx.IterVar.DataPar:
        outer += 1
    if outer == 0:
        return
    is_reduction = outer < len(loops)
    columns = None
    if not is_reduction and outer > 0 and sizes[outer - 1] % target.lanes == 0 and _is_contiguous(schedule, block):
        _, columns = schedule.split(loops[outer - 1], [None, target.lanes])
        loops = schedule.get_loops(block)
    spatial = loops[:outer]
    if math.prod(sizes) >= MIN_PARALLEL:
        fused = schedule.fuse(*spatial) if len(spatial) > 1 else spatial[0]
        schedule.parallel(fused)
    if columns is not None:
        schedule.vectorize(columns)


def _is_contiguous(schedule: Any, block: Any) -> bool:
    """Whether the block computes float32 or float16, which vectorise; index arithmetic rarely does."""
    dtypes = {str(region.source.dtype) for region in schedule.get(block).writes}
    return dtypes <= {"float32", "float16"}
