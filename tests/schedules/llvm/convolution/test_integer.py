"""Convolution of integers: exact for every value, on odd shapes, at the edges of the sums, on each instruction set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.workloads.integers import for_lanes, integer_convolution, integers_for, narrow_weights, with_facts
from tvmopt.pipeline.devices.registry import LOCAL
from tvmopt.schedules.compute.reference import reference
from tvmopt.schedules.expression import ACC, Arg, call
from tvmopt.schedules.llvm.convolution.direct import PREFETCH
from tvmopt.schedules.llvm.convolution.integers.corrected import CorrectedConv2d
from tvmopt.schedules.llvm.convolution.integers.direct import IntegerConv2d
from tvmopt.schedules.llvm.parts.emit import SPREAD
from tvmopt.schedules.llvm.parts.products import LARGEST_PAIR
from tvmopt.schedules.llvm.parts.quads import adds_quads
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.target import Target, parse_target
from tvmopt.schedules.workload import Tensor, Workload

SETS = {"VNNI": "llvm", "AVX-512": "x86-64-v4", "AVX2": "x86-64-v3"}

SHAPES: dict[str, Workload] = {
    "3×3": integer_convolution((1, 64, 9, 11), 64),
    "few channels": integer_convolution((1, 3, 13, 10), 24, strides=(2, 2), block=4),
    "few channels in whole blocks": integer_convolution((1, 3, 13, 10), 24, strides=(2, 1)),
    "channels that fill no quad": integer_convolution((2, 21, 5, 7), 33),
    "1×1": integer_convolution((1, 40, 7, 7), 72, (1, 1), halo=(0, 0, 0, 0)),
    "1×1 with stride": integer_convolution((1, 32, 8, 8), 48, (1, 1), strides=(2, 2)),
    "no zero point": integer_convolution((1, 16, 6, 6), 16, zero=0),
    "the largest zero point": integer_convolution((1, 16, 6, 6), 16, (5, 3), zero=255),
    "a dilation as large as the map": integer_convolution((1, 16, 8, 8), 16, dilations=(6, 7), zero=128),
    "a dilation": integer_convolution((1, 16, 8, 8), 16, dilations=(2, 2), zero=128),
    "groups": integer_convolution((1, 64, 6, 9), 32, groups=2),
    "groups of few channels": integer_convolution((1, 72, 6, 9), 72, groups=9, strides=(2, 2)),
    "groups of four channels": integer_convolution((2, 20, 5, 7), 20, groups=5, zero=200),
}

ODD = (
    "few channels",
    "channels that fill no quad",
    "the largest zero point",
    "a dilation",
    "groups",
    "groups of four channels",
)
"""Shapes for every instruction set and all kinds of weights."""

CASES = [("VNNI", name, "any") for name in SHAPES]
CASES += [(isa, name, kind) for isa in ("AVX2", "AVX-512") for name in ODD for kind in ("any", "trained", "narrow")]

KernelsFor = Callable[[Target], Any]


def target_of(isa: str) -> Target:
    """The target of an instruction set; skips the test if this machine has not got it."""
    target = parse_target(SETS[isa], 2)
    if not LOCAL.facts().can_run(target) or (isa == "VNNI" and not (target.isa == "avx512" and adds_quads(target))):
        pytest.skip(f"this machine has no {isa}")
    return target


def drawn(target: Target, name: str, kind: str, extreme: bool = False) -> tuple[Workload, list[np.ndarray]]:
    """A workload with what is known of its weights, and its inputs."""
    workload = for_lanes(SHAPES[name], target.lanes("float32"))
    inputs = integers_for(workload, extreme)
    if kind == "narrow":
        inputs[1] = narrow_weights(inputs[1].shape, extreme)
    if kind == "trained":
        inputs[1] = np.clip(np.rint(np.random.default_rng(2).normal(0, 30, inputs[1].shape)), -128, 127).astype(np.int8)
    return with_facts(workload, target, inputs[1]), inputs


def check(kernels: Any, workload: Workload, inputs: list[np.ndarray], configs: Any) -> None:
    """Checks every byte, also the halo, which is full of the output's zero point: `Tensor.store` puts it there."""
    expected = workload.output.store(reference(workload, inputs))
    for config, memory in zip(configs, kernels.run(workload, inputs, configs), strict=True):
        top, left, _, _ = workload.output.halo
        channels = workload.output.shape[1] % workload.output.block
        last = slice(None, channels) if channels else slice(None)
        assert np.array_equal(memory[:, :-1], expected[:, :-1]), config
        assert np.array_equal(memory[:, -1, ..., last], expected[:, -1, ..., last]), config
        assert (memory[:, :, :top] == 5).all() and (memory[..., :left, :] == 5).all(), config  # noqa: PT018


@pytest.mark.parametrize(("isa", "name", "kind"), CASES, ids=str)
def test_is_exact(kernels_for: KernelsFor, isa: str, name: str, kind: str) -> None:
    target = target_of(isa)
    workload, inputs = drawn(target, name, kind)
    assert reference(workload, inputs).std() > 20, "too few results are neither 0 nor 255"
    kernels = kernels_for(target)
    check(kernels, workload, inputs, kernels.configs(workload, 3 if isa == "VNNI" else 1))


