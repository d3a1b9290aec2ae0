"""Element-wise expressions: on feature maps of any layout, and on plain tensors with numpy's broadcasting."""

from __future__ import annotations

import math
from typing import Any

from tvmopt.schedules.compute.functions import ONE_BY_ONE, QUANTIZED
from tvmopt.schedules.compute.pointwise import VectorMath
from tvmopt.schedules.compute.typed import TRUTH
from tvmopt.schedules.dtypes import DTYPES, FLOAT32
from tvmopt.schedules.expression import functions_of, tables_of
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt, View, divmod_index
from tvmopt.schedules.llvm.parts.lookup import Lookup
from tvmopt.schedules.llvm.parts.operands import Epilogue, Operand, Pixel, declared, operands_of
from tvmopt.schedules.space import Config, ConfigSpace, Knob
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor, Workload

MIN_TASK_ELEMENTS = 4096

TYPES = frozenset(DTYPES) - {"float16", "bfloat16"}
"""Element types of plain tensors."""

MAP_TYPES = frozenset({FLOAT32, QUANTIZED})
"""Element types of maps in blocks."""


class Pointwise:
    """The template; the epilogue is the whole computation."""

    name = "pointwise"
    version = 1

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Plain tensors of any `TYPES`, or maps of float32 whose operands have the output's block."""
        if workload.op != "pointwise":
            return False
        if workload.output.plain:
            return workload.dtypes <= TYPES and all(tensor.plain for tensor in workload.inputs)
        tables = tables_of(workload.epilogue)
        maps = [tensor for i, tensor in enumerate(workload.inputs) if i not in tables]
        return workload.dtypes <= MAP_TYPES and all(_maps_onto(tensor, workload.output) for tensor in maps)

    def flops(self, workload: Workload) -> int:
        """One operation for each output element."""
        return workload.output.elements

    def space(self, workload: Workload, target: Target) -> ConfigSpace:
        """Vectors computed together."""
        return ConfigSpace((Knob("unroll", (1, 2, 4)),))

    def default(self, workload: Workload, target: Target) -> Config:
        """Two vectors together; of bytes as many as are stored as one."""
        return {"unroll": 2 if workload.output.plain or workload.output.dtype == FLOAT32 else 4}

    def features(self, workload: Workload, target: Target, config: Config) -> tuple[float, ...]:
        """Vectors computed together."""
        return (float(config["unroll"]),)

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc."""
        if workload.output.plain:
            return _plain(workload, target, config)
        return _map(workload, target, config)


def _maps_onto(tensor: Tensor, output: Tensor) -> bool:
    if tensor.elements == 1:
        return True
    if len(tensor.shape) != 4:
        return False
    return tensor.shape[1] == 1 or tensor.block == output.block


def _map(workload: Workload, target: Target, config: Config) -> Any:
    """Feature maps: rows of pixels, a vector is a channel block."""
    inputs, result = operands_of(workload)
    epilogue = Epilogue(workload, inputs, result, target)
    n, channels, height, width = workload.output.shape
    lanes = workload.output.block
    blocks = math.ceil(channels / lanes)

    def task(index: Index) -> Stmt:
        image, index = divmod_index(index, blocks * height)
        block, row = divmod_index(index, height)

        def pixels(column: Index, count: int) -> Stmt:
            places = [(None, Pixel(image, block, row, column + i)) for i in range(count)]
            if epilogue.packs:
                return emit.seq(epilogue.store_runs([places], lanes))
            return emit.seq(epilogue.store(None, at, lanes) for _, at in places)

        line = emit.split_loop(width, config["unroll"], pixels)
        return emit.seq([*epilogue.zero_halo(image, block, row, 1), line])

    body = declared([*inputs, result], emit.parallel(n * blocks * height, task))
    return emit.kernel([x.parameter for x in (*inputs, result)], body, target.threads)


def collapse(shapes: list[tuple[int, ...]]) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """Merges neighbouring dimensions that each operand either spans or repeats.

    Args:
        shapes: shapes of equal rank, the output's last; each size is the output's or one.

    Returns:
        The output's merged sizes, and for each shape whether it spans each merged dimension (1) or repeats (0).
    """
    output = shapes[-1]
    sizes: list[int] = []
    spans: list[tuple[bool, ...]] = []
    for axis, size in enumerate(output):
        if size == 1:
            continue
        span = tuple(shape[axis] == size for shape in shapes)
        if spans and spans[-1] == span:
            sizes[-1] *= size
        else:
            sizes.append(size)
            spans.append(span)
    if not sizes:
        sizes, spans = [1], [(True,) * len(shapes)]
    return tuple(sizes), [tuple(int(span[i]) for span in spans) for i in range(len(shapes))]


def _plain(workload: Workload, target: Target, config: Config) -> Any:
    """Plain tensors: loops over the outer dimensions, vectors along the innermost, then a scalar tail."""
    inputs, result = operands_of(workload)
    rank = len(workload.output.shape)
    looked_up = tables_of(workload.epilogue)
    shapes = [(1,) * (rank - len(x.tensor.shape)) + x.tensor.shape for x in (*inputs, result)]
    shapes = [(1,) * rank if i in looked_up else shape for i, shape in enumerate(shapes)]
    sizes, spans = collapse(shapes)
    if len(sizes) == 1:
        # One long row: cut it, so that threads can share it.
        pieces = _pieces(sizes[0], target)
        sizes, spans = (pieces, sizes[0] // pieces), [span * 2 for span in spans]
    views = [flat_view(x) for x in (*inputs, result)]
    tables = {i: Lookup(views[i], target) for i in looked_up}
    strides = [_strides(sizes, span) for span in spans]
    inner, outer = sizes[-1], math.prod(sizes[:-1])

    def at(i: int, position: list[Index], column: Index) -> Index:
        place = sum((p * s for p, s in zip(position, strides[i][:-1], strict=True)), 0)
        return place + column * strides[i][-1]

    def vector(position: list[Index], column: Index, lanes: int) -> Stmt:
        def operand(i: int) -> emit.Expr:
            if i in tables:
                return tables[i]
            if strides[i][-1] == 0:
                value = emit.splat(emit.load(views[i], [at(i, position, 0)]), lanes)
            else:
                value = emit.load(views[i], [at(i, position, column)], lanes)
            # Memory may hold any byte for a boolean.
            return functions.truth(value) if workload.inputs[i].dtype == "bool" else value

        functions = VectorMath(lanes)
        value = functions.evaluate(workload.epilogue, None, operand)
        return emit.store(views[-1], value, [at(len(inputs), position, column)], lanes)

    def task(index: Index) -> Stmt:
        position: list[Index] = []
        for size in reversed(sizes[1:-1]):
            index, last = divmod_index(index, size)
            position.insert(0, last)
        position.insert(0, index)
        step = target.lanes(FLOAT32) * config["unroll"]

        def several(column: Index, count: int) -> Stmt:
            whole = 0 if functions_of(workload.epilogue) & ONE_BY_ONE else count // target.lanes(FLOAT32)
            parts = [vector(position, column + i * target.lanes(FLOAT32), target.lanes(FLOAT32)) for i in range(whole)]
            parts += [vector(position, column + i, 1) for i in range(whole * target.lanes(FLOAT32), count)]
            return emit.seq(parts)

        return emit.split_loop(inner, step, several)

    body = emit.seq([*(view.declare() for view in views), emit.parallel(outer, task)])
    threads = target.threads if workload.output.elements >= 2 * MIN_TASK_ELEMENTS else 1
    return emit.kernel([x.parameter for x in (*inputs, result)], body, threads)


def _pieces(size: int, target: Target) -> int:
    """How many equal pieces a row is cut into: as many as divide it without being too small."""
    most = max(1, min(8 * target.threads, size // MIN_TASK_ELEMENTS))
    return max(count for count in range(1, most + 1) if size % count == 0)


def _strides(sizes: tuple[int, ...], span: tuple[int, ...]) -> tuple[int, ...]:
    strides, step = [0] * len(sizes), 1
    for axis in reversed(range(len(sizes))):
        if span[axis]:
            strides[axis] = step
            step *= sizes[axis]
    return tuple(strides)


def flat_view(operand: Operand) -> View:
    """A view of a plain tensor as one row; of booleans as truth values."""
    tensor = operand.tensor
    return View.of(operand.parameter, (tensor.elements,), TRUTH if tensor.dtype == "bool" else tensor.dtype)
