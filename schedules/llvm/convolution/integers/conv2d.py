"""Convolution of quantised maps: the algorithms that race for it."""

from __future__ import annotations

from tvmopt.schedules.llvm.convolution.integers.direct import IntegerConv2d
from tvmopt.schedules.race import Race


class IntegerConvolution(Race):
    """Direct convolution of integers."""

    name = "integer_conv2d"
    version = 1
    algorithms = (IntegerConv2d(),)
