"""Direct convolution to few output channels: a vector holds input channels of one pixel.

Elsewhere a vector holds output channels, so that four of them leave three quarters of it empty. Here an accumulator
belongs to one output channel of one pixel, and each of its lanes sums up other input channels; the lanes are added at
the end of a tile, all output channels of a pixel together. It pays for the last layers of networks that make images.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.convolution.shape import Shape, shape_of
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Expr, Index, Stmt, divmod_index
from tvmopt.schedules.llvm.parts.operands import Epilogue, Operand, Pixel, declared
from tvmopt.schedules.llvm.parts.register_tile import FMA_LATENCY, FMA_PER_CYCLE, LOADS_PER_CYCLE, Accumulators
from tvmopt.schedules.llvm.parts.split import Cut
from tvmopt.schedules.space import Config, ConfigSpace, Knob
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor, Workload

tirx = lazily("tvm.tirx")

COLUMNS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12)
"""Columns of a tile that are tried; with more, 5×5 kernels from 32 channels to 1 took a third longer on AVX-512."""
FIXED_CYCLES = 12
"""Estimated cycles for the start and the end of a tile."""


class NarrowConv2d:
    """The algorithm; workload as for direct convolution: data, weight (constant, OIHW), epilogue's operands."""

    name = "narrow"
    spreads_nan = False
    feature_count = 5

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Float32, data and output blocked by the vector, no groups; outputs that fill at most half a vector."""
        if workload.op != "conv2d" or workload.dtypes != {FLOAT32} or workload.attr("groups") != 1:
            return False
        lanes = target.lanes(FLOAT32)
        if not workload.inputs[0].block == workload.output.block == lanes:
            return False
        return 2 * workload.output.shape[1] <= lanes <= 2 * workload.inputs[0].shape[1]

    def flops(self, workload: Workload) -> int:
        """Floating-point operations of the convolution itself, a multiply-add as two."""
        return 2 * workload.output.elements * math.prod(workload.inputs[1].shape[1:])

    def space(self, workload: Workload, target: Target) -> ConfigSpace:
        """Columns of a tile, with its accumulators in registers."""
        channels, width = workload.output.shape[1], shape_of(workload).columns
        fitting = tuple(c for c in COLUMNS if c <= width and _fits(c, channels, target))
        return ConfigSpace((Knob("columns", fitting or (1,)),))

    def default(self, workload: Workload, target: Target) -> Config:
        """The tile with the fewest estimated cycles."""
        return min(self.space(workload, target), key=lambda config: self.cycles(workload, target, config))

    def cycles(self, workload: Workload, target: Target, config: Config) -> float:
        """Estimated cycles on one core: multiply-adds or loads, then the sums over lanes."""
        shape, lanes = shape_of(workload), target.lanes(FLOAT32)
        steps = math.prod(shape.kernel) * math.ceil(shape.in_channels / lanes)
        total = 0.0
        for columns, count in Cut.of(shape.columns, config["columns"]).sizes():
            products = columns * shape.out_channels / FMA_PER_CYCLE
            step = max(products, (columns + shape.out_channels) / LOADS_PER_CYCLE, FMA_LATENCY)
            total += count * (steps * step + columns * _sum_shuffles(shape.out_channels, lanes) + FIXED_CYCLES)
        return total * shape.n * shape.rows

    def features(self, workload: Workload, target: Target, config: Config) -> tuple[float, ...]:
        """Estimated cycles, accumulators, loads per multiply-add, tasks, tail share."""
        shape, columns = shape_of(workload), config["columns"]
        tasks = shape.n * (Cut.of(shape.columns, columns).pieces if shape.one_row else shape.rows)
        return (
            math.log2(self.cycles(workload, target, config)),
            float(columns * shape.out_channels),
            (columns + shape.out_channels) / (columns * shape.out_channels),
            math.log2(tasks),
            shape.columns / (math.ceil(shape.columns / columns) * columns),
        )

    def packed(self, workload: Workload, target: Target, config: Config) -> dict[int, tuple[int, ...]]:
        """The weights: one flat row."""
        shape, lanes = shape_of(workload), target.lanes(FLOAT32)
        return {1: (shape.out_channels * math.prod(shape.kernel) * math.ceil(shape.in_channels / lanes) * lanes,)}

    def pack(
        self, workload: Workload, target: Target, config: Config, index: int, array: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        """Weights OIHW → flat ``(KH, KW, IC/lanes, O, lanes)``; absent input channels are zeros."""
        lanes = target.lanes(FLOAT32)
        outputs, inputs, *kernel = array.shape
        padded = np.pad(array, ((0, 0), (0, -inputs % lanes), (0, 0), (0, 0)))
        return np.ascontiguousarray(padded.reshape(outputs, -1, lanes, *kernel).transpose(3, 4, 1, 0, 2)).ravel()

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc: inputs (weights packed), then the output."""
        return _Kernel(workload, target, config, self.packed(workload, target, config)[1]).function()


def _fits(columns: int, channels: int, target: Target) -> bool:
    """Whether the accumulators leave registers for the weights and the data of a step.

    Five eighths of 32 registers were faster than six from 56 channels to 4, and from 64 to 3.
    """
    return 8 * columns * channels <= 5 * target.registers


