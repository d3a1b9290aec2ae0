"""Kernels built from workloads, run between guards, and compared with expected results."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.compiler.build import code_generation, passes_for
from tvmopt.pipeline.devices.registry import LOCAL
from tvmopt.pipeline.support.numeric_error import as_one_dtype, numeric_error
from tvmopt.pipeline.support.tolerances import TEST
from tvmopt.schedules.compute.reference import reference
from tvmopt.schedules.expression import ACC, Expr
from tvmopt.schedules.registry import pack_inputs, template_for
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target, parse_target
from tvmopt.schedules.workload import Attr, Tensor, Workload

THREADS = 2
TARGETS = {
    "host": "llvm",
    "avx2": "x86-64-v3",
    "sse2": '{"kind": "llvm", "mtriple": "x86_64-linux-gnu"}',
}
GUARD = 256
"""Elements of NaN before and behind every array that a kernel gets."""

MakeWorkload = Callable[..., Workload]


def guarded(shape: Sequence[int], dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """A 64-byte aligned array for a kernel, and the larger array around it, full of NaN (or of 77)."""
    size, item = math.prod(shape), np.dtype(dtype).itemsize
    fill = np.nan if np.dtype(dtype).kind == "f" else 77
    whole = np.full(size + 3 * GUARD, fill, dtype)
    first = GUARD + (-(whole.ctypes.data // item + GUARD)) % (64 // item)
    return whole[first : first + size].reshape(shape), whole


@dataclass(frozen=True, slots=True)
class Kernels:
    """Builds and runs kernels for one target.

    Attributes:
        target: the target of the generated code.
        optimize: LLVM's optimisation level; 0 compiles many times faster, which is enough to test a loop nest.
    """

    target: Target
    optimize: int = 3

    def unoptimized(self) -> Kernels:
        return replace(self, optimize=0)

    def configs(self, workload: Workload, count: int) -> list[Config]:
        """The default, then `count` configs spread over the whole space."""
        template = template_for(workload, self.target)
        space = list(template.space(workload, self.target))
        step = max(1, -(-len(space) // count)) if count else len(space)
        spread = space[step // 2 :: step][:count]
        return [template.default(workload, self.target), *spread]

    def run(self, workload: Workload, inputs: Sequence[np.ndarray], configs: Sequence[Config]) -> list[np.ndarray]:
        """The memory that the kernel writes, for each config."""
        import tvm

        template = template_for(workload, self.target)
        functions = {
            f"kernel_{i}": template.build(workload, self.target, config).with_attr("global_symbol", f"kernel_{i}")
            for i, config in enumerate(configs)
        }
        tvm_target = tvm.target.Target({**self.target.tvm, "opt-level": self.optimize})
        with code_generation():
            passes = passes_for(functions.values(), self.target)
            library = tvm.compile(tvm.IRModule(functions), target=tvm_target, tir_pipeline=passes)
        outputs = []
        for name, config in zip(functions, configs, strict=True):
            memory = pack_inputs(template, workload, self.target, config, dict(enumerate(inputs)))
            output, around = guarded(workload.output.physical_shape, workload.output.dtype)
            library[name](*[self._argument(array) for array in memory.values()], tvm.runtime.from_dlpack(output))
            made = output.copy()
            output[...] = np.nan if output.dtype.kind == "f" else 77
            assert np.array_equal(around, np.full_like(around, output.reshape(-1)[0]), equal_nan=True), (
                f"{workload.op} {dict(config)} wrote outside its output"
            )
            outputs.append(made)
        return outputs

    @staticmethod
    def _argument(array: np.ndarray) -> object:
        import tvm

        copy, _ = guarded(array.shape, str(array.dtype))
        copy[...] = array
        return tvm.runtime.from_dlpack(copy)

    def check(
        self,
        workload: Workload,
        configs: int | Iterable[Config] = 0,
        inputs: Sequence[np.ndarray] | None = None,
        expected: np.ndarray | None = None,
    ) -> None:
        """Runs the default and further configs; all must give `expected`, by default the reference's result."""
        chosen = self.configs(workload, configs) if isinstance(configs, int) else list(configs)
        arrays = random_inputs(workload) if inputs is None else inputs
        want = reference(workload, arrays) if expected is None else expected
        for config, memory in zip(chosen, self.run(workload, arrays, chosen), strict=True):
            check_output(workload, memory, want, f"{self.target.isa} {workload.to_json()} {dict(config)}")


