"""From a PrimFunc to its machine code, with TVM's compiler in this process."""

from __future__ import annotations

from typing import Any

from tvmopt.pipeline.compiler.kernels.kernel_object import KernelObject
from tvmopt.pipeline.compiler.native.link import compile_kernel
from tvmopt.schedules.target import Target


def compiled(symbol: str, function: Any, target: Target) -> KernelObject:
    """The machine code of a PrimFunc of static shapes under `symbol`."""
    from tvmopt.schedules.llvm.parts.emit import parallel_tasks

    arguments = tuple((tuple(int(size) for size in one.shape), str(one.dtype)) for one in function.params)
    return KernelObject(symbol, compile_kernel(symbol, function, target), parallel_tasks(function), arguments)
