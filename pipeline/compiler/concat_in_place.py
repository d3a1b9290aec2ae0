"""Concatenation without copies: its inputs are written directly to their places in the output tensor."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from tvmopt.pipeline.artifact.native_library import ALIGNMENT
from tvmopt.pipeline.compiler.program import WORK, Program, View
from tvmopt.schedules.dtypes import dtype_of
from tvmopt.schedules.expression import ACC
from tvmopt.schedules.workload import Workload


def joins_memory(workload: Workload) -> bool:
    """Whether a concatenation's output is its inputs one after another in memory.

    This requires a single image, whole channel blocks in all inputs but the last, and equal block sizes and halos of
    equal content. In row-major order, and of bytes, each part must begin where kernels expect a tensor to begin: their
    vectors may have several pixels.
    """
    if workload.op != "concat" or workload.epilogue != ACC or workload.output.shape[0] != 1:
        return False
    output = workload.output
    ends = [math.prod(tensor.physical_shape) * dtype_of(tensor.dtype).nbytes for tensor in workload.inputs[:-1]]
    if (output.plain or dtype_of(output.dtype).nbytes == 1) and any(end % ALIGNMENT for end in ends):
        return False
    alike = all(tensor.frame == output.frame for tensor in workload.inputs)
    return alike and all(tensor.shape[1] % output.block == 0 for tensor in workload.inputs[:-1])


@dataclass(frozen=True, slots=True)
class Joined:
    """A program without the concatenations that need no call.

    Attributes:
        program: the rest of the calls.
        dropped: for the position of each dropped call that of the call that makes its last input, both in the
            original program.
    """

    program: Program
    dropped: dict[int, int]


def join_in_place(program: Program, joins: Collection[int]) -> Joined:
    """Drops concatenations whose inputs can be made in place.

    Works from the last one backwards, so that a joined tensor can be joined again. Drops a concatenation if each input
    is a whole tensor of its own, or if a later concatenation has already placed its inputs one after another.

    Args:
        program: what to rewrite.
        joins: positions of the calls whose workload `joins_memory`.
    """
    sizes = program.sizes()
    homes: dict[int, View] = {}
    dropped: dict[int, int] = {}
    makers = {call.arguments[-1].buffer: place for place, call in enumerate(program.calls)}
    for place in reversed(range(len(program.calls))):
        if place not in joins:
            continue
        *inputs, output = program.calls[place].arguments
        if _is_free(program, inputs, sizes, homes):
            offset = 0
            for view in inputs:
                homes[view.buffer] = replace(output, offset=output.offset + offset)
                offset += view.nbytes
        elif _follow_each_other(inputs, homes) and output.buffer not in homes:
            homes[output.buffer] = _resolve(inputs[0], homes)
        else:
            continue
        dropped[place] = makers[inputs[-1].buffer]
    calls = tuple(
        replace(call, arguments=tuple(_resolve(view, homes) for view in call.arguments))
        for place, call in enumerate(program.calls)
        if place not in dropped
    )
    outputs = tuple(_resolve(view, homes) for view in program.outputs)
    return Joined(replace(program, calls=calls, outputs=outputs), dropped)


def _is_free(program: Program, inputs: Sequence[View], sizes: Sequence[int], homes: dict[int, View]) -> bool:
    """Whether each input is a whole intermediate buffer, and none has a home yet."""
    buffers = [view.buffer for view in inputs]
    whole = all(view.offset == 0 and view.nbytes == sizes[view.buffer] for view in inputs)
    own = all(program.places[buffer] == WORK and buffer not in homes for buffer in buffers)
    return whole and own and len(set(buffers)) == len(buffers)


def _follow_each_other(inputs: Sequence[View], homes: dict[int, View]) -> bool:
    """Whether a later concatenation has placed all inputs one after another, in this order."""
    if any(view.buffer not in homes for view in inputs):
        return False
    found = [_resolve(view, homes) for view in inputs]
    ends = [view.offset + view.nbytes for view in found]
    in_order = all(end == view.offset for end, view in zip(ends, found[1:], strict=False))
    return in_order and len({view.buffer for view in found}) == 1


def _resolve(view: View, homes: dict[int, View]) -> View:
    """The final location of `view`."""
    while view.buffer in homes:
        home = homes[view.buffer]
        view = replace(view, buffer=home.buffer, offset=home.offset + view.offset)
    return view
