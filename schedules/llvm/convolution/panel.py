"""What a tile of a direct convolution works on: its output channels, and its part of the reduction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tvmopt.schedules.llvm.parts.emit import Expr, Index, Stmt


@dataclass(frozen=True, slots=True)
class Panel:
    """The output channels of a tile: `vectors` vectors of channels of one group of one image.

    `unit` is the number of this piece of the map in its band, and the number of pieces in the band. `kernel` has the
    rows and columns of the kernel, and `offset` the row and column of the data that the first tap of the first pixel
    meets.
    """

    image: Index
    group: Index
    tile: Index
    vectors: int
    unit: tuple[Index, int]
    kernel: tuple[Index, Index]
    offset: tuple[Index, Index]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Part of the reduction: `blocks` input channel blocks from `first` on, and the `rest` channels of a last one.

    `whole` means that it is the only chunk; `last`, that it completes the sums.
    """

    first: Index
    blocks: int
    rest: int
    whole: bool
    last: bool


Factors = tuple[Callable[[int], Expr], Callable[[int], Expr]]
"""The data of a step by the pixel of the tile, and its weights by the vector of channels."""
Place = tuple[Index, Index, Index]
"""Row and column of the kernel, channel of the block."""
Span = tuple[Index, Index]
"""The first of some consecutive taps along an axis, and how many."""
Spans = tuple[Span, Span]
Steps = Callable[[Index, Place, int, int], Stmt]
"""Some consecutive multiply-adds of a tile, from the input channel block, the place of the first one, the channels of
the block, and how many. If a block is one channel they run along the kernel's row."""
