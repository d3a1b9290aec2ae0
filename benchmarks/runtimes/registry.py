"""All runtimes, in the order of tables and plots: the framework, its peers, ours."""

from __future__ import annotations

from collections.abc import Sequence

from tvmopt.benchmarks.runtimes.base import Runtime
from tvmopt.benchmarks.runtimes.litert import runner as litert
from tvmopt.benchmarks.runtimes.mnn import runner as mnn
from tvmopt.benchmarks.runtimes.ncnn import runner as ncnn
from tvmopt.benchmarks.runtimes.onnxruntime import int8 as onnxruntime_int8
from tvmopt.benchmarks.runtimes.onnxruntime import runner as onnxruntime
from tvmopt.benchmarks.runtimes.opencv import runner as opencv
from tvmopt.benchmarks.runtimes.openvino import fp16 as openvino_fp16
from tvmopt.benchmarks.runtimes.openvino import int8 as openvino_int8
from tvmopt.benchmarks.runtimes.openvino import runner as openvino
from tvmopt.benchmarks.runtimes.openvino import throughput as openvino_throughput
from tvmopt.benchmarks.runtimes.pytorch import compiled as pytorch_compile
from tvmopt.benchmarks.runtimes.pytorch import runner as pytorch
from tvmopt.benchmarks.runtimes.tvmopt import runner as tvmopt
from tvmopt.benchmarks.runtimes.tvmopt import transfer as tvmopt_transfer
from tvmopt.benchmarks.runtimes.tvmopt import untuned as tvmopt_untuned
from tvmopt.pipeline.errors import UsageError, did_you_mean
from tvmopt.pipeline.importers.registry import find_importer

RUNTIMES: tuple[Runtime, ...] = (
    pytorch.RUNTIME,
    pytorch_compile.RUNTIME,
    onnxruntime.RUNTIME,
    openvino.RUNTIME,
    opencv.RUNTIME,
    ncnn.RUNTIME,
    mnn.RUNTIME,
    litert.RUNTIME,
    openvino_throughput.RUNTIME,
    openvino_fp16.RUNTIME,
    onnxruntime_int8.RUNTIME,
    openvino_int8.RUNTIME,
    tvmopt_untuned.RUNTIME,
    tvmopt_transfer.RUNTIME,
    tvmopt.RUNTIME,
)

_RUNS_EVERY_KIND = "onnxruntime"


def find_runtime(name: str) -> Runtime:
    """The runtime called `name`.

    Raises:
        UsageError: when there is none; suggests the nearest names.
    """
    for runtime in RUNTIMES:
        if runtime.name == name:
            return runtime
    raise UsageError(did_you_mean("runtime", name, (runtime.name for runtime in RUNTIMES)))


def select_runtimes(names: Sequence[str]) -> tuple[Runtime, ...]:
    """The named runtimes in the registry's order; when `names` is empty, all that need not be named.

    Raises:
        UsageError: when one is unknown.
    """
    chosen = {find_runtime(name).name for name in names}
    if not chosen:
        return tuple(runtime for runtime in RUNTIMES if not runtime.only_named)
    return tuple(runtime for runtime in RUNTIMES if runtime.name in chosen)


def peers() -> tuple[str, ...]:
    """Names of the runtimes that tvmopt is compared with, in the registry's order."""
    return tuple(runtime.name for runtime in RUNTIMES if runtime.peer)


def recorded_packages() -> tuple[str, ...]:
    """Every package that some runtime needs, without duplicates; measurement files record their versions."""
    return tuple(dict.fromkeys(package for runtime in RUNTIMES for package in runtime.packages))


def reference_runtimes(kind: str) -> tuple[Runtime, ...]:
    """The runtimes that may compute a model's reference outputs, in order of preference.

    Args:
        kind: the kind of the model's importer.

    Returns:
        The model's original framework, if it is a runtime, then onnxruntime, which runs the ONNX form of every kind.
    """
    original = find_importer(kind).original_runtime
    return tuple(find_runtime(name) for name in (original, _RUNS_EVERY_KIND) if name)
