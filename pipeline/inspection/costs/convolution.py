"""Operations of convolutions, of any rank and any number of groups."""

from __future__ import annotations

import math

from tvmopt.pipeline.inspection.costs.types import Operation, elements

_WEIGHT = {"QLinearConv": 3}
"""Which operand is the weights, where that is not the second."""

_SAMPLE = 8
"""Operations of one bilinear sample: four multiply-adds."""


def convolution(operation: Operation) -> int:
    """Each element of the result is a product over the window and the channels of its group.

    Weights are (M, C/group, k1, k2, …).
    """
    weight = operation.input(_WEIGHT.get(operation.operator, 1))
    return 2 * elements(operation.output) * math.prod(weight.shape[1:])


def transposed_convolution(operation: Operation) -> int:
    """Each element of the input is multiplied into a window of each output channel of its group.

    Weights are (C, M/group, k1, k2, …).
    """
    return 2 * elements(operation.input(0)) * math.prod(operation.input(1).shape[1:])


def deformable_convolution(operation: Operation) -> int:
    """A convolution that first samples each of its operands between four input pixels, for each output pixel."""
    data, weight = operation.input(0), operation.input(1)
    pixels = math.prod(operation.output.shape[2:]) * data.shape[0]
    sampled = pixels * data.shape[1] * math.prod(weight.shape[2:])
    return convolution(operation) + _SAMPLE * sampled
