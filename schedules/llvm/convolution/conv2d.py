"""Convolution: the algorithms that race for it."""

from __future__ import annotations

from tvmopt.schedules.llvm.convolution.direct import DirectConv2d
from tvmopt.schedules.llvm.convolution.winograd import Winograd
from tvmopt.schedules.race import Race


class Convolution(Race):
    """Direct convolution, which takes every shape, and Winograd's for 3×3 kernels and for lines."""

    name = "conv2d"
    version = 3
    algorithms = (DirectConv2d(), Winograd())
