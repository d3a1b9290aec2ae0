"""Direct convolution with groups narrower than a vector: each lane gets the input channel that it needs by a shuffle.

Nothing is multiplied by a zero: the work is that of as many depthwise convolutions as a group has input channels. One
shuffle arranges a channel of each group for its lanes, and serves all taps that meet that pixel from the tile. Source:
the idea of depthwise kernels with a channel multiplier, generalised; compare `windowed`, which broadcasts channels.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.convolution.grouped.lanes import Arrangement
from tvmopt.schedules.llvm.convolution.grouped.windowed import is_uneven
from tvmopt.schedules.llvm.convolution.shape import Shape, shape_of
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt, divmod_index
from tvmopt.schedules.llvm.parts.operands import Epilogue, Operand, Pixel, declared
from tvmopt.schedules.llvm.parts.register_tile import FMA_LATENCY, FMA_PER_CYCLE, Accumulators, useful_sizes
from tvmopt.schedules.llvm.parts.split import Cut
from tvmopt.schedules.space import Config, ConfigSpace, Knob
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor, Workload

tirx = lazily("tvm.tirx")

MOST_CODE = 700
"""Shuffles and multiply-adds of a tile that are unrolled: with more, compiling takes long and code leaves its cache."""

SPARE_REGISTERS = 6
"""For shuffled data, the places of shuffles, and weights."""

Access = tuple[int, int, int]
"""A tap's use of a pixel of the window: the result's row and column in the tile, the tap's column."""


