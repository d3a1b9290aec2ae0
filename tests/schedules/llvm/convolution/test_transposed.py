from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.workloads.convolutions import transposed, transposed_by_torch, transposed_with_epilogue
from tvmopt.schedules.llvm.convolution.transposed import TransposedConv2d
from tvmopt.schedules.llvm.parts.emit import SPREAD
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.target import Target, parse_target
from tvmopt.schedules.workload import Tensor, Workload

# Sizes are prime or odd on purpose: every tile has a tail, and so have the channels.
SHAPES: dict[str, tuple[tuple[int, int, int, int], int, dict[str, Any]]] = {
    "one of everything": ((1, 1, 1, 1), 1, {}),
    "no stride": ((1, 5, 3, 4), 7, {"kernel": (3, 2), "pads": (1, 0)}),
    "twice as large": ((2, 19, 5, 7), 37, {"kernel": (2, 2), "strides": (2, 2)}),
    "taps that overlap": ((1, 19, 5, 7), 21, {"kernel": (4, 4), "strides": (2, 2), "pads": (1, 1), "size": (10, 14)}),
    "phases of several sizes": ((1, 17, 5, 4), 18, {"kernel": (3, 5), "strides": (2, 3), "size": (11, 13)}),
    "padded output": ((1, 16, 4, 3), 16, {"kernel": (3, 3), "strides": (2, 2), "pads": (1, 1), "size": (8, 6)}),
    "a stride larger than the kernel": ((1, 5, 4, 3), 9, {"kernel": (2, 1), "strides": (3, 4), "size": (14, 12)}),
    "dilated": ((1, 7, 4, 5), 9, {"kernel": (3, 2), "strides": (2, 3), "dilations": (2, 2), "pads": (1, 2)}),
    "a line": ((1, 23, 1, 11), 3, {"kernel": (1, 16), "strides": (1, 8), "pads": (0, 4)}),
    "into a halo": (
        (1, 6, 3, 5),
        33,
        {"kernel": (3, 3), "strides": (2, 2), "pads": (1, 1), "size": (5, 9), "halo": (1, 2, 3, 1)},
    ),
    "a line into a halo": ((1, 6, 1, 5), 17, {"kernel": (1, 4), "strides": (1, 2), "halo": (1, 2, 0, 1)}),
}


@pytest.mark.sweep
@pytest.mark.parametrize("name", SHAPES)
def test_matches_pytorch(kernels: Any, target: Target, inputs_of: Callable[..., Any], name: str) -> None:
    data, channels, options = SHAPES[name]
    workload = transposed(target.lanes("float32"), data, channels, **options)
    arrays = inputs_of(workload)
    kernels.unoptimized().check(workload, 2, arrays, transposed_by_torch(workload, arrays))


def test_groups(kernels: Any, target: Target, inputs_of: Callable[..., Any]) -> None:
    lanes = target.lanes("float32")
    options: dict[str, Any] = {"strides": (2, 2), "pads": (1, 1), "groups": 2}
    workload = transposed(lanes, (2, 2 * lanes, 3, 5), 4 * lanes, (3, 3), **options)
    arrays = inputs_of(workload)
    kernels.unoptimized().check(workload, 3, arrays, transposed_by_torch(workload, arrays))


def test_epilogues_fuse(kernels: Any, target: Target, inputs_of: Callable[..., Any]) -> None:
    workload = transposed_with_epilogue(target.lanes("float32"), 9)
    arrays = inputs_of(workload)
    expected = np.tanh(transposed_by_torch(workload, arrays) + arrays[2] + arrays[3])
    kernels.check(workload, 2, arrays, expected)


def test_what_it_refuses(target: Target) -> None:
    lanes = target.lanes("float32")
    narrow = transposed(lanes, (1, 4, 3, 3), 4, (2, 2), groups=2)
    plain = transposed(lanes, (1, 4, 3, 3), 4, (2, 2))
    plain = Workload(plain.op, (Tensor((1, 4, 3, 3)), *plain.inputs[1:]), plain.output, plain.attrs)
    for workload in (narrow, plain):
        with pytest.raises(LookupError):
            template_for(workload, target)


@pytest.mark.parametrize("kernel", [(4, 2), (2, 4)])
@pytest.mark.parametrize("depth", [16, 32])
def test_chunks_of_the_reduction(
    kernels: Any, target: Target, inputs_of: Callable[..., Any], kernel: tuple[int, int], depth: int
) -> None:
    """Sums stay in the output between chunks, in each phase; the last chunk may be shorter, or part of a block."""
    lanes = target.lanes("float32")
    options: dict[str, Any] = {"strides": (2, 2), "pads": (1, 0), "size": (8, 6), "halo": (1, 0, 2, 1)}
    workload = transposed(lanes, (2, 53, 4, 3), 2 * lanes + 1, kernel, **options)
    arrays = inputs_of(workload)
    template = TransposedConv2d()
    direct = template.algorithms[0].default(workload, target)
    config = {**direct, "depth": depth, "band": 0, "prefetch": SPREAD}
    configs = [template.space(workload, target).whole(0, config)]
    kernels.unoptimized().check(workload, configs, arrays, transposed_by_torch(workload, arrays))


def test_only_phases_of_one_length_and_size_are_cut_in_chunks() -> None:
    target = parse_target("x86-64-v3", 1)

    def depths(kernel: tuple[int, int], size: tuple[int, int]) -> tuple[int, ...]:
        workload = transposed(8, (1, 1280, 8, 6), 256, kernel, strides=(2, 2), pads=(1, 1), size=size)
        space = TransposedConv2d.algorithms[0].space(workload, target)
        return next(knob.values for knob in space.knobs if knob.name == "depth")

    assert len(depths((4, 4), (16, 12))) > 1
    assert depths((3, 4), (16, 12)) == depths((4, 4), (15, 12)) == depths((4, 4), (16, 11)) == (0,)


@pytest.mark.parametrize(
    ("data", "channels", "expected"),
    [
        ((1, 256, 16, 12), 256, "direct"),
        ((1, 256, 32, 24), 256, "winograd"),
        ((1, 64, 32, 32), 16, "direct"),
        ((1, 128, 32, 32), 64, "winograd"),
    ],
)
def test_the_default_is_the_algorithm_that_was_fastest(
    data: tuple[int, int, int, int], channels: int, expected: str
) -> None:
    """On AVX-512, with 4×4 taps and a stride of 2."""
    target = parse_target("x86-64-v4", 1)
    size = (2 * data[2], 2 * data[3])
    workload = transposed(16, data, channels, (4, 4), strides=(2, 2), pads=(1, 1), size=size)
    template = TransposedConv2d()
    assert template.algorithm(template.default(workload, target)).name == expected
