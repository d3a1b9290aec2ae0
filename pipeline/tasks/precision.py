"""The precision of values and of kernels, in the words of tables."""

from __future__ import annotations

from tvmopt.pipeline.types import Task
from tvmopt.schedules.operators import INTEGERS, OPERATORS


def precision_of(dtype: str) -> str:
    """The precision of an element type: ``FP32`` for float32, ``INT8`` for int8 and uint8."""
    signed = dtype.removeprefix("u")
    kind = signed.rstrip("0123456789")
    return {"float": "FP", "bfloat": "BF"}.get(kind, kind.upper()) + signed.removeprefix(kind)


def task_precision(task: Task) -> str:
    """The precision of what a kernel computes with: that of its first operand."""
    return precision_of(task.workload.inputs[0].dtype) if task.workload.inputs else ""


def in_integers(task: Task) -> bool:
    """Whether the operations that a kernel counts are on integers."""
    return OPERATORS.get(task.workload.op) in INTEGERS