class ShuffledConv2d:
    """The algorithm; workload as for direct convolution: data, weight (constant, OIHW), epilogue's operands."""

    name = "shuffled"
    spreads_nan = False
    feature_count = 6

    def accepts(self, workload: Workload, target: Target) -> bool:
        """As `windowed`, with so few channels in a group that a row of the window's code is short."""
        if not is_uneven(workload, target):
            return False
        shape, lanes = shape_of(workload), target.lanes(FLOAT32)
        periods = Arrangement.of(shape, lanes).period
        return shape.group_in < lanes and periods * self._code(workload, (1, 1)) <= MOST_CODE // 4

    def flops(self, workload: Workload) -> int:
        """Floating-point operations of the convolution itself, a multiply-add as two."""
        return 2 * workload.output.elements * math.prod(workload.inputs[1].shape[1:])

    def _code(self, workload: Workload, tile: tuple[int, int]) -> int:
        """Shuffles and multiply-adds that are unrolled."""
        shape = shape_of(workload)
        return shape.group_in * sum(len(uses) + 1 for uses in _window(shape, tile).values())

    def space(self, workload: Workload, target: Target) -> ConfigSpace:
        """Rows and columns of a tile."""
        shape = shape_of(workload)

        def allowed(config: Config) -> bool:
            size = config["rows"], config["columns"]
            if math.prod(size) > max(1, target.registers - SPARE_REGISTERS):
                return False
            return size == (1, 1) or self._code(workload, size) <= MOST_CODE

        rows = useful_sizes(shape.rows, 4, (2, 3, 4))
        columns = useful_sizes(shape.columns, 16, (2, 3, 4, 5, 6, 7, 8, 10, 12, 14))
        return ConfigSpace((Knob("rows", rows), Knob("columns", columns)), allowed)

    def default(self, workload: Workload, target: Target) -> Config:
        """The tile with the fewest estimated cycles."""
        return min(self.space(workload, target), key=lambda config: self.cycles(workload, target, config))

    def cycles(self, workload: Workload, target: Target, config: Config) -> float:
        """Estimated cycles on one core: shuffles take the place of multiply-adds."""
        shape, total = shape_of(workload), 0.0
        for rows, row_count in Cut.of(shape.rows, config["rows"]).sizes():
            for columns, column_count in Cut.of(shape.columns, config["columns"]).sizes():
                size = rows, columns
                steps = self._code(workload, size) * shape.kernel[0]
                least = FMA_LATENCY * shape.reduction
                total += row_count * column_count * (max(steps / FMA_PER_CYCLE, least) + 8 + 2 * math.prod(size))
        return total * shape.n * math.ceil(shape.out_channels / target.lanes(FLOAT32))

    def features(self, workload: Workload, target: Target, config: Config) -> tuple[float, ...]:
        """Estimated cycles, pixels of the tile, code, shuffles per multiply-add, tasks, tail share."""
        shape, size = shape_of(workload), (config["rows"], config["columns"])
        window = _window(shape, size)
        uses = sum(len(each) for each in window.values())
        tasks = shape.n * math.ceil(shape.out_channels / target.lanes(FLOAT32)) * math.ceil(shape.rows / size[0])
        return (
            math.log2(self.cycles(workload, target, config)),
            float(math.prod(size)),
            math.log2(self._code(workload, size)),
            len(window) / uses,
            math.log2(tasks),
            shape.columns / (math.ceil(shape.columns / size[1]) * size[1]),
        )

    def packed(self, workload: Workload, target: Target, config: Config) -> dict[int, tuple[int, ...]]:
        """The weights: one flat row."""
        shape, lanes = shape_of(workload), target.lanes(FLOAT32)
        return {1: (math.ceil(shape.out_channels / lanes) * lanes * shape.reduction,)}

    def pack(
        self, workload: Workload, target: Target, config: Config, index: int, array: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        """Weights OIHW → flat ``(O/lanes, KH, I, KW, lanes)``, I in each lane's order; absent channels are zeros."""
        lanes = target.lanes(FLOAT32)
        arrangement = Arrangement.of(shape_of(workload), lanes)
        order = [[arrangement.channel(output, step) for step in range(array.shape[1])] for output in range(len(array))]
        ordered = np.take_along_axis(array, np.array(order)[:, :, None, None], axis=1)
        padded = np.pad(ordered, ((0, -len(array) % lanes), (0, 0), (0, 0), (0, 0)))
        blocks = padded.reshape(-1, lanes, *array.shape[1:])
        return np.ascontiguousarray(blocks.transpose(0, 3, 2, 4, 1)).ravel()

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc: inputs (weights packed), then the output."""
        return _Kernel(workload, target, config, self.packed(workload, target, config)[1]).function()


def _window(shape: Shape, tile: tuple[int, int]) -> dict[tuple[int, int], list[Access]]:
    """For each pixel that one row of the kernel meets, counted from the tile's first, the taps that read it."""
    window: dict[tuple[int, int], list[Access]] = {}
    for i in range(tile[0]):
        for j in range(tile[1]):
            for tap in range(shape.kernel[1]):
                place = (i * shape.stride[0], j * shape.stride[1] + tap * shape.dilation[1])
                window.setdefault(place, []).append((i, j, tap))
    return dict(sorted(window.items()))


class _Kernel:
    """Writes the loop nest of one workload under one config."""

    def __init__(self, workload: Workload, target: Target, config: Config, packed: tuple[int, ...]) -> None:
        self.workload, self.target, self.config = workload, target, config
        self.shape, self.lanes = shape_of(workload), target.lanes(FLOAT32)
        self.arrangement = Arrangement.of(self.shape, self.lanes)
        self.inputs = [Operand(tensor, f"operand{i}") for i, tensor in enumerate(workload.inputs)]
        self.inputs[1] = Operand(Tensor(packed, workload.inputs[1].dtype), "weight")
        self.result = Operand(workload.output, "output")
        self.epilogue = Epilogue(workload, self.inputs, self.result)
        pads, halo = workload.attr("pads"), workload.inputs[0].halo
        self.offset = (halo[0] - pads[0], halo[1] - pads[1])

    def function(self) -> Any:
        n, channels, height, width = self.workload.output.shape
        blocks = math.ceil(channels / self.lanes)
        units, columns = Cut.of(height, self.config["rows"]), Cut.of(width, self.config["columns"])

        def task(index: Index) -> Stmt:
            image, index = divmod_index(index, blocks * units.pieces)
            block, unit = divmod_index(index, units.pieces)

            def rows_of(phase: int) -> Stmt:
                def some(first: Index, rows: int) -> Stmt:
                    line = columns.each(
                        lambda column, count: self._tile(Pixel(image, block, first, column), (rows, count), phase)
                    )
                    return emit.seq([*self.epilogue.zero_halo(image, block, first, rows), line])

                return units.piece(unit, some)

            period = self.arrangement.period
            return emit.case(divmod_index(block, period)[1], [rows_of(phase) for phase in range(min(period, blocks))])

        body = emit.parallel(n * blocks * units.pieces, task)
        operands = [*self.inputs, self.result]
        return emit.kernel([x.parameter for x in operands], declared(operands, body), self.target.threads)

    def _tile(self, at: Pixel, size: tuple[int, int], phase: int) -> Stmt:
        accumulators = Accumulators(math.prod(size), 1, self.lanes)
        window = _window(self.shape, size)

        def taps(kh: Index) -> Stmt:
            return emit.seq(
                part
                for place, uses in window.items()
                for part in self._pixel(
                    accumulators, at, (kh, phase), place, [(i * size[1] + j, k) for i, j, k in uses]
                )
            )

        body = [*accumulators.fill(0.0), emit.loop(self.shape.kernel[0], taps, "kh")]
        results = [
            (accumulators.value(i * size[1] + j, 0), Pixel(at.image, at.block, at.row + i, at.column + j))
            for i in range(size[0])
            for j in range(size[1])
        ]
        return accumulators.run([*body, *self.epilogue.store_all(results, self.lanes)])

    def _pixel(
        self,
        accumulators: Accumulators,
        at: Pixel,
        step: tuple[Index, int],
        place: tuple[int, int],
        uses: list[tuple[int, int]],
    ) -> list[Stmt]:
        """All input channels of a pixel, each multiplied with the weights of the taps that read it for some results."""
        shape, (kh, phase) = self.shape, step
        y = at.row * shape.stride[0] + self.offset[0] + place[0] + kh * shape.dilation[0]
        x = at.column * shape.stride[1] + self.offset[1] + place[1]
        first = divmod_index(at.block, self.arrangement.period)[0] * self.arrangement.blocks
        last = math.ceil(shape.in_channels / self.lanes) - 1
        statements: list[Stmt] = []
        for channel in range(shape.group_in):
            blocks, lanes = self.arrangement.shuffle(phase, channel)
            where = [[at.image, emit.least(first + block, last), y, x, 0] for block in blocks]
            value = tirx.Var("channel", f"float32x{self.lanes}")
            loads = [emit.load(self.inputs[0].view, indices, self.lanes) for indices in where]
            arranged = loads[0] if lanes == list(range(self.lanes)) else emit.shuffled(loads, lanes)
            statements.append(tirx.Bind(value, arranged))
            for p, tap in uses:
                row = (at.block * shape.kernel[0] + kh) * shape.group_in + channel
                weight = [0, 0, 0, 0, (row * shape.kernel[1] + tap) * self.lanes]
                product = value * emit.load(self.inputs[1].view, weight, self.lanes)
                statements.append(accumulators.set(p, 0, accumulators.value(p, 0) + product))
        return statements
