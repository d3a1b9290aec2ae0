"""Schedules for GPUs: TVM's DLight rules in order, the fallback last."""

from __future__ import annotations

from typing import Any

from tvmopt.schedules.target import Target


def schedule_gpu(module: Any, target: Target) -> Any:
    """`module` with every PrimFunc scheduled by the first DLight rule that applies.

    Args:
        module: an IRModule of fused operators.
        target: the GPU it is for.
    """
    import tvm
    from tvm.s_tir import dlight

    rules = (
        dlight.gpu.Matmul(),
        dlight.gpu.GEMV(),
        dlight.gpu.Reduction(),
        dlight.gpu.GeneralReduction(),
        dlight.gpu.Fallback(),
    )
    with tvm.target.Target(dict(target.tvm)):
        return dlight.ApplyDefaultSchedule(*rules)(module)
