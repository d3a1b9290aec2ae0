"""The passes that our kernels go through make the same machine code as all of TVM's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.schedules.llvm.test_structure import NAMES
from tests.schedules.samples import workloads
from tvmopt.pipeline.compiler import build
from tvmopt.pipeline.compiler.build import code_generation, kernel_library, tvm_target
from tvmopt.schedules.registry import kernel_for
from tvmopt.schedules.target import Target, parse_target
from tvmopt.schedules.workload import Workload


def whole_pipeline(function: Any, target: Target) -> Any:
    import tvm

    with code_generation(checked=False):
        return tvm.compile(tvm.IRModule({"k": function.with_attr("global_symbol", "k")}), target=tvm_target(target))


def content(library: Any, folder: Path) -> bytes:
    library.mod.write_to_file(str(folder / "kernel.o"))
    return (folder / "kernel.o").read_bytes()


@pytest.mark.sweep
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_the_same_kernels(
    wide: Callable[..., Workload], make: Callable[..., Workload], name: str, threads: int, tmp_path: Path
) -> None:
    target = parse_target("x86-64-v3", threads)
    kernel = kernel_for(workloads(wide, make)[name], target)
    function = kernel.build(kernel.default)
    lean = content(kernel_library({"k": function}, target, checked=False), tmp_path)
    assert lean == content(whole_pipeline(function, target), tmp_path)


def test_functions_with_blocks_go_through_all_passes(tmp_path: Path) -> None:
    from tvm import te

    x = te.placeholder((16,), name="x")
    function = te.create_prim_func([x, te.compute((16,), lambda i: x[i] + 1.0, name="y")])
    assert build._has_blocks(function)
    target = parse_target("x86-64-v3", 1)
    lean = content(kernel_library({"k": function}, target, checked=False), tmp_path)
    assert lean == content(whole_pipeline(function, target), tmp_path)
