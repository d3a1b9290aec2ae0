"""Convolution: the algorithms that race for it."""

from __future__ import annotations

from tvmopt.schedules.llvm.convolution.direct import DirectConv2d
from tvmopt.schedules.llvm.convolution.grouped.shuffled import ShuffledConv2d
from tvmopt.schedules.llvm.convolution.grouped.windowed import WindowedConv2d
from tvmopt.schedules.llvm.convolution.narrow import NarrowConv2d
from tvmopt.schedules.llvm.convolution.winograd import Winograd
from tvmopt.schedules.race import Race


class Convolution(Race):
    """Direct, Winograd's for 3×3 kernels and lines, two for groups that do not fill vectors, one for few channels."""

    name = "conv2d"
    version = 3
    algorithms = (DirectConv2d(), Winograd(), WindowedConv2d(), ShuffledConv2d(), NarrowConv2d())
