"""The reductions of convolutions keep their sums in registers, whatever the epilogue's constants take."""

from __future__ import annotations

import re

import pytest

from tests.schedules.llvm.test_machine_code import whole_pipeline
from tvmopt.schedules.expression import ACC, Arg, Expr, call
from tvmopt.schedules.llvm.convolution.winograd import Winograd
from tvmopt.schedules.target import parse_target
from tvmopt.schedules.workload import Tensor, Workload

TARGET = parse_target("x86-64-v4", 1)
SUM = call("add", ACC, Arg(2))
REDUCTION = 60
"""At least this many multiply-adds without a jump are a piece of a reduction of this file."""


@pytest.mark.parametrize("epilogue", [call("mul", SUM, call("sigmoid", SUM)), call("mul", SUM, call("erf", SUM))])
@pytest.mark.parametrize("pixels", [9, 14])
def test_winograd_behind_a_long_epilogue(epilogue: Expr, pixels: int) -> None:
    data = Tensor((1, 64, 20, 20), block=16, halo=(1, 1, 1, 1))
    result, bias = Tensor((1, 64, 20, 20), block=16), Tensor((1, 64, 1, 1), block=16)
    attrs = (("dilations", (1, 1)), ("groups", 1), ("pads", (1, 1, 1, 1)), ("strides", (1, 1)))
    workload = Workload("conv2d", (data, Tensor((64, 64, 3, 3)), bias), result, attrs, epilogue)
    config = {"tile": 4, "rows": 5, "pixels": pixels, "vectors": 2, "prefetch": 1}
    code = whole_pipeline(Winograd().build(workload, TARGET, config), TARGET).mod.inspect_source("asm")
    blocks = [block for block in re.split(r"\n(?=\.LBB)", code) if block.count("vfmadd231ps") >= REDUCTION]
    assert blocks
    for block in blocks:
        assert not re.search(r"zmm\d+, *-?\d*\(%rsp\)|-?\d*\(%rsp\), *%zmm\d+", block)
