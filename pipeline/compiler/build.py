"""From an IRModule to TVM's executable: fusion of what no template took, memory planning, code generation."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from tvmopt.pipeline.support.tvm import load_backend
from tvmopt.schedules.llvm.parts.emit import FLAT, KEEPS_SUMS
from tvmopt.schedules.registry import schedule_rest
from tvmopt.schedules.target import Target

KEEP_SUMS = ("-x86-machine-combiner:bool=0",)
"""LLVM's options for kernels that ask for it (`emit.KEEPS_SUMS`)."""

_FLAT_NESTS = "tvmopt_flat_nests"


def tvm_target(target: Target) -> Any:
    """`target` as TVM's object; a GPU's host code is for x86-64 Linux."""
    import tvm

    if target.is_gpu:
        load_backend(target.kind)
        return tvm.target.Target(dict(target.tvm), host={"kind": "llvm", "mtriple": "x86_64-linux-gnu"})
    return tvm.target.Target(dict(target.tvm))


def code_generation(checked: bool = True) -> Any:
    """The context that all machine code is generated in.

    TVM's search for common subexpressions is off: it moves some before what they use (a sigmoid after a maximum of two
    computed values), and no kernel was slower without, since LLVM searches, too.

    Args:
        checked: whether kernels check their arguments and what else they assert.
    """
    import tvm

    settings = {"tirx.disable_cse_tir": True, "tirx.disable_assert": not checked}
    return tvm.transform.PassContext(config=settings)


def kernel_library(functions: Mapping[str, Any], target: Target, *, checked: bool = True) -> Any:
    """TVM's executable of PrimFuncs, each under its name.

    It generates machine code when a function is first requested.

    Args:
        functions: by name.
        target: what it is for.
        checked: whether kernels check their arguments and what else they assert.
    """
    import tvm

    named = {name: function.with_attr("global_symbol", name) for name, function in functions.items()}
    with code_generation(checked):
        return tvm.compile(
            tvm.IRModule(named),
            target=_target_of(functions.values(), target),
            tir_pipeline=passes_for(functions.values(), target),
        )


def _target_of(functions: Iterable[Any], target: Target) -> Any:
    """The target of some PrimFuncs, with LLVM's options for them."""
    if not any(KEEPS_SUMS in (function.attrs or {}) for function in functions):
        return tvm_target(target)
    return tvm_target(replace(target, tvm={**target.tvm, "cl-opt": [*target.tvm["cl-opt"], *KEEP_SUMS]}))


def passes_for(functions: Iterable[Any], target: Target) -> str:
    """The name of the passes that PrimFuncs go through together: few of TVM's, if all are from `emit.kernel`."""
    flat = not target.is_gpu and all(FLAT in (function.attrs or {}) for function in functions)
    return _flat_nests() if flat else "default"


@functools.cache
def _flat_nests() -> str:
    """The name of TVM's passes for our templates' loops on CPUs, which it knows from now on.

    They are those of ``tvm.s_tir.pipeline`` that such loops need (`emit.FLAT`). Each of the others (blocks, threads of
    GPUs, short floats, copies between memories, buffers of several dimensions or larger than what is used of them)
    goes through the whole kernel as well, and a kernel is long.
    """
    import tvm
    from tvm.s_tir.pipeline import finalize_device_passes, finalize_host_passes
    from tvm.tirx.compilation_pipeline import register_tir_pipeline

    def passes() -> tuple[Any, Any, Any]:
        tirx, s_tir = tvm.tirx.transform, tvm.s_tir.transform
        listed = [
            s_tir.CanonicalizeLoop(),
            s_tir.LoopPartition(),
            tirx.VectorizeLoop(True),
            tirx.StorageRewrite(),
            s_tir.HoistIfThenElse(),
            tirx.UnrollLoop(),
            s_tir.RenormalizeSplitPattern(),
            tirx.StmtSimplify(),
            s_tir.RewriteUnsafeSelect(),
            tirx.VerifyMemory(),
            tirx.AnnotateEntryFunc(),
            tirx.SplitHostDevice(),
            tirx.MakePackedAPI(),
        ]
        return tvm.ir.transform.Sequential(listed), finalize_host_passes, finalize_device_passes

    register_tir_pipeline(_FLAT_NESTS, passes)
    return _FLAT_NESTS


def schedule(module: Any, target: Target) -> Any:
    """`module` with every operator as a scheduled PrimFunc.

    Relax operators are fused with each other and scheduled by the target's fallback rule; our own kernels are opaque
    to both.
    """
    import tvm
    from tvm import relax

    passes = relax.transform
    with tvm_target(target):
        module = tvm.ir.transform.Sequential(
            [
                passes.InlinePrivateFunctions(),
                passes.DecomposeOpsForInference(),
                passes.CanonicalizeBindings(),
                # Sorting and scans have dedicated implementations, which LegalizeOps does not know.
                relax.backend.DispatchSortScan(),
                # A reshape stays an operator: the runtime makes a view of it, not a copy.
                passes.LegalizeOps(skip_ops=["relax.reshape"]),
                passes.AnnotateTIROpPattern(),
                passes.FoldConstant(),
                passes.FuseOps(),
                passes.FuseTIR(),
                passes.DeadCodeElimination(),
            ]
        )(module)
    return schedule_rest(module, target)


def plan_calls(module: Any, target: Target) -> Any:
    """`module` with the buffers that a kernel writes to passed in every kernel call."""
    import tvm
    from tvm import relax

    passes = relax.transform
    with tvm_target(target):
        return tvm.ir.transform.Sequential(
            [passes.ToNonDataflow(), passes.RemovePurityChecking(), passes.CallTIRRewrite()]
        )(module)


def plan_memory(module: Any, target: Target) -> Any:
    """`module` with buffers allocated ahead of time: intermediate tensors reuse each other's storage."""
    from tvm import relax

    with tvm_target(target):
        return relax.transform.StaticPlanBlockMemory()(plan_calls(module, target))


def called_kernels(module: Any) -> list[str]:
    """Names of the kernels that a planned module's ``main`` calls, in order."""
    from tvm import relax
    from tvm.ir import GlobalVar

    values = (binding.value for block in module["main"].body.blocks for binding in block.bindings)
    return [value.op.name_hint for value in values if isinstance(value, relax.Call) and isinstance(value.op, GlobalVar)]


def storage_sizes(module: Any) -> tuple[int, ...]:
    """Bytes of each storage that a planned module's ``main`` allocates for intermediate tensors."""
    from tvm import relax

    sizes: list[int] = []

    def visit(expr: Any) -> None:
        if isinstance(expr, relax.Call) and getattr(expr.op, "name", "") == "relax.memory.alloc_storage":
            sizes.append(math.prod(int(size) for size in expr.args[0].values))

    relax.analysis.post_order_visit(module["main"], visit)
    return tuple(sizes)


def generate(module: Any, target: Target) -> Any:
    """The VM executable of a scheduled and planned module."""
    import tvm
    from tvm import relax

    passes = relax.transform
    pipeline = tvm.ir.transform.Sequential(
        [
            passes.LowerAllocTensor(),
            passes.KillAfterLastUse(),
            passes.LowerRuntimeBuiltin(),
            passes.ComputePrimValue(),
            passes.VMShapeLower(),
            passes.AttachGlobalSymbol(),
        ]
    )
    with tvm_target(target), code_generation():
        return relax.build(pipeline(module), tvm_target(target), relax_pipeline=None)


def threads_environment(threads: int) -> None:
    """Makes TVM's runtime use `threads` threads; works only before the runtime's first parallel loop."""
    os.environ["TVM_NUM_THREADS"] = str(threads)
