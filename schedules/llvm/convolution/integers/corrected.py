"""Direct convolution of integers that adds products in 16 bits as far as they fit, and corrects the sums that do not.

For processors without VNNI, and weights that need few `corrections`: two quads are added in 16 bits where neighbouring
weights fit, else one. Memory of the weights, as elements of four bytes:

1. the weights, corrected, as `IntegerConv2d` packs them, then the first sum of each output channel,
2. for each vector of output channels the number of its first correction, and how many there are in all,
3. for each correction where its data is, in bytes from the first of a pixel's window,
4. for each correction its weights, a vector of quads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.convolution.direct import DirectConv2d, group_blocks
from tvmopt.schedules.llvm.convolution.integers.corrections import corrected, corrections_of, quads_together
from tvmopt.schedules.llvm.convolution.integers.direct import IntegerConv2d, first_sums, in_quads, in_vectors
from tvmopt.schedules.llvm.convolution.integers.direct_nest import IntegerConv2dNest
from tvmopt.schedules.llvm.convolution.panel import Factors, Panel
from tvmopt.schedules.llvm.convolution.shape import shape_of
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.bytes import TOGETHER
from tvmopt.schedules.llvm.parts.emit import Index, Stmt
from tvmopt.schedules.llvm.parts.products import add_pairs, cost_of_quad, multiply_add, pairs_fit, pairs_of_bytes
from tvmopt.schedules.llvm.parts.quads import QUAD, SUMS, adds_quads
from tvmopt.schedules.llvm.parts.register_tile import Accumulators
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

tirx = lazily("tvm.tirx")

COST = {1: 1.25, 2: 0.88}
"""What a step takes, with corrections, against one of a quad that fits 16 bits; by the quads of a step. Measured."""

ALONE = 0.25
"""What a tile takes more if pixels are not stored in fours (`bytes`), by the share of these in its rows; measured."""


class CorrectedConv2d(IntegerConv2d):
    """The algorithm; workload as for `IntegerConv2d`, with the attribute ``corrections``: how many there may be."""

    name = "corrected"

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Weights that need few corrections, and blocks of whole steps."""
        if not super().accepts(workload, target) or adds_quads(target) or corrections_of(workload) is None:
            return False
        shape = shape_of(workload)
        # Where narrow groups are one, the corrections are not those of the weights as they are given.
        apart = shape.groups == workload.attr("groups")
        return apart and shape.block % quads_together(pairs_fit(workload)) == 0

    def cycles(self, workload: Workload, target: Target, config: Config) -> float:
        """Estimated cycles of the whole layer on one core."""
        cycles = DirectConv2d.cycles(self, workload, target, config) * cost_of_quad(target, fits=True)
        alone = config["columns"] % TOGETHER / config["columns"] * ALONE
        return cycles * COST[quads_together(pairs_fit(workload))] * (1 + alone)

    def packed(self, workload: Workload, target: Target, config: Config) -> dict[int, tuple[int, ...]]:
        """The weights, the first sums, and the tables of the corrections."""
        return {1: (_Memory.of(workload, target).size * QUAD,)}

    def pack(
        self, workload: Workload, target: Target, config: Config, index: int, array: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        """Weights OIHW → as the module says; bytes.

        Raises:
            ValueError: when there are more corrections than the workload has room for.
        """
        memory, shape = _Memory.of(workload, target), shape_of(workload)
        quads = in_quads(array)
        found = corrected(in_vectors(workload, target, quads), quads_together(pairs_fit(workload)))
        if len(found.steps) > memory.room:
            raise ValueError(f"weights need {len(found.steps)} corrections, the kernel has room for {memory.room}")
        grouped = found.quads.reshape(shape.groups, -1, *quads.shape[1:])
        kept = grouped[:, : shape.out_channels // shape.groups].reshape(quads.shape)
        packed = np.zeros(memory.size, np.int32)
        weights = [self.pack_quads(workload, target, config, kept), first_sums(workload, target, array)]
        packed[: memory.begin] = np.concatenate(weights)
        begin = np.searchsorted(found.steps[:, 0], np.arange(memory.place - memory.begin))
        packed[memory.begin : memory.place] = begin
        packed[memory.place : memory.place + len(found.steps)] = _places(workload, found.steps)
        rest = np.ascontiguousarray(found.rest).view(np.int32).ravel()
        packed[memory.rest : memory.rest + len(rest)] = rest
        return packed.view(np.int8)

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc: inputs (weights packed), then the output."""
        return _CorrectedNest(workload, target, config, self.packed(workload, target, config)[1]).function()


@dataclass(frozen=True, slots=True)
class _Memory:
    """Where in the packed weights each table is, in elements of four bytes.

    Attributes:
        begin: the numbers of the first corrections.
        place: where the data of each is.
        rest: their weights.
        size: of all.
        room: for how many corrections there is.
    """

    begin: int
    place: int
    rest: int
    size: int
    room: int

    @staticmethod
    def of(workload: Workload, target: Target) -> _Memory:
        shape, lanes, room = shape_of(workload), target.lanes(FLOAT32), corrections_of(workload)
        assert room is not None
        vectors = group_blocks(shape, target) * shape.groups
        begin = vectors * lanes * (shape.reduction + 1)
        place = begin + vectors + 1
        rest = place + room
        return _Memory(begin, place, rest, rest + room * lanes, room)


def _places(workload: Workload, steps: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Where the data of corrections is, in bytes from the first of a pixel's window."""
    data, block = workload.inputs[0], shape_of(workload).block
    *_, rows, columns, _ = data.physical_shape
    _, quad, kh, kw = steps.T
    down, right = workload.attr("dilations")
    row = (quad // block * rows + kh * down) * columns + kw * right
    return np.asarray(row * data.block + quad % block * QUAD)


class _CorrectedNest(IntegerConv2dNest):
    """Writes the loop nest of one workload under one config."""

    def __init__(self, workload: Workload, target: Target, config: Config, packed: tuple[int, ...]) -> None:
        super().__init__(workload, target, config, packed)
        self.together = quads_together(self.fits)
        self.fits = True  # what is left of the weights

    def products(self, tile: Accumulators, taps: Sequence[Factors]) -> list[Stmt]:
        """A step; of one quad, where that is all that is left of a block."""
        if len(taps) == 1:
            return super().products(tile, taps)

        def both(p: int, v: int) -> emit.Expr:
            first, second = (pairs_of_bytes(pixel(p), weights(v), self.target) for pixel, weights in taps)
            return add_pairs(tile.value(p, v), first + second, self.target)

        return [tile.set(p, v, both(p, v)) for p, v in tile]

    def behind(self, panel: Panel, tile: Accumulators, pixels: list[tuple[Index, Index]]) -> list[Stmt]:
        """The corrections of each vector of channels."""
        memory, table = _Memory.of(self.workload, self.target), self.inputs[1].view
        if not memory.room:
            return []

        def at(place: Index) -> list[Index]:
            return [0, 0, 0, 0, place]

        def all_of(v: int) -> Stmt:
            vector = memory.begin + self.first_block(panel) + v
            begin, end = emit.load(table, at(vector)), emit.load(table, at(vector + 1))

            def one(number: Index) -> Stmt:
                number, named = emit.named(begin + number, "number")
                place, also = emit.named(emit.load(table, at(memory.place + number)), "place")
                weights = emit.load(table, at(memory.rest + number * self.lanes), self.lanes)

                def add(p: int) -> Stmt:
                    data = self._bytes(panel, pixels[p], place)
                    return tile.set(p, v, multiply_add(tile.value(p, v), data, weights, self.target, fits=True))

                return emit.seq([*named, *also, *(add(p) for p in range(len(pixels)))])

            return emit.loop(end - begin, one, "correction")

        return [all_of(v) for v in range(panel.vectors)]

    def _bytes(self, panel: Panel, pixel: tuple[Index, Index], place: Index) -> emit.Expr:
        """Four bytes of a pixel's window, in every lane."""
        row = pixel[0] * self.shape.stride[0] + panel.offset[0]
        column = pixel[1] * self.shape.stride[1] + panel.offset[1]
        view = self.inputs[0].view
        four = emit.load(view, [panel.image, self.data_block(panel), row, column, place], QUAD)
        return emit.splat(tirx.reinterpret(SUMS, four), self.lanes)
