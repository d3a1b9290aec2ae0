"""Local response normalisation of feature maps in blocks of channels (Krizhevsky et al., 2012, section 3.3).

A vector is a block of channels of one pixel. The squares of it and of the blocks before and after it stand side by side
in registers; the sums over a window of channels are sums of vectors cut out of them at neighbouring places.
"""

from __future__ import annotations

from typing import Any

from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt, divmod_index
from tvmopt.schedules.llvm.parts.fixed import NoKnobs
from tvmopt.schedules.llvm.parts.operands import Epilogue, Pixel, declared, operands_of
from tvmopt.schedules.llvm.parts.split import Cut
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

tirx = lazily("tvm.tirx")

PIXELS = 256
"""Most pixels of a task, in whole rows if possible."""
TOGETHER = 2
"""Pixels normalised together: square roots and quotients of one vector wait for each other."""


class ChannelWindow(NoKnobs):
    """The template; attributes: size (of the window, in channels), alpha, beta and bias, as ONNX's ``LRN`` has them."""

    name = "channel_window"
    version = 1

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Float32, data and output in blocks of one size, of which a window reaches into the next one at most."""
        if workload.op != "lrn" or workload.dtypes != {FLOAT32}:
            return False
        return workload.inputs[0].block == workload.output.block > max(1, int(workload.attr("size")) // 2 - 1)

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc."""
        return _Nest(workload, target).function()


class _Nest:
    """Writes the loop nest of one workload."""

    def __init__(self, workload: Workload, target: Target) -> None:
        self.workload, self.target, self.lanes = workload, target, workload.output.block
        self.inputs, self.result = operands_of(workload)
        self.epilogue = Epilogue(workload, self.inputs, self.result)
        self.images, self.channels, self.height, self.width = workload.output.shape
        self.size = int(workload.attr("size"))
        self.alpha, self.beta, self.bias = (float(workload.attr(name)) for name in ("alpha", "beta", "bias"))

    def function(self) -> Any:
        rows = Cut.of(self.height, max(1, PIXELS // self.width))
        blocks = -(-self.channels // self.lanes)

        def task(index: Index) -> Stmt:
            image, index = divmod_index(index, blocks * rows.pieces)
            block, piece = divmod_index(index, rows.pieces)
            return rows.piece(piece, lambda first, count: self._band(Pixel(image, block, first, 0), count))

        operands = [*self.inputs, self.result]
        body = declared(operands, emit.parallel(self.images * blocks * rows.pieces, task))
        return emit.kernel([x.parameter for x in operands], body, self.target.threads)

    def _band(self, at: Pixel, rows: int) -> Stmt:
        """`rows` rows of a block of channels."""

        def line(row: Index) -> Stmt:
            def pixels(column: Index, count: int) -> Stmt:
                places = [at._replace(row=at.row + row, column=column + i) for i in range(count)]
                values = [self._normalized(place) for place in places]
                return emit.seq(self.epilogue.store_all(list(zip(values, places, strict=True)), self.lanes))

            return emit.split_loop(self.width, TOGETHER, pixels)

        return emit.seq([*self.epilogue.zero_halo(at.image, at.block, at.row, rows), emit.loop(rows, line, "y")])

    def _normalized(self, at: Pixel) -> emit.Expr:
        """``x · (bias + alpha / size · sum of squares) ** -beta`` of a pixel's channels."""
        lanes, first = self.lanes, self.lanes - (self.size - 1) // 2
        squares = [tirx.Var(name, f"float32x{lanes}") for name in ("before", "here", "after")]
        total = emit.shuffled(squares, range(first, first + lanes))
        for place in range(first + 1, first + self.size):
            total = total + emit.shuffled(squares, range(place, place + lanes))
        value = self.inputs[0].vector(at, lanes) / self._power(
            total * self._all(self.alpha / self.size) + self._all(self.bias)
        )
        if self.channels % lanes:
            value = self._where_present(at.block, value)
        for step, name in zip((-1, 0, 1), squares, strict=True):
            value = tirx.Let(name, self._squares(at, step), value)
        return value

    def _power(self, base: emit.Expr) -> emit.Expr:
        """`base` to the power of beta: by square roots where it is some quarters, as other powers are not vectors.

        Minus infinity, which has powers but no square root, takes a negative alpha.
        """
        quarters = self.beta * 4
        if quarters not in (1, 2, 3, 4) or self.alpha < 0:
            return tirx.pow(base, self._all(self.beta))
        whole, root = (tirx.Var(name, f"float32x{self.lanes}") for name in ("whole", "root"))
        of_root = {1: tirx.sqrt(root), 2: root, 3: root * tirx.sqrt(root), 4: whole}[int(quarters)]
        return tirx.Let(whole, base, tirx.Let(root, tirx.sqrt(whole), of_root))

    def _all(self, value: float) -> emit.Expr:
        return emit.splat(emit.const(value), self.lanes)

    def _squares(self, at: Pixel, step: int) -> emit.Expr:
        """The squares of a pixel's channels, `step` blocks further, zero for channels that there are not."""
        last = -(-self.channels // self.lanes) - 1
        block = at.block + step
        inside = emit.least(block, last) if step > 0 else emit.most(block, 0)
        value = self.inputs[0].vector(at._replace(block=inside), self.lanes)
        name = tirx.Var("value", f"float32x{self.lanes}")
        squares = tirx.Let(name, value, name * name)
        return squares if step == 0 and self.channels % self.lanes == 0 else self._where_present(block, squares)

    def _where_present(self, block: Index, value: emit.Expr) -> emit.Expr:
        """`value` in channels that there are, zero in others, whatever they hold."""
        channel = tirx.Ramp(block * self.lanes, 1, self.lanes)
        low, high = (tirx.Broadcast(tirx.const(bound, "int32"), self.lanes) for bound in (0, self.channels))
        return tirx.Select(tirx.And(channel >= low, channel < high), value, self._all(0.0))