@pytest.mark.parametrize("isa", ["AVX2", "AVX-512"])
@pytest.mark.parametrize("algorithm", [IntegerConv2d(), CorrectedConv2d()], ids=lambda algorithm: algorithm.name)
def test_corrections_leave_no_sum_out(kernels_for: KernelsFor, isa: str, algorithm: IntegerConv2d) -> None:
    """Weights of which two quads leave 16 bits, as large as they may be, and data that is 0 or 255."""
    target = target_of(isa)
    workload, inputs = drawn(target, "3×3", "narrow")
    inputs[0] = np.where(inputs[0] < 100, 0, 255).astype(np.uint8)
    assert dict(workload.attrs)["corrections"] > 0
    race = template_for(workload, target)
    config = algorithm.default(workload, target)
    config = race.space(workload, target).whole([a.name for a in race.algorithms].index(algorithm.name), config)
    check(kernels_for(target), workload, inputs, [config])


@pytest.mark.parametrize("isa", SETS)
@pytest.mark.parametrize("kind", ["any", "narrow"])
@pytest.mark.parametrize("sign", [-1, 1])
def test_the_largest_products_do_not_saturate(kernels_for: KernelsFor, isa: str, kind: str, sign: int) -> None:
    target = target_of(isa)
    lanes = target.lanes("float32")
    plain = integer_convolution((1, 128, 5, 5), 16, zero=0, halo=(0, 0, 0, 0), lanes=lanes)
    output = Tensor(plain.output.shape, "float32", lanes)
    largest = {("any", -1): -128, ("any", 1): 127}.get((kind, sign), sign * LARGEST_PAIR // 2)
    inputs = [np.full((1, 128, 5, 5), 255, np.uint8), np.full((16, 128, 3, 3), largest, np.int8)]
    workload = replace(plain, inputs=plain.inputs[:2], output=output, epilogue=call("to_float32", ACC))
    workload = with_facts(workload, target, inputs[1])
    assert ("pairs_fit" in dict(workload.attrs)) == (kind == "narrow" and isa != "VNNI")
    kernels = kernels_for(target)
    (memory,) = kernels.run(workload, inputs, kernels.configs(workload, 0))
    assert workload.output.restore(memory)[0, 0, 2, 2] == largest * 255 * 128 * 9


@pytest.mark.parametrize("isa", ["VNNI", "AVX2"])
def test_reads_and_writes_quantised_and_float_operands(kernels_for: KernelsFor, isa: str) -> None:
    """A residual of bytes is added; the result is stored as floats."""
    target = target_of(isa)
    lanes = target.lanes("float32")
    plain = integer_convolution((1, 32, 6, 6), 32, halo=(0, 0, 0, 0), lanes=lanes)
    residual = Tensor(plain.output.shape, "uint8", lanes)
    epilogue = call("add", call("mul", call("to_float32", ACC), Arg(2)), call("to_float32", Arg(4)))
    output = Tensor(plain.output.shape, "float32", lanes)
    workload = Workload(plain.op, (*plain.inputs, residual), output, plain.attrs, epilogue)
    random = np.random.default_rng(1)
    inputs = [*integers_for(plain), random.integers(0, 256, residual.shape).astype(np.uint8)]
    kernels_for(target).check(workload, 2, inputs)


@pytest.mark.parametrize(("isa", "channels"), [("AVX2", 12), ("AVX2", 3), ("AVX-512", 20), ("AVX-512", 3)])
@pytest.mark.parametrize("weight", [-64, 64 - 1])
def test_taps_of_a_last_quad_are_not_added_in_16_bits(
    kernels_for: KernelsFor, isa: str, channels: int, weight: int
) -> None:
    """A quad without a neighbour needs no correction, also where its taps are computed one after another."""
    target = target_of(isa)
    lanes = target.lanes("float32")
    plain = integer_convolution((1, channels, 5, 6), lanes, zero=0, halo=(0, 0, 0, 0), lanes=lanes)
    output = Tensor(plain.output.shape, "float32", lanes)
    weights = np.zeros((lanes, channels, 3, 3), np.int8)
    weights[:, (channels - 1) // 4 * 4 :] = weight
    inputs = [np.full((1, channels, 5, 6), 255, np.uint8), weights]
    workload = replace(plain, inputs=plain.inputs[:2], output=output, epilogue=call("to_float32", ACC))
    workload = with_facts(workload, target, weights)
    algorithm = CorrectedConv2d()
    assert dict(workload.attrs)["corrections"] == 0
    race = template_for(workload, target)
    config = algorithm.default(workload, target)
    config = race.space(workload, target).whole([a.name for a in race.algorithms].index(algorithm.name), config)
    (memory,) = kernels_for(target).run(workload, inputs, [config])
    assert np.array_equal(workload.output.restore(memory), reference(workload, inputs))


def test_more_corrections_than_there_is_room_for_are_an_error() -> None:
    target = parse_target("x86-64-v3", 1)
    workload, inputs = drawn(target, "3×3", "narrow")
    template = CorrectedConv2d()
    full = np.full(inputs[1].shape, 64, np.int8)
    with pytest.raises(ValueError, match="corrections, the kernel has room for"):
        template.pack(workload, target, template.default(workload, target), 1, full)


def test_is_only_for_machines_that_multiply_bytes() -> None:
    workload = integer_convolution((1, 16, 6, 6), 16)
    assert not IntegerConv2d().accepts(workload, parse_target("aarch64", 1))
    assert not IntegerConv2d().accepts(for_lanes(workload, 4), parse_target("armv7", 1))


def test_weights_are_prefetched_where_they_will_still_be_in_the_cache() -> None:
    """The next panel of weights evenly, unless panels fill the cache; of a small layer none."""
    target = replace(parse_target("x86-64-v4", 1), features=("avx512_vnni",))
    ahead = {
        channels: IntegerConv2d().default(integer_convolution((1, channels, 1, 1), 256, (1, 1)), target)["prefetch"]
        for channels in (32, 1024, 25088)
    }
    assert ahead == {32: 0, 1024: SPREAD, 25088: PREFETCH[-1]}
