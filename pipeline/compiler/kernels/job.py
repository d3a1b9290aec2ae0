"""What is made for a model: kernels of templates, checks of indices, layers that TVM lowers, and their checks.

A job's key covers everything that its result depends on: what to compute, the target, the versions of TVM and ONNX
Runtime, and our own code.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tvmopt.pipeline.support.cache import digest, environment
from tvmopt.schedules.registry import BoundKernel
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Attr, Tensor

if TYPE_CHECKING:
    import onnx

KERNEL, BOUNDS, LAYER, CHECK = "kernel", "bounds", "layer", "check"
"""The kinds of jobs, which are also kinds of entries in the cache."""


@dataclass(frozen=True, slots=True)
class Job:
    """Something to make.

    Attributes:
        kind: one of the kinds above.
        key: what the result is kept under.
        command: what a worker is told, as JSON.
        layer: the first of the model's layers that ask for it, for errors.
    """

    kind: str
    key: str
    command: Mapping[str, Any]
    layer: str


def kernel_job(kernel: BoundKernel, config: Config, layer: str) -> Job:
    """Generates the kernel of a template under `config`; the result is a `KernelObject` as bytes."""
    command = {
        "kind": KERNEL,
        "workload": kernel.workload.to_json(),
        "config": dict(config),
        "target": kernel.target.to_json(),
    }
    facts = (kernel.template.name, kernel.template.version, kernel.symbol)
    return Job(KERNEL, digest(environment(), facts, command), command, layer)


def bounds_job(symbol: str, indices: Tensor, attrs: Mapping[str, Attr], target: Target, layer: str) -> Job:
    """Generates the kernel that checks indices; the result is a `KernelObject` as bytes.

    Args:
        symbol: the kernel's.
        indices: what it checks.
        attrs: those of the node: ``limits``, ``wraps`` and ``message``.
        target: what it is for.
        layer: whose indices they are.
    """
    command = {
        "kind": BOUNDS,
        "symbol": symbol,
        "indices": indices.to_json(),
        "attrs": dict(attrs),
        "target": target.to_json(),
    }
    return Job(BOUNDS, digest(environment(), command), command, layer)


def layer_job(model: onnx.ModelProto, target: Target, layer: str) -> Job:
    """Lowers a model of one layer with TVM's importer; the result is a `LayerPart` as bytes."""
    return _model_job(LAYER, model, target, layer, b"")


def check_job(model: onnx.ModelProto, target: Target, signature: bytes, layer: str) -> Job:
    """Checks that TVM's importer lowers a model of one layer correctly; the result says whether it could be run.

    Args:
        model: the layer.
        target: what checks are compiled for: this machine, whatever the model is compiled for.
        signature: layers with the same signature count as the same.
        layer: its name.
    """
    return _model_job(CHECK, model, target, layer, signature)


def _model_job(kind: str, model: onnx.ModelProto, target: Target, layer: str, signature: bytes) -> Job:
    content = model.SerializeToString(deterministic=True)
    command = {"kind": kind, "model": base64.b64encode(content).decode(), "target": target.to_json()}
    what = hashlib.sha256(signature or content).hexdigest()
    return Job(kind, digest(environment(), kind, what, target.to_json()), command, layer)