def check_output(workload: Workload, memory: np.ndarray, expected: np.ndarray, what: str) -> None:
    """Checks that the output is as expected, the halo is zero, and the padding of the last channel block is written."""
    output = workload.output
    result = output.restore(memory)
    assert result.shape == expected.shape
    error = numeric_error(*as_one_dtype(expected, result)).relative
    assert error <= TEST, f"relative error {error:.2g}: {what}"
    if output.plain:
        return
    top, left, _, _ = output.halo
    inside = np.zeros(memory.shape, bool)
    inside[:, :, top : top + output.shape[2], left : left + output.shape[3]] = True
    assert not memory[~inside].any(), f"the halo is not zero: {what}"
    assert not np.isnan(memory).any(), f"not every absent channel was written: {what}"


def random_inputs(workload: Workload, seed: int = 0) -> list[np.ndarray]:
    """Standard normal arrays, one for each input."""
    random = np.random.default_rng(seed)
    return [random.standard_normal(tensor.shape).astype(tensor.dtype) for tensor in workload.inputs]


@pytest.fixture(scope="session", autouse=True)
def _threads() -> None:
    # The runtime reads this once, at its first parallel loop; its default is half of the processors.
    os.environ.setdefault("TVM_NUM_THREADS", str(THREADS))


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> Target:
    """Each target that this machine can run, with two threads."""
    target = parse_target(TARGETS[request.param], THREADS)
    if not LOCAL.facts().can_run(target):
        pytest.skip(f"this machine cannot run {target.isa}")
    return target


@pytest.fixture
def kernels(target: Target) -> Kernels:
    """Builds, runs and checks kernels for `target`."""
    return Kernels(target)


@pytest.fixture
def host() -> Kernels:
    """Builds, runs and checks kernels only for this machine."""
    return Kernels(parse_target("llvm", THREADS))


@pytest.fixture
def make() -> MakeWorkload:
    """A workload from its operator, inputs, output, epilogue and attributes by name."""

    def workload(op: str, inputs: Sequence[Tensor], output: Tensor, epilogue: Expr = ACC, **attrs: Attr) -> Workload:
        return Workload(op, tuple(inputs), output, tuple(sorted(attrs.items())), epilogue)

    return workload


@pytest.fixture
def convolution(target: Target) -> MakeWorkload:
    """A convolution workload as the graph makes it: data with a halo for its pads, output in blocks."""
    return lambda *arguments, **options: make_convolution(target.lanes("float32"), *arguments, **options)


