"""What Winograd's algorithm makes of a convolution of integers: filters whose matrices are integers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from tvmopt.schedules.compute.integers import sums_are_wide
from tvmopt.schedules.compute.winograd import in_integers
from tvmopt.schedules.llvm.convolution.winograd_plan import KERNEL, Plan, plan_of, tiles_of
from tvmopt.schedules.llvm.parts.pairs import PAIR
from tvmopt.schedules.workload import Workload

NARROW_TILE = 4
"""The tile whose results are multiples up to 2⁶ times as large, besides an odd number: only for narrow sums."""

ALWAYS = 2
"""The tile whose multiples are at most 2² times as large."""

MOST_CHANNELS = (1 << 29) // (9 * 255 * 128)
"""Channels whose sums fit 32 bits when they are four times as large, whatever the weights."""


@dataclass(frozen=True, slots=True)
class IntegerPlan(Plan):
    """A workload under one output tile.

    Attributes:
        inverses: by column of a tile, what makes the convolution of a result: the number that it is multiplied with
            modulo 2³², and by how many bits it is shifted to the right then.
    """

    inverses: tuple[tuple[int, int], ...]

    @property
    def depth(self) -> int:
        """Length of the products' reduction: pairs of input channels."""
        return math.ceil(self.workload.inputs[0].shape[1] / PAIR)


def integer_tiles_of(workload: Workload) -> tuple[int, ...]:
    """The output tiles whose transforms fit 16 bits and whose results are exact: of windows without a stride.

    With a stride, and over lines, they save less than products of bytes do, of which twice as many are made at once.
    """
    if workload.inputs[1].shape[2:] != KERNEL or workload.attr("strides") != (1, 1):
        return ()
    channels = workload.inputs[0].shape[1]
    exact = (ALWAYS,) if sums_are_wide(workload) else (ALWAYS, NARROW_TILE)
    return tuple(tile for tile in tiles_of(workload) if tile in exact and channels <= MOST_CHANNELS)


@lru_cache(maxsize=1024)
def integer_plan_of(workload: Workload, tile: int) -> IntegerPlan:
    """The plan of a workload for one of `integer_tiles_of`."""
    plan = plan_of(workload, tile)
    filters = in_integers(plan.rows, plan.columns)
    inverses = tuple(_inverse(multiple) for multiple in filters.multiples)
    return IntegerPlan(plan.workload, filters.rows, filters.columns, plan.begin, plan.planes, plan.turned, inverses)


def _inverse(multiple: int) -> tuple[int, int]:
    """The inverse of the odd part of a number, as int32, and the bits of its power of two."""
    power = (multiple & -multiple).bit_length() - 1
    inverse = pow(multiple >> power, -1, 1 << 32)
    return inverse - (1 << 32) if inverse >= 1 << 31 else inverse, power
