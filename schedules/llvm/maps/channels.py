"""A choice of channels of feature maps in blocks: splits, joins and shuffles that do not follow the blocks.

The channels of all inputs, one after another, are numbered; the attribute ``channels`` has the number of each channel
of the result. A vector of the result comes from the vectors that hold its channels, by one shuffle for each after the
first. Neighbouring blocks that are made alike share one loop: a join needs as many loops as it has joints.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from tvmopt.schedules.dtypes import dtype_of
from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt, divmod_index
from tvmopt.schedules.llvm.parts.fixed import NoKnobs
from tvmopt.schedules.llvm.parts.operands import Epilogue, Pixel, declared, flattens, operands_of
from tvmopt.schedules.llvm.parts.split import Cut
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

tirx = lazily("tvm.tirx")

PIECE = 64
"""Most pixels of a line in one task, which has all their channels."""

Lane = tuple[int, int] | None
"""Which of some vectors, and which of its elements; None for an absent channel, which is zero."""


class Channels(NoKnobs):
    """The template; attributes: channels."""

    name = "channels"
    version = 1

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Elements of four bytes or one, all maps in blocks of one size."""
        moved = dtype_of(workload.output.dtype).nbytes in (1, 4)
        if workload.op != "channels" or len(workload.dtypes) > 1 or not moved:
            return False
        return all(tensor.block == workload.output.block > 1 for tensor in workload.inputs)

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc."""
        return _Nest(workload, target).function()


@dataclass(frozen=True, slots=True)
class Alike:
    """Neighbouring blocks of the result that are made alike.

    Attributes:
        first: the first block.
        count: how many.
        vectors: the vectors that the first block comes from, each as input and block; those of the others follow.
        lanes: where each element comes from.
    """

    first: int
    count: int
    vectors: tuple[tuple[int, int], ...]
    lanes: tuple[Lane, ...]

    def goes_on(self, other: Alike) -> bool:
        """Whether `other` is one more block of the same kind."""
        following = tuple((place, block + self.count) for place, block in self.vectors)
        return other.vectors == following and other.lanes == self.lanes


def blocks_alike(workload: Workload) -> list[Alike]:
    """The blocks of the result in order, as few entries as possible."""
    size, chosen = workload.output.block, workload.attr("channels")
    numbers = [(i, channel) for i, tensor in enumerate(workload.inputs) for channel in range(tensor.shape[1])]
    found: list[Alike] = []
    for first in range(0, len(chosen), size):
        places = [numbers[channel] for channel in chosen[first : first + size]]
        vectors = tuple(dict.fromkeys((i, channel // size) for i, channel in places))
        lanes: list[Lane] = [(vectors.index((i, channel // size)), channel % size) for i, channel in places]
        one = Alike(first // size, 1, vectors, (*lanes, *[None] * (size - len(lanes))))
        if found and found[-1].goes_on(one):
            last = found.pop()
            one = Alike(last.first, last.count + 1, last.vectors, last.lanes)
        found.append(one)
    return found


def part_of_memory(workload: Workload) -> int | None:
    """Where in its only input, in elements, the result lies as it is: whole blocks of a single image; else None."""
    if workload.op != "channels" or len(workload.inputs) > 1 or workload.output.shape[0] != 1:
        return None
    source, result, chosen = workload.inputs[0], workload.output, workload.attr("channels")
    if source.frame != result.frame or not is_part(chosen, source.shape[1], result.block):
        return None
    return int(chosen[0]) // result.block * math.prod(source.physical_shape[2:])


def is_part(chosen: tuple[int, ...], channels: int, block: int) -> bool:
    """Whether the channels chosen from a map are whole blocks of it that follow each other, or blocks up to its end."""
    first, last = chosen[0], chosen[-1] + 1
    return chosen == tuple(range(first, last)) and not first % block and (not last % block or last == channels)


class _Nest:
    """Writes the loop nest of one workload."""

    def __init__(self, workload: Workload, target: Target) -> None:
        self.target, self.lanes, self.dtype = target, workload.output.block, workload.output.dtype
        self.inputs, self.result = operands_of(workload)
        self.alike = blocks_alike(workload)
        self.images, _, self.height, self.width = workload.output.shape
        if all(flattens(x.tensor, workload.output) for x in (*self.inputs, self.result)):
            self.inputs, self.result = [x.flattened() for x in self.inputs], self.result.flattened()
            self.height, self.width = 1, self.height * self.width
        self.epilogue = Epilogue(workload, self.inputs, self.result)

    def function(self) -> Any:
        cut = Cut.of(self.width, PIECE)
        pieces = self.height * cut.pieces

        def task(index: Index) -> Stmt:
            image, index = divmod_index(index, pieces)
            row, piece = divmod_index(index, cut.pieces)
            edges = [edge for one in self.alike for edge in self._edge(one, image, row)]
            pixels = cut.piece(
                piece, lambda start, size: emit.seq(self._some(one, (image, row), start, size) for one in self.alike)
            )
            return emit.seq([emit.when_below(piece, 1, emit.seq(edges)), pixels] if edges else [pixels])

        operands = [*self.inputs, self.result]
        body = declared(operands, emit.parallel(self.images * pieces, task))
        return emit.kernel([x.parameter for x in operands], body, self.target.threads)

    def _edge(self, one: Alike, image: Index, row: Index) -> list[Stmt]:
        if not any(self.result.tensor.halo):
            return []
        return [emit.loop(one.count, lambda i: emit.seq(self.epilogue.zero_halo(image, one.first + i, row, 1)))]

    def _some(self, one: Alike, line: tuple[Index, Index], start: Index, size: int) -> Stmt:
        """Some pixels of a line (image, row), of blocks made alike."""
        image, row = line

        def pixel(number: Index, column: Index) -> Stmt:
            def vector(place: int, block: int) -> emit.Expr:
                at = Pixel(image, block + number, row, start + column)
                return self.inputs[place].vector(at, self.lanes)

            value = chosen([vector(*x) for x in one.vectors], one.lanes, self.dtype)
            return self.result.write(value, Pixel(image, one.first + number, row, start + column), self.lanes)

        return emit.nest((one.count, size), pixel)


def chosen(vectors: list[emit.Expr], lanes: tuple[Lane, ...], dtype: str) -> emit.Expr:
    """The vector whose elements come from `lanes` of `vectors`, all of one width."""
    width = len(lanes)
    if lanes == tuple((0, lane) for lane in range(width)):
        return vectors[0]
    if None in lanes:
        lanes = tuple((len(vectors), 0) if lane is None else lane for lane in lanes)
        vectors = [*vectors, emit.splat(emit.const(0.0, dtype), width)]
    places = [lane for lane in lanes if lane is not None]
    # What earlier steps chose is in place.
    first = [lane if place == 0 else 0 for place, lane in places]
    if len(vectors) == 1:
        return emit.shuffled(vectors, first)
    held = vectors[0]
    for step, vector in enumerate(vectors[1:], 1):
        before = first if step == 1 else list(range(width))
        mixed = [width + lane if place == step else before[i] for i, (place, lane) in enumerate(places)]
        held = emit.shuffled([held, vector], mixed)
    return held
