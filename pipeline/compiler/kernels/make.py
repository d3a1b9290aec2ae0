"""Carries out one job, with TVM's compiler in this process."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from tvmopt.pipeline.compiler.kernels.compiled import compiled
from tvmopt.pipeline.compiler.kernels.job import BOUNDS, CHECK, KERNEL
from tvmopt.pipeline.compiler.kernels.kernel_object import KernelObject
from tvmopt.pipeline.errors import BuildError, TvmoptError
from tvmopt.pipeline.support.messages import one_line
from tvmopt.schedules.registry import kernel_for
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor, Workload


def make(command: Mapping[str, Any]) -> bytes:
    """The result of a job's command.

    Raises:
        BuildError: when the kernel or layer cannot be generated; names the layer.
        WrongResultError: when a checked layer computes a wrong result.
    """
    try:
        return _made(command, Target.from_json(command["target"]))
    except TvmoptError:
        raise
    # Whatever TVM raises means that the kernel cannot be made.
    except Exception as error:
        raise BuildError(f"layer {command['layer']!r} cannot be compiled: {one_line(error)}") from error


def _made(command: Mapping[str, Any], target: Target) -> bytes:
    if command["kind"] == KERNEL:
        return _kernel(command, target).to_bytes()
    if command["kind"] == BOUNDS:
        return _bounds(command, target).to_bytes()
    import onnx

    from tvmopt.pipeline.compiler.kernels import layers

    model = onnx.ModelProto.FromString(base64.b64decode(command["model"]))
    if command["kind"] == CHECK:
        return layers.check(model, target, command["layer"])
    return layers.lowered(model, target, command["layer"]).to_bytes()


def _kernel(command: Mapping[str, Any], target: Target) -> KernelObject:
    bound = kernel_for(Workload.from_json(command["workload"]), target)
    try:
        function = bound.build(command["config"])
    except (LookupError, ValueError) as error:
        raise BuildError(f"layer {command['layer']!r}: no kernel could be generated: {error}") from error
    return compiled(bound.symbol, function, target)


def _bounds(command: Mapping[str, Any], target: Target) -> KernelObject:
    from tvmopt.schedules.llvm.memory_bound.index_bounds import check_indices

    attrs, indices = command["attrs"], Tensor.from_json(command["indices"])
    function = check_indices(indices, tuple(attrs["limits"]), bool(attrs["wraps"]), attrs["message"])
    return compiled(command["symbol"], function, target)
