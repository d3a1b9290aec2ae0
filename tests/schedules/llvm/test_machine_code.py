"""The passes that our kernels go through leave the results as they are after all of TVM's, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.schedules.llvm.test_structure import NAMES
from tests.schedules.samples import workloads
from tvmopt.pipeline.compiler.build import code_generation, kernel_library, passes_for, tvm_target
from tvmopt.schedules.llvm.parts.quads import adds_quads
from tvmopt.schedules.registry import kernel_for
from tvmopt.schedules.target import Target, parse_target
from tvmopt.schedules.workload import Workload

RANGE = 4
"""Indices are below this number."""


def whole_pipeline(function: Any, target: Target) -> Any:
    import tvm

    with code_generation(checked=False):
        return tvm.compile(tvm.IRModule({"k": function.with_attr("global_symbol", "k")}), target=tvm_target(target))


def arguments(function: Any) -> list[np.ndarray]:
    """Random arrays for the parameters of a PrimFunc, the output last."""
    random = np.random.default_rng(0)
    arrays = []
    for one in function.params:
        shape, dtype = tuple(int(size) for size in one.shape), np.dtype(str(one.dtype))
        drawn = random.standard_normal(shape) if dtype.kind == "f" else random.integers(0, RANGE, shape)
        arrays.append(np.asarray(drawn).astype(dtype))
    return arrays


def result(library: Any, arrays: list[np.ndarray]) -> bytes:
    import tvm

    tensors = [tvm.runtime.tensor(array) for array in arrays]
    library["k"](*tensors)
    return bytes(tensors[-1].numpy().tobytes())


@pytest.mark.sweep
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_the_same_results(
    wide: Callable[..., Workload], make: Callable[..., Workload], name: str, threads: int
) -> None:
    target = parse_target("x86-64-v3", threads)
    if name.startswith("integer"):
        target = replace(parse_target("llvm", threads), isa="avx2")  # the same block, of this machine's instructions
        if not adds_quads(replace(target, isa="avx512")):
            pytest.skip("this machine has no VNNI")
        target = replace(target, features=("avx_vnni",))
    kernel = kernel_for(workloads(wide, make)[name], target)
    function = kernel.build(kernel.default)
    assert passes_for([function], target) != "default"
    arrays = arguments(function)
    lean = result(kernel_library({"k": function}, target, checked=False), arrays)
    assert lean != arrays[-1].tobytes()
    assert lean == result(whole_pipeline(function, target), arrays)


def test_functions_of_tvm_go_through_all_passes() -> None:
    from tvm import te

    x = te.placeholder((16,), name="x")
    function = te.create_prim_func([x, te.compute((16,), lambda i: x[i] + 1.0, name="y")])
    target = parse_target("x86-64-v3", 1)
    assert passes_for([function], target) == "default"
    arrays = arguments(function)
    lean = result(kernel_library({"k": function}, target, checked=False), arrays)
    assert lean == (arrays[0] + np.float32(1)).tobytes()
