"""The order in which pieces of a map and tiles of its channels are processed, which decides what each thread gets.

The tasks of a kernel are numbered, and each thread takes an equal number of consecutive ones. If threads share the
channels, each reads the whole map, half of which another core has just written in the previous kernel. If they share
the map's rows, each mostly reads what it wrote itself, but all of them read all weights.
"""

from __future__ import annotations

import math

from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, divmod_index

WHOLE = 0
"""The whole map is one band: threads share the channels."""

BANDS = (WHOLE, 1, 4, 16, 256)
"""How many pieces of a map go through all channels before the next pieces do, at most a thread's share."""


def useful_bands(pieces: int, threads: int) -> tuple[int, ...]:
    """The values of `BANDS` that differ on a map of `pieces` pieces."""
    share = math.ceil(pieces / threads)
    shorter = tuple(band for band in BANDS[:-1] if band < share)
    # The next one is capped at a thread's share; for a single thread that is the whole map.
    return shorter if threads == 1 else (*shorter, *BANDS[len(shorter) :][:1])


def band_length(band: int, pieces: int, threads: int) -> int:
    """How many pieces of the map are in a band.

    Args:
        band: one of `BANDS`.
        pieces: how many the whole map has.
        threads: how many threads tasks are divided among.
    """
    return pieces if band == WHOLE else min(band, math.ceil(pieces / threads))


def in_bands(index: Index, pieces: int, tiles: int, length: int) -> tuple[Index, Index]:
    """The piece of the map and the tile of channels of a task: band after band, and within a band tile after tile.

    The input of a band stays in the cache for all tiles, the weights of a tile for the whole band.

    Args:
        index: number of the task, below `pieces` × `tiles`.
        pieces: how many the map has.
        tiles: how many the channels have.
        length: pieces in a band; the last band may be shorter.
    """
    if length >= pieces:
        tile, piece = divmod_index(index, pieces)
        return piece, tile
    number, index = divmod_index(index, length * tiles)
    here = emit.least(pieces - number * length, length) if pieces % length else length
    tile, piece = divmod_index(index, here)
    return number * length + piece, tile
