"""The register tile: pixels × vectors of channels accumulated over a reduction.

Each step of the reduction loads `vectors` vectors of weights and, for each pixel, broadcasts one input element:
`pixels × vectors` multiply-adds for `pixels + vectors` loads. That runs at the machine's peak if the accumulators
fit the register file and there are enough of them to hide the latency of the multiply-add.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt
from tvmopt.schedules.target import Target

FMA_LATENCY = 4
FMA_PER_CYCLE = 2
LOADS_PER_CYCLE = 1.7
L2_BYTES_PER_CYCLE = 32
FAR_BYTES_PER_CYCLE = 6
"""From beyond the second-level cache."""
PREFETCHED_BYTES_PER_CYCLE = 14
"""From beyond it, in order and with prefetching; measured."""


class Accumulators:
    """A tile of accumulators, each a vector of `lanes`.

    Each has its own buffer, small enough for the stack (`emit.local`). LLVM keeps a heap buffer in registers only if
    nothing else in the loop, such as a prefetch, might touch it.
    """

    def __init__(self, pixels: int, vectors: int, lanes: int, dtype: str = FLOAT32) -> None:
        self.pixels = pixels
        self.vectors = vectors
        self.lanes = lanes
        self.dtype = dtype
        self.buffers = [[emit.local(lanes, f"sum_{p}_{v}", dtype) for v in range(vectors)] for p in range(pixels)]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((pixel, vector) for pixel in range(self.pixels) for vector in range(self.vectors))

    def value(self, pixel: int, vector: int, lanes: int | None = None) -> emit.Expr:
        """The accumulated vector, or its first `lanes` elements."""
        return emit.load(self.buffers[pixel][vector], [0], lanes or self.lanes)

    def set(self, pixel: int, vector: int, value: emit.Expr) -> Stmt:
        """Stores `value` in one accumulator."""
        return emit.store(self.buffers[pixel][vector], value, [0], self.lanes)

    def fill(self, value: float) -> list[Stmt]:
        """Sets every accumulator to `value`."""
        vector = emit.splat(emit.const(value, self.dtype), self.lanes)
        return [self.set(pixel, v, vector) for pixel, v in self]

    def multiply_add(self, data: Callable[[int], emit.Expr], weight: Callable[[int], emit.Expr]) -> list[Stmt]:
        """One step of the reduction: ``tile[p][v] += data(p) * weight(v)``; both give whole vectors."""
        return [self.set(p, v, self.value(p, v) + data(p) * weight(v)) for p, v in self]

    def run(self, body: Iterable[Stmt]) -> Stmt:
        """`body` with the tile allocated for it."""
        return emit.allocate([buffer for row in self.buffers for buffer in row], body)


def over_channels(channels: int, block: int, unroll: int, steps: Callable[[Index, Index, int], Stmt]) -> list[Stmt]:
    """A reduction over blocked channels.

    Args:
        channels: how many; the last block may have fewer than the others.
        block: channels of a block.
        unroll: how many steps are unrolled.
        steps: writes some steps, given the block, the first channel in it, and how many.
    """

    def within(place: Index, count: int) -> Stmt:
        return emit.split_loop(count, unroll, lambda lane, size: steps(place, lane, size), "ic")

    whole, rest = divmod(channels, block)
    body = [emit.loop(whole, lambda place: within(place, block), "icb")] if whole else []
    return [*body, within(whole, rest)] if rest else body


def channel_panels(array: npt.NDArray[Any], vectors: int, lanes: int) -> npt.NDArray[Any]:
    """``(…, IC, OC)`` → flat ``(OC tile, …, IC, vectors × lanes)``: each tile of output channels is contiguous.

    Output channels are padded with zeros to whole vectors; the last tile may have fewer of them.
    """
    *outer, channels = array.shape
    rows, padded, width = math.prod(outer), -(-channels // lanes) * lanes, vectors * lanes
    panels = np.zeros(rows * padded, array.dtype)
    for first in range(0, padded, width):
        size = min(width, padded - first)
        panel = panels[rows * first : rows * (first + size)].reshape(*outer, size)
        panel[..., : channels - first] = array[..., first : first + size]
    return panels


def tile_fits(pixels: int, vectors: int, target: Target) -> bool:
    """Whether the accumulators, one set of weights and a broadcast fit the register file."""
    return pixels * vectors + vectors + 1 <= target.registers


def tile_cycles(pixels: int, vectors: int, weights_in_l1: bool, target: Target) -> float:
    """Estimated cycles of one reduction step: the slowest of arithmetic, loads and latency, plus half the L2 reads."""
    vector_bytes = target.vector_bits // 8
    arithmetic = pixels * vectors / FMA_PER_CYCLE
    loads = (pixels + vectors) / LOADS_PER_CYCLE
    stream = 0.0 if weights_in_l1 else vectors * vector_bytes / L2_BYTES_PER_CYCLE
    return max(arithmetic, loads, FMA_LATENCY) + stream / 2


def covering(extent: int, step: int) -> list[tuple[int, int]]:
    """The sizes, and how often each occurs, when `extent` is cut in steps: ``[(step, count), (rest, 1)]``."""
    whole, rest = divmod(extent, step)
    return [(size, count) for size, count in ((step, whole), (rest, 1)) if size and count]


def useful_sizes(extent: int, limit: int, extra: tuple[int, ...] = ()) -> tuple[int, ...]:
    """Tile sizes worth trying: divisors of `extent` up to `limit`, and sizes of `extra` within both."""
    divisors = {size for size in range(1, min(extent, limit) + 1) if extent % size == 0}
    return tuple(sorted(divisors | {size for size in extra if size <= min(extent, limit)}))
