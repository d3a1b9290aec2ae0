"""Transposed convolution of every channel by itself: one depthwise convolution for each phase.

A phase (`schedules.compute.phases`) has its own taps and its own place among the output's rows and columns. Networks
enlarge maps so, with the weights of an interpolation.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.schedules.compute.phases import Phase
from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.llvm.convolution.shape import phases_by_axis
from tvmopt.schedules.llvm.depthwise.depthwise_tile import ENOUGH_PIXELS
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt, divmod_index
from tvmopt.schedules.llvm.parts.operands import Epilogue, Operand, Pixel, declared
from tvmopt.schedules.llvm.parts.register_tile import Accumulators, useful_sizes
from tvmopt.schedules.llvm.parts.split import Cut
from tvmopt.schedules.space import Config, ConfigSpace, Knob
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor, Workload


class TransposedDepthwise:
    """The template; workload: data, weight (constant, C×1×KH×KW), then operands of the epilogue.

    The attributes are those of a transposed convolution.
    """

    name = "transposed_depthwise"
    version = 1

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Float32, a kernel for each channel, data and output blocked by the vector."""
        if workload.op != "transposed_conv2d" or workload.dtypes != {FLOAT32}:
            return False
        if not workload.attr("groups") == workload.inputs[0].shape[1] == workload.output.shape[1] > 1:
            return False
        return workload.inputs[0].block == target.lanes(FLOAT32) == workload.output.block

    def flops(self, workload: Workload) -> int:
        """Floating-point operations, a multiply-add as two: each element of the data meets all taps."""
        return 2 * workload.inputs[0].elements * math.prod(workload.inputs[1].shape[2:])

    def space(self, workload: Workload, target: Target) -> ConfigSpace:
        """Rows × columns of a tile, in each phase."""
        rows, columns = _pieces(workload)

        def allowed(config: Config) -> bool:
            return config["rows"] * config["columns"] <= target.registers - 4

        knobs = (
            Knob("rows", useful_sizes(rows, 8, (2, 3, 4))),
            Knob("columns", useful_sizes(columns, 16, (2, 4, 6, 7, 8))),
        )
        return ConfigSpace(knobs, allowed, leading=2)

    def default(self, workload: Workload, target: Target) -> Config:
        """The tile with the fewest estimated cycles."""
        space = self.space(workload, target)
        configs = [config for config in space if config["rows"] * config["columns"] <= ENOUGH_PIXELS]
        return min(configs, key=lambda config: self.cycles(workload, target, config))

    def cycles(self, workload: Workload, target: Target, config: Config) -> float:
        """Estimated cycles on one core: each tap takes at least the latency of a multiply-add."""
        (rows, columns), pieces = phases_by_axis(workload), _pieces(workload)
        total = 0.0
        for (height, down), (width, across) in itertools.product(
            Cut.of(pieces[0], config["rows"]).sizes(), Cut.of(pieces[1], config["columns"]).sizes()
        ):
            for row, column in itertools.product(rows.each, columns.each):
                taps = len(row.taps) * len(column.taps)
                total += down * across * (taps * max(height * width / 2, 4.0) + height * width + 10)
        n, channels = workload.output.shape[:2]
        return total * n * math.ceil(channels / target.lanes(FLOAT32))

    def features(self, workload: Workload, target: Target, config: Config) -> tuple[float, ...]:
        """Estimated cycles, pixels of the tile, parallel tasks, tail share."""
        rows, columns = _pieces(workload)
        n, channels = workload.output.shape[:2]
        tasks = n * math.ceil(channels / target.lanes(FLOAT32)) * _count(workload) * math.ceil(rows / config["rows"])
        return (
            math.log2(self.cycles(workload, target, config)),
            float(config["rows"] * config["columns"]),
            math.log2(tasks),
            columns / (math.ceil(columns / config["columns"]) * config["columns"]),
        )

    def packed(self, workload: Workload, target: Target, config: Config) -> dict[int, tuple[int, ...]]:
        """The weights: one flat row."""
        return {1: _packed(workload, target)}

    def pack(
        self, workload: Workload, target: Target, config: Config, index: int, array: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        """Weights C×1×KH×KW → flat ``(phase, C/lanes, taps, lanes)``, with room for the most taps of any phase."""
        lanes, (rows, columns) = target.lanes(FLOAT32), phases_by_axis(workload)
        channels = np.pad(array[:, 0], ((0, -array.shape[0] % lanes), (0, 0), (0, 0)))
        blocks = channels.reshape(-1, lanes, *channels.shape[1:]).transpose(0, 2, 3, 1)
        packed = np.zeros((_count(workload), len(blocks), rows.most * columns.most, lanes), array.dtype)
        for phase, (row, column) in enumerate(itertools.product(rows.each, columns.each)):
            taken = blocks[:, list(row.taps)][:, :, list(column.taps)]
            packed[phase, :, : len(row.taps) * len(column.taps)] = taken.reshape(len(blocks), -1, lanes)
        return packed.ravel()

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc: inputs (weights packed), then the output."""
        return _Nest(workload, target, config).function()


def _count(workload: Workload) -> int:
    """How many phases there are."""
    return math.prod(workload.attr("strides"))


def _pieces(workload: Workload) -> tuple[int, int]:
    """Rows and columns of the output in the largest phase."""
    rows, columns = (math.ceil(workload.output.shape[2 + i] / workload.attr("strides")[i]) for i in range(2))
    return rows, columns


def _packed(workload: Workload, target: Target) -> tuple[int, ...]:
    """The shape of the weights in memory: one flat row."""
    lanes, (rows, columns) = target.lanes(FLOAT32), phases_by_axis(workload)
    blocks = math.ceil(workload.output.shape[1] / lanes)
    return (_count(workload) * blocks * rows.most * columns.most * lanes,)


class _Nest:
    """Writes the loop nest of one workload under one config."""

    def __init__(self, workload: Workload, target: Target, config: Config) -> None:
        self.workload, self.target, self.config = workload, target, config
        self.lanes, self.strides = target.lanes(FLOAT32), workload.attr("strides")
        self.inputs = [Operand(tensor, f"operand{i}") for i, tensor in enumerate(workload.inputs)]
        self.inputs[1] = Operand(Tensor(_packed(workload, target), workload.inputs[1].dtype), "weight")
        self.result = Operand(workload.output, "output")
        self.epilogue = Epilogue(workload, self.inputs, self.result)
        self.phases = phases_by_axis(workload)
        self.blocks = math.ceil(workload.output.shape[1] / self.lanes)

    def function(self) -> Any:
        count, pieces = _count(self.workload), _pieces(self.workload)
        units, columns = Cut.of(pieces[0], self.config["rows"]), Cut.of(pieces[1], self.config["columns"])

        def task(index: Index) -> Stmt:
            image, index = divmod_index(index, self.blocks * count * units.pieces)
            block, index = divmod_index(index, count * units.pieces)
            phase, unit = divmod_index(index, units.pieces)
            places = divmod_index(phase, self.strides[1])
            (rows, down), (across, right) = (self._window(axis, places[axis]) for axis in range(2))

            def some(first: Index, height: int) -> Stmt:
                def tile(column: Index, width: int) -> Stmt:
                    at = Pixel(image, block, first, column)
                    return self._tile(at, (height, width), phase, places, (rows, across))

                return columns.each(tile)

            # One task writes all zeros around a map.
            zeros = self.epilogue.zero_halo(image, block, 0, self.workload.output.shape[2])
            border = [emit.when_below(index, 1, emit.seq(zeros))] if zeros else []
            return emit.seq([*border, *down, *right, units.piece(unit, some)])

        body = emit.parallel(self.workload.output.shape[0] * self.blocks * count * units.pieces, task)
        operands = [*self.inputs, self.result]
        return emit.kernel([x.parameter for x in operands], declared(operands, body), self.target.threads)

    def _window(self, axis: int, place: Index) -> tuple[tuple[Index, Index], list[Stmt]]:
        """How many taps a phase has along an axis and what the first meets; and the statements that compute both."""
        each: tuple[Phase, ...] = self.phases[axis].each
        halo = self.workload.inputs[0].halo[axis]
        count, first = emit.named(emit.entry([len(phase.taps) for phase in each], place), f"taps{axis}")
        shift, then = emit.named(emit.entry([phase.shift + halo for phase in each], place), f"shift{axis}")
        return (count, shift), [*first, *then]

    def _tile(
        self,
        at: Pixel,
        size: tuple[int, int],
        phase: Index,
        places: tuple[Index, Index],
        windows: tuple[tuple[Index, Index], tuple[Index, Index]],
    ) -> Stmt:
        """`size` rows and columns of one phase, counted within it, from `at` on."""
        pixels = [(at.row + i, at.column + j) for i in range(size[0]) for j in range(size[1])]
        accumulators = Accumulators(len(pixels), 1, self.lanes)
        (rows, top), (columns, left) = windows
        down, across = (axis.step for axis in self.phases)
        most = math.prod(axis.most for axis in self.phases)

        def tap(i: Index, j: Index) -> Stmt:
            number = (phase * self.blocks + at.block) * most + i * columns + j

            def data(p: int) -> emit.Expr:
                row, column = pixels[p][0] + top + i * down, pixels[p][1] + left + j * across
                return emit.load(self.inputs[0].view, [at.image, at.block, row, column, 0], self.lanes)

            def weight(_: int) -> emit.Expr:
                return emit.load(self.inputs[1].view, [0, 0, 0, 0, number * self.lanes], self.lanes)

            return emit.seq(accumulators.multiply_add(data, weight))

        results = [
            (accumulators.value(p, 0), Pixel(at.image, at.block, *self._place(pixel, places)))
            for p, pixel in enumerate(pixels)
        ]
        return accumulators.run([*accumulators.fill(0.0), emit.nest((rows, columns), tap, "k"), *self._store(results)])

    def _place(self, pixel: tuple[Index, Index], places: tuple[Index, Index]) -> tuple[Index, Index]:
        """Where in the output a pixel of a phase goes."""
        return pixel[0] * self.strides[0] + places[0], pixel[1] * self.strides[1] + places[1]

    def _store(self, results: list[tuple[emit.Expr, Pixel]]) -> list[Stmt]:
        """Stores the results, except those behind the output's end: not all phases need be of one size."""
        size = self.workload.output.shape[2:]
        if all(extent % stride == 0 for extent, stride in zip(size, self.strides, strict=True)):
            return self.epilogue.store_all(results, self.lanes)
        stores = []
        for value, at in results:
            body = emit.seq(self.epilogue.store_all([(value, at)], self.lanes))
            stores.append(emit.when_below(at.row, size[0], emit.when_below(at.column, size[1], body)))
        return stores