def _sum_shuffles(channels: int, lanes: int) -> int:
    """Shuffles to add up the lanes of all output channels of a pixel."""
    width = 1 << (channels - 1).bit_length()
    return 2 * (width - 1) + (lanes // width).bit_length() - 1


class _Kernel:
    """Writes the loop nest of one workload under one config."""

    def __init__(self, workload: Workload, target: Target, config: Config, packed: tuple[int, ...]) -> None:
        self.workload, self.target, self.config = workload, target, config
        self.shape: Shape = shape_of(workload)
        self.lanes = target.lanes(FLOAT32)
        self.inputs = [Operand(tensor, f"operand{i}") for i, tensor in enumerate(workload.inputs)]
        self.inputs[1] = Operand(Tensor(packed, workload.inputs[1].dtype), "weight")
        self.result = Operand(workload.output, "output")
        if self.shape.flat:
            self.inputs = [x.flattened() if len(x.tensor.shape) == 4 else x for x in self.inputs]
            self.result = self.result.flattened()
        self.epilogue = Epilogue(workload, self.inputs, self.result)
        pads, halo = workload.attr("pads"), workload.inputs[0].halo
        self.offset = (halo[0] - pads[0], halo[1] - pads[1])
        self.outputs = self.shape.out_channels
        self.blocks = divmod(self.shape.in_channels, self.lanes)

    def function(self) -> Any:
        """The PrimFunc; a task is a row, or a piece of the only one."""
        columns, rows = Cut.of(self.shape.columns, self.config["columns"]), self.shape.rows
        pieces = columns.pieces if self.shape.one_row else rows

        def task(index: Index) -> Stmt:
            image, place = divmod_index(index, pieces) if self.shape.n > 1 else (0, index)
            if self.shape.one_row:
                return columns.piece(place, lambda first, size: self._piece(image, first, size))
            line = columns.each(lambda first, size: self._tile(Pixel(image, 0, place, first), size))
            return emit.seq([*self.epilogue.zero_halo(image, 0, place, 1), line])

        body = emit.parallel(self.shape.n * pieces, task)
        operands = [*self.inputs, self.result]
        return emit.kernel([x.parameter for x in operands], declared(operands, body), self.target.threads)

    def _piece(self, image: Index, first: Index, size: int) -> Stmt:
        """A tile of the only row, and the zeros around it."""
        border = [] if self.shape.flat else self.epilogue.zero_ends(image, 0, first, size)
        return emit.seq([*border, self._tile(Pixel(image, 0, 0, first), size)])

    def _tile(self, at: Pixel, columns: int) -> Stmt:
        tile = Accumulators(columns, self.outputs, self.lanes)
        whole, rest = self.blocks

        def tap(kh: Index, kw: Index) -> Stmt:
            # Blocks of channels are innermost: taps of a row read the same pixels, and LLVM would hold all of them.
            parts = [emit.loop(whole, lambda block: self._step(tile, at, (kh, kw, block), self.lanes), "icb")]
            parts += [self._step(tile, at, (kh, kw, whole), rest)] if rest else []
            return emit.seq(parts if whole else parts[1:])

        body = [*tile.fill(0.0), emit.nest(self.shape.kernel, tap, "k")]
        for column in range(columns):
            bound, value = self._added([tile.value(column, output) for output in range(self.outputs)])
            place = Pixel(at.image, 0, at.row, at.column + column)
            body += [*bound, self.epilogue.store(value, place, self.lanes)]
        return tile.run(body)

    def _step(self, tile: Accumulators, at: Pixel, tap: tuple[Index, Index, Index], channels: int) -> Stmt:
        """The multiply-adds of one tap with one block, whose first `channels` are there."""
        shape, (kh, kw, block) = self.shape, tap
        blocks = math.ceil(shape.in_channels / self.lanes)
        first = ((kh * shape.kernel[1] + kw) * blocks + block) * (self.outputs * self.lanes)
        row = at.row * shape.stride[0] + kh * shape.dilation[0] + self.offset[0]

        def pixel(p: int) -> Expr:
            column = (at.column + p) * shape.stride[1] + kw * shape.dilation[1] + self.offset[1]
            value = emit.load(self.inputs[0].view, [at.image, block, row, column, 0], self.lanes)
            if channels == self.lanes:
                return value
            # What absent channels hold may be infinite, and then a zero as its weight would not help.
            zeros = emit.splat(emit.const(0.0), self.lanes)
            return emit.shuffled([value, zeros], [i if i < channels else i + self.lanes for i in range(self.lanes)])

        def weights(output: int) -> Expr:
            return emit.load(self.inputs[1].view, [0, 0, 0, 0, first + output * self.lanes], self.lanes)

        return emit.seq(tile.multiply_add(pixel, weights))

    def _added(self, vectors: list[Expr]) -> tuple[list[Stmt], Expr]:
        """The sums of the lanes of some vectors, side by side and repeated, and what computes them."""
        statements: list[Stmt] = []

        def bound(value: Expr) -> Expr:
            variable = tirx.Var("lanes", f"float32x{self.lanes}")
            statements.append(tirx.Bind(variable, value))
            return variable

        zeros = emit.splat(emit.const(0.0), self.lanes)
        width = 1 << (len(vectors) - 1).bit_length()
        held = [bound(vector) for vector in vectors] + [zeros] * (width - len(vectors))
        distance = 1
        while distance < self.lanes:
            # Lane i of a pair's sum has what the first (second) vector has there and at the other end of `distance`.
            second = [bool(lane & distance) for lane in range(self.lanes)]
            near = [lane + self.lanes * at for lane, at in enumerate(second)]
            far = [(lane ^ distance) + self.lanes * at for lane, at in enumerate(second)]
            pairs = list(zip(held[::2], held[1::2], strict=True)) if len(held) > 1 else [(held[0], held[0])]
            held = [bound(emit.shuffled(pair, near) + emit.shuffled(pair, far)) for pair in pairs]
            distance *= 2
        return statements, held[0]
