"""Convolution of quantised maps: the algorithms that race for it."""

from __future__ import annotations

from tvmopt.schedules.llvm.convolution.integers.corrected import CorrectedConv2d
from tvmopt.schedules.llvm.convolution.integers.direct import IntegerConv2d
from tvmopt.schedules.llvm.convolution.integers.winograd import IntegerWinograd
from tvmopt.schedules.race import Race


class IntegerConvolution(Race):
    """Direct convolution of bytes against Winograd's of integers of 16 bits."""

    name = "integer_conv2d"
    version = 3
    algorithms = (IntegerConv2d(), IntegerWinograd(), CorrectedConv2d())
