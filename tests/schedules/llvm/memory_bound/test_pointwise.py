from __future__ import annotations

import math
from typing import Any

import pytest

from tvmopt.schedules.expression import Arg, Const, Expr, call
from tvmopt.schedules.llvm.memory_bound.pointwise import Pointwise, collapse
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor, Workload


def summed(count: int) -> tuple[Any, ...]:
    """The sum of `count` arguments, each times one more than its index."""
    expr: Expr = Arg(0)
    for i in range(1, count):
        expr = call("add", expr, call("mul", Arg(i), Const(float(i + 1))))
    return expr


def pointwise(make: Any, inputs: list[Tensor], output: Tensor) -> Workload:
    return make("pointwise", inputs, output, summed(len(inputs)))


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("shapes", "output"),
    [
        ([(1,)], (1,)),
        ([()], ()),
        ([(), (3,)], (3,)),
        ([(7,), (1,)], (7,)),
        ([(4, 1, 33), (5, 1), (4, 5, 33)], (4, 5, 33)),
        ([(100, 333), (100, 333)], (100, 333)),
        ([(1, 1, 1, 1), (2, 3, 5, 7)], (2, 3, 5, 7)),
        ([(2, 3, 5, 7), (3, 1, 1)], (2, 3, 5, 7)),
        ([(2, 3, 1, 1), (1, 3, 5, 1), (7,)], (2, 3, 5, 7)),
        ([(2, 1, 2, 1, 3), (1, 5, 2, 4, 1), (4, 3)], (2, 5, 2, 4, 3)),
        ([(16411,)], (16411,)),
        ([(3, 1), (1, 5)], (3, 5)),
    ],
)
def test_broadcasting_of_plain_tensors(kernels: Any, make: Any, shapes: list[tuple[int, ...]], output: Any) -> None:
    kernels.unoptimized().check(pointwise(make, [Tensor(shape) for shape in shapes], Tensor(output)), 3)


@pytest.mark.parametrize("channels", [1, 20, 32])
def test_maps_in_blocks(kernels: Any, make: Any, target: Target, channels: int) -> None:
    lanes, shape = target.lanes("float32"), (2, channels, 5, 7)
    inputs = [
        Tensor(shape, block=lanes, halo=(1, 1, 2, 0)),
        Tensor(shape, block=lanes),
        Tensor((1, channels, 1, 1), block=lanes),
        Tensor((2, 1, 5, 7)),
        Tensor((1, 1, 1, 7), halo=(0, 2, 0, 1)),
        Tensor((1,)),
        Tensor((1, 1, 1, 1)),
    ]
    kernels.unoptimized().check(pointwise(make, inputs, Tensor(shape, block=lanes, halo=(0, 1, 1, 2))), 3)


def test_maps_with_halos_but_no_blocks(kernels: Any, make: Any) -> None:
    shape = (2, 3, 5, 7)
    inputs = [Tensor(shape, halo=(1, 1, 1, 1)), Tensor((1, 3, 1, 1))]
    kernels.check(pointwise(make, inputs, Tensor(shape, halo=(0, 1, 1, 2))))


def test_other_blocks_are_refused(make: Any, target: Target) -> None:
    output = Tensor((1, 8, 3, 3), block=target.lanes("float32"))
    assert not Pointwise().accepts(pointwise(make, [Tensor((1, 8, 3, 3))], output), target)
    assert not Pointwise().accepts(pointwise(make, [output], Tensor((1, 8, 3, 3))), target)
    assert not Pointwise().accepts(pointwise(make, [Tensor((3,), "float16")], Tensor((3,))), target)
    assert Pointwise().accepts(pointwise(make, [output], output), target)


@pytest.mark.parametrize(
    ("shapes", "sizes", "spans"),
    [
        ([(2, 3, 5), (2, 3, 5)], (30,), [(1,), (1,)]),
        ([(1, 3, 1), (2, 3, 5)], (2, 3, 5), [(0, 1, 0), (1, 1, 1)]),
        ([(2, 3, 1, 1), (2, 3, 5, 7)], (6, 35), [(1, 0), (1, 1)]),
        ([(1, 1), (1, 1)], (1,), [(1,), (1,)]),
    ],
)
def test_dimensions_that_behave_alike_are_merged(shapes: Any, sizes: Any, spans: Any) -> None:
    assert collapse(shapes) == (sizes, spans)
    assert math.prod(sizes) == math.prod(shapes[-1])
