"""Resizing feature maps by separable taps: each output row and column has its source indices and weights.

The graph computes the tables (`pipeline.graph`), so nearest, linear and cubic in every coordinate convention are
one kernel with one, two or four taps.
"""

from __future__ import annotations

import math
from typing import Any

from tvmopt.schedules.compute.functions import QUANTIZED
from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.memory_bound.pointwise import MAP_TYPES
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt, divmod_index
from tvmopt.schedules.llvm.parts.fixed import NoKnobs
from tvmopt.schedules.llvm.parts.operands import Epilogue, Pixel, declared, operands_of
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

tirx = lazily("tvm.tirx")


class Resize2d(NoKnobs):
    """The template.

    Workload: data, row indices (int32, rows × taps), row weights (float32, likewise), column indices, column
    weights, the epilogue's operands; attribute ``taps``. The mean of several quantised values is that of the integers
    less the attribute ``zero``, as float32; a single one stays as it is.
    """

    name = "resize2d"
    version = 1

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Data and output in blocks of one size, of float32; or quantised data."""
        data, output = workload.inputs[0], workload.output
        if workload.op != "resize2d" or data.block != output.block:
            return False
        if data.dtype == QUANTIZED:
            return output.dtype in MAP_TYPES
        return data.dtype == output.dtype == FLOAT32

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc."""
        inputs, result = operands_of(workload)
        epilogue = Epilogue(workload, inputs, result, target)
        n, channels, height, width = workload.output.shape
        lanes, taps = workload.output.block, workload.attr("taps")
        blocks = math.ceil(channels / lanes)

        def entry(table: int, position: Index, tap: int) -> Any:
            return emit.load(inputs[table].view, [0, 0, 0, 0, position * taps + tap])

        def floats(value: Any) -> Any:
            if workload.inputs[0].dtype == FLOAT32:
                return value
            zero = emit.splat(emit.const(workload.attr("zero")), lanes)
            return tirx.Cast(f"float32x{lanes}", value) - zero

        def task(index: Index) -> Stmt:
            image, index = divmod_index(index, blocks * height)
            block, row = divmod_index(index, height)

            def pixel(column: Index) -> Stmt:
                total = None
                for i in range(taps):
                    line = None
                    for j in range(taps):
                        source = inputs[0].vector(Pixel(image, block, entry(1, row, i), entry(3, column, j)), lanes)
                        if taps > 1:
                            source = floats(source) * emit.splat(entry(4, column, j), lanes)
                        line = source if line is None else line + source
                    if taps > 1:
                        line = line * emit.splat(entry(2, row, i), lanes)
                    total = line if total is None else total + line
                return epilogue.store(total, Pixel(image, block, row, column), lanes)

            return emit.seq([*epilogue.zero_halo(image, block, row, 1), emit.loop(width, pixel)])

        body = declared([*inputs, result], emit.parallel(n * blocks * height, task))
        return emit.kernel([x.parameter for x in (*inputs, result)], body, target.threads)
