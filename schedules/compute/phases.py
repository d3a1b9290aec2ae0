"""The phases of a transposed convolution: its rows (and columns) by their remainder modulo the stride.

Input element `i` reaches output ``i·stride + tap·dilation - pad``. So output ``q·stride + r`` is the sum of the
products of tap `k` and input ``q + shift`` over all `k` for which ``shift = (r + pad - k·dilation) / stride`` is whole:
each phase `r` is a convolution without stride, over its own share of the taps. Together the phases compute each product
once, whereas a convolution over the input spread out by zeros would multiply mostly zeros.

Source: W. Shi et al., Is the deconvolution layer the same as a convolutional layer?, 2016.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase along one axis.

    Attributes:
        taps: the taps that it multiplies, in the order of the input elements that they meet.
        shift: the input element that the first tap meets, less the number of the output in its phase.
    """

    taps: tuple[int, ...]
    shift: int


@dataclass(frozen=True, slots=True)
class Phases:
    """All phases along one axis.

    Attributes:
        each: by remainder.
        step: the distance between the input elements that neighbouring taps of a phase meet.
    """

    each: tuple[Phase, ...]
    step: int

    @property
    def most(self) -> int:
        """The most taps that a phase has, at least one."""
        return max(1, *(len(phase.taps) for phase in self.each))

    def reach(self, outputs: int, size: int) -> tuple[int, int]:
        """How many elements the windows reach beyond the input, before its first and behind its last.

        Args:
            outputs: elements of the whole output.
            size: elements of the input.
        """
        pieces = math.ceil(outputs / len(self.each))
        firsts = [phase.shift for phase in self.each if phase.taps]
        lasts = [phase.shift + (len(phase.taps) - 1) * self.step for phase in self.each if phase.taps]
        return max(0, -min(firsts, default=0)), max(0, pieces + max(lasts, default=0) - size)


@lru_cache(maxsize=256)
def phases_of(kernel: int, stride: int, dilation: int, pad: int) -> Phases:
    """The phases along one axis.

    Args:
        kernel: taps.
        stride: of the transposed convolution.
        dilation: spacing of the taps.
        pad: elements cut off before the first output.
    """
    each = []
    for remainder in range(stride):
        distances = {tap: remainder + pad - tap * dilation for tap in range(kernel)}
        meets = {distance // stride: tap for tap, distance in distances.items() if distance % stride == 0}
        order = sorted(meets)
        each.append(Phase(tuple(meets[shift] for shift in order), order[0] if order else 0))
    return Phases(tuple(each), dilation // math.gcd(dilation, stride))
