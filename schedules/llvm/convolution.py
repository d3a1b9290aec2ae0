"""Convolution: the algorithms that race for it."""

from __future__ import annotations

from schedules.llvm.direct_conv2d import DirectConv2d
from schedules.llvm.winograd import Winograd
from schedules.race import Race


class Convolution(Race):
    """Direct convolution, which takes every shape, and Winograd's for 3×3 kernels."""

    name = "conv2d"
    version = 3
    algorithms = (DirectConv2d(), Winograd())
