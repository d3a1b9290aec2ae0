"""Slices without copies: what reads a part of a tensor reads it where it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tvmopt.pipeline.artifact.native_library import ALIGNMENT
from tvmopt.pipeline.compiler.concat_in_place import Joined
from tvmopt.pipeline.compiler.program import Program, View
from tvmopt.schedules.dtypes import dtype_of
from tvmopt.schedules.llvm.maps.channels import part_of_memory
from tvmopt.schedules.llvm.memory_bound.copied import is_slice
from tvmopt.schedules.workload import Workload


def slice_offset(workload: Workload) -> int | None:
    """Where in its source, in bytes, the result of a copy or a choice of channels begins, if that is a view; else None.

    Kernels expect a tensor to begin on a cache line.
    """
    first = int(workload.attr("offset")) if is_slice(workload) else part_of_memory(workload)
    if first is None:
        return None
    offset = first * dtype_of(workload.output.dtype).nbytes
    return offset if offset % ALIGNMENT == 0 else None


def slice_in_place(program: Program, slices: Mapping[int, int]) -> Joined:
    """Drops copies that are views of what an earlier call makes; their readers read the source.

    Args:
        program: what to rewrite.
        slices: for the position of a call that could be dropped, `slice_offset` of its workload.
    """
    homes: dict[int, View] = {}
    dropped: dict[int, int] = {}
    makers = {call.arguments[-1].buffer: place for place, call in enumerate(program.calls)}
    outputs = {view.buffer for view in program.outputs}

    def found(view: View) -> View:
        home = homes.get(view.buffer)
        return view if home is None else replace(view, buffer=home.buffer, offset=home.offset + view.offset)

    for place, call in enumerate(program.calls):
        source, result = found(call.arguments[0]), call.arguments[-1]
        maker = makers.get(source.buffer)
        if place in slices and maker is not None and result.buffer not in outputs and result.offset == 0:
            homes[result.buffer] = replace(source, offset=source.offset + slices[place])
            dropped[place] = maker
    calls = tuple(
        replace(call, arguments=tuple(map(found, call.arguments)))
        for place, call in enumerate(program.calls)
        if place not in dropped
    )
    return Joined(replace(program, calls=calls), dropped)
