"""Winograd's convolution of integers: the sums themselves, against convolution in int64, at their limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.workloads.integers import integer_convolution, integers_for
from tvmopt.pipeline.devices.registry import LOCAL
from tvmopt.schedules.compute.integers import NARROW, largest_sum
from tvmopt.schedules.compute.reference import reference
from tvmopt.schedules.expression import ACC
from tvmopt.schedules.llvm.convolution.integers.conv2d import IntegerConvolution
from tvmopt.schedules.llvm.convolution.integers.winograd import IntegerWinograd
from tvmopt.schedules.llvm.convolution.integers.winograd_plan import NARROW_TILE
from tvmopt.schedules.race import ALGORITHM
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.target import Target, parse_target
from tvmopt.schedules.workload import Workload

WINOGRAD = next(place for place, one in enumerate(IntegerConvolution.algorithms) if isinstance(one, IntegerWinograd))
"""Its place in the race for convolution of integers."""

TARGETS = ("llvm", "x86-64-v3", "x86-64-v4")
"""With and without instructions that multiply and add at once."""

SHAPES: dict[str, tuple[tuple[int, int, int, int], int, int]] = {
    # Shape of the data, channels of the output, zero point.
    "one tile": ((1, 32, 4, 4), 32, 0),
    "one pixel": ((1, 16, 1, 1), 16, 255),
    "no tile fits": ((2, 21, 13, 7), 37, 127),
    "an odd number of blocks": ((1, 48, 9, 11), 17, 1),
    "one channel": ((1, 1, 5, 6), 3, 128),
    "wide": ((1, 33, 3, 61), 16, 3),
}


@pytest.fixture(params=TARGETS)
def machine(request: pytest.FixtureRequest) -> Target:
    """Each target that this machine can run and that multiplies pairs, with two threads."""
    target = parse_target(request.param, 2)
    if target.isa not in ("avx2", "avx512") or not LOCAL.facts().can_run(target):
        pytest.skip(f"this machine cannot run {request.param}")
    return target


def sums_alone(target: Target, data: tuple[int, int, int, int], channels: int, zero: int) -> Workload:
    """A convolution whose results are its sums."""
    made = integer_convolution(data, channels, zero=zero, lanes=target.lanes("float32"), halo=(0, 0, 0, 0))
    return replace(made, inputs=made.inputs[:2], output=replace(made.output, dtype="int32", fill=0), epilogue=ACC)


def spread(workload: Workload, target: Target, count: int) -> list[Mapping[str, int]]:
    """`count` configs of the algorithm, spread over its space."""
    space = template_for(workload, target).space(workload, target)
    configs = [config for config in space if config[ALGORITHM] == WINOGRAD]
    return [configs[i * (len(configs) - 1) // max(1, count - 1)] for i in range(min(count, len(configs)))]


def convolved(workload: Workload, data: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The sums in int64; the padding is the zero point, as which it counts for nothing."""
    padded = np.pad(data.astype(np.int64) - workload.attr("zero"), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return np.einsum("ncyxij,ocij->noyx", windows, weight.astype(np.int64))


def check(kernels: Any, workload: Workload, inputs: list[np.ndarray], count: int) -> None:
    configs = spread(workload, kernels.target, count)
    assert configs
    expected = convolved(workload, *inputs)
    for config, memory in zip(configs, kernels.run(workload, inputs, configs), strict=True):
        assert np.array_equal(workload.output.restore(memory), expected), config


@pytest.mark.parametrize("name", SHAPES)
def test_sums_are_exact(kernels_for: Any, machine: Target, name: str) -> None:
    workload = sums_alone(machine, *SHAPES[name])
    random = np.random.default_rng(0)
    data = random.integers(0, 256, workload.inputs[0].shape).astype(np.uint8)
    weight = random.integers(-128, 128, workload.inputs[1].shape).astype(np.int8)
    check(kernels_for(machine), workload, [data, weight], 4)


@pytest.mark.parametrize("weight", [-128, 127])
def test_the_largest_sums_are_exact(kernels_for: Any, machine: Target, weight: int) -> None:
    """As large as both tiles may get them: with 114 channels they are just below the limit."""
    workload = sums_alone(machine, (1, 114, 5, 6), 16, 0)
    inputs = [np.full(workload.inputs[0].shape, 255, np.uint8), np.full(workload.inputs[1].shape, weight, np.int8)]
    assert 0.98 * NARROW < largest_sum(inputs[1]) < NARROW
    check(kernels_for(machine), workload, inputs, 4)


def test_signs_that_transforms_make_largest(kernels_for: Any, machine: Target) -> None:
    """Data and weights of the extremes alone, in every order of signs."""
    workload = sums_alone(machine, (1, 100, 9, 10), 40, 255)
    random = np.random.default_rng(1)
    data = random.choice([0, 255], workload.inputs[0].shape).astype(np.uint8)
    weight = random.choice([-128, 127], workload.inputs[1].shape).astype(np.int8)
    check(kernels_for(machine), workload, [data, weight], 4)


def test_wide_sums_are_left_to_small_tiles(kernels_for: Any, machine: Target) -> None:
    narrow = sums_alone(machine, (1, 512, 3, 4), 16, 0)
    workload = replace(narrow, attrs=tuple(sorted([*narrow.attrs, ("wide", 1)])))
    assert IntegerWinograd().tiles(narrow) == (2, NARROW_TILE)
    assert IntegerWinograd().tiles(workload) == (2,)
    inputs = [np.full(workload.inputs[0].shape, 255, np.uint8), np.full(workload.inputs[1].shape, -128, np.int8)]
    check(kernels_for(machine), workload, inputs, 2)
    config = next(config for config in IntegerWinograd().space(narrow, machine) if config["tile"] == NARROW_TILE)
    with pytest.raises(ValueError, match="not below"):
        IntegerWinograd().pack(narrow, machine, config, 1, inputs[1])


def test_requantises_and_fills_the_halo(kernels_for: Any, machine: Target) -> None:
    lanes = machine.lanes("float32")
    workload = integer_convolution((1, 24, 7, 9), 2 * lanes, zero=77, lanes=lanes)
    inputs = integers_for(workload)
    expected = workload.output.store(reference(workload, inputs))
    assert expected.std() > 20, "too few results are neither 0 nor 255"
    for memory in kernels_for(machine).run(workload, inputs, spread(workload, machine, 3)):
        assert np.array_equal(memory, expected)


def test_takes_only_what_it_saves_work_for() -> None:
    machine = parse_target("x86-64-v4", 1)
    taken = IntegerWinograd().accepts
    assert taken(integer_convolution((1, 16, 6, 6), 16), machine)
    assert not taken(integer_convolution((1, 16, 6, 6), 16, strides=(2, 2)), machine)
    assert not taken(integer_convolution((1, 16, 6, 6), 16, dilations=(2, 2)), machine)
    assert not taken(integer_convolution((1, 32, 6, 6), 32, groups=2), machine)
    assert not taken(integer_convolution((1, 16, 6, 6), 16, (5, 5)), machine)
    assert not taken(integer_convolution((1, 3, 6, 6), 16, block=4), machine)
    assert not taken(integer_convolution((1, 16, 6, 6), 16, lanes=4), parse_target("aarch64", 1))