def make_convolution(
    lanes: int,
    data: tuple[int, int, int, int],
    channels: int,
    kernel: tuple[int, int] = (1, 1),
    *,
    strides: tuple[int, int] = (1, 1),
    dilations: tuple[int, int] = (1, 1),
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    groups: int = 1,
    block: int | None = None,
    margin: tuple[int, int, int, int] = (0, 0, 0, 0),
    halo: tuple[int, int, int, int] = (0, 0, 0, 0),
    extra: Sequence[Tensor] = (),
    epilogue: Expr = ACC,
) -> Workload:
    """A convolution; ``depthwise_conv2d`` if every channel is its own group.

    Args:
        lanes: of the target.
        data: shape of the data.
        channels: of the output.
        kernel: rows and columns.
        strides: of the windows.
        dilations: of the windows.
        pads: top, left, bottom, right.
        groups: of channels.
        block: of the data, by default the lanes.
        margin: by how much the data's halo is wider than needed: top, left, bottom, right.
        halo: of the output.
        extra: the epilogue's operands.
        epilogue: of the workload.
    """
    n, in_channels, *size = data
    out = [(size[i] + pads[i] + pads[2 + i] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1 for i in range(2)]
    after = [
        max(0, (out[i] - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 - pads[i] - size[i]) for i in range(2)
    ]
    top, left, bottom, right = (need + more for need, more in zip((*pads[:2], *after), margin, strict=True))
    depthwise = groups == in_channels == channels > 1
    return Workload(
        "depthwise_conv2d" if depthwise else "conv2d",
        (
            Tensor(data, block=lanes if block is None else block, halo=(top, left, bottom, right)),
            Tensor((channels, in_channels // groups, *kernel)),
            *extra,
        ),
        Tensor((n, channels, out[0], out[1]), block=lanes, halo=halo),
        (("dilations", dilations), ("groups", groups), ("pads", pads), ("strides", strides)),
        epilogue,
    )


def make_separable(
    lanes: int,
    data: tuple[int, int, int, int],
    channels: int,
    kernel: tuple[int, int] = (3, 3),
    *,
    halo: tuple[int, int, int, int] = (0, 0, 0, 0),
    extra: Sequence[Tensor] = (),
    inner: Expr = ACC,
    epilogue: Expr = ACC,
    **options: Any,
) -> Workload:
    """A depthwise convolution and the 1×1 convolution after it.

    Args:
        lanes: of the target.
        data: shape of the data.
        channels: of the output.
        kernel: rows and columns of the depthwise convolution.
        halo: of the output.
        extra: operands of both epilogues.
        inner: the expression between the two convolutions.
        epilogue: of the workload.
        options: of the depthwise convolution, as `make_convolution` takes them.
    """
    depthwise = make_convolution(lanes, data, data[1], kernel, groups=data[1], **options)
    n, _, rows, columns = depthwise.output.shape
    return Workload(
        "separable_conv2d",
        (*depthwise.inputs, Tensor((channels, data[1], 1, 1)), *extra),
        Tensor((n, channels, rows, columns), block=lanes, halo=halo),
        depthwise.attrs,
        epilogue,
        inner,
    )


def make_expanded(
    lanes: int,
    data: tuple[int, int, int, int],
    channels: int,
    kernel: tuple[int, int] = (3, 3),
    *,
    margin: tuple[int, int, int, int] = (0, 0, 0, 0),
    inner: Expr = ACC,
    **options: Any,
) -> Workload:
    """A 1×1 convolution and the depthwise convolution after it.

    Args:
        lanes: of the target.
        data: shape of the data.
        channels: of the map between the two, and of the output.
        kernel: rows and columns of the depthwise convolution.
        margin: the data's halo, of which nothing is read.
        inner: the expression between the two convolutions.
        options: of the depthwise convolution, as `make_convolution` takes them.
    """
    n, inputs, *size = data
    wide = make_convolution(lanes, (n, channels, *size), channels, kernel, groups=channels, **options)
    return Workload(
        "expanded_conv2d",
        (
            Tensor(data, block=lanes, halo=margin),
            wide.inputs[1],
            Tensor((channels, inputs, 1, 1)),
            *wide.inputs[2:],
        ),
        wide.output,
        tuple((name, value) for name, value in wide.attrs if name != "groups"),
        wide.epilogue,
        inner,
    )


@pytest.fixture
def expanded(target: Target) -> MakeWorkload:
    """`make_expanded` for the lanes of `target`."""
    return lambda *arguments, **options: make_expanded(target.lanes("float32"), *arguments, **options)


@pytest.fixture
def wide_expanded() -> MakeWorkload:
    """`make_expanded`, for tests that choose the lanes themselves."""
    return make_expanded


@pytest.fixture
def separable(target: Target) -> MakeWorkload:
    """`make_separable` for the lanes of `target`."""
    return lambda *arguments, **options: make_separable(target.lanes("float32"), *arguments, **options)


@pytest.fixture
def wide_separable() -> MakeWorkload:
    """`make_separable`, for tests that choose the lanes themselves."""
    return make_separable


@pytest.fixture
def wide() -> MakeWorkload:
    """`make_convolution`, for tests that choose the lanes themselves."""
    return make_convolution


@pytest.fixture
def inputs_of() -> Callable[..., list[np.ndarray]]:
    """Random inputs of a workload."""
    return random_inputs


@pytest.fixture
def kernels_for() -> Callable[[Target], Kernels]:
    """Builds unoptimised kernels for a target that the test chooses."""
    return lambda target: Kernels(target, optimize=0)
