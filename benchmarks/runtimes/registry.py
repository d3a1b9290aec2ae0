"""All runtimes, in the order of tables and plots: the framework, its peers, ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tvmopt.benchmarks.measurements.layer_profile import LayerProfile
from tvmopt.benchmarks.runtimes.base import Job, Runtime
from tvmopt.benchmarks.runtimes.litert import runner as litert
from tvmopt.benchmarks.runtimes.mnn import runner as mnn
from tvmopt.benchmarks.runtimes.ncnn import runner as ncnn
from tvmopt.benchmarks.runtimes.onnxruntime import int8 as onnxruntime_int8
from tvmopt.benchmarks.runtimes.onnxruntime import runner as onnxruntime
from tvmopt.benchmarks.runtimes.onnxruntime.profiler import profile_onnxruntime, profile_onnxruntime_int8
from tvmopt.benchmarks.runtimes.openvino import int8 as openvino_int8
from tvmopt.benchmarks.runtimes.openvino import runner as openvino
from tvmopt.benchmarks.runtimes.openvino.profiler import profile_openvino, profile_openvino_int8
from tvmopt.benchmarks.runtimes.pytorch import compiled as pytorch_compile
from tvmopt.benchmarks.runtimes.pytorch import runner as pytorch
from tvmopt.benchmarks.runtimes.pytorch.profiler import profile_pytorch
from tvmopt.benchmarks.runtimes.tvmopt import runner as tvmopt
from tvmopt.benchmarks.runtimes.tvmopt import untuned as tvmopt_untuned
from tvmopt.benchmarks.runtimes.tvmopt.profiler import profile_tvmopt
from tvmopt.pipeline.errors import UsageError, did_you_mean

RUNTIMES: tuple[Runtime, ...] = (
    pytorch.RUNTIME,
    pytorch_compile.RUNTIME,
    onnxruntime.RUNTIME,
    openvino.RUNTIME,
    ncnn.RUNTIME,
    mnn.RUNTIME,
    litert.RUNTIME,
    onnxruntime_int8.RUNTIME,
    openvino_int8.RUNTIME,
    tvmopt_untuned.RUNTIME,
    tvmopt.RUNTIME,
)

Profiler = Callable[[Job, float], LayerProfile]
"""Loads the job's model and profiles it for about so many seconds."""

PROFILERS: Mapping[str, Profiler] = {
    "pytorch": profile_pytorch,
    "onnxruntime": profile_onnxruntime,
    "openvino": profile_openvino,
    "onnxruntime-int8": profile_onnxruntime_int8,
    "openvino-int8": profile_openvino_int8,
    "tvmopt-untuned": profile_tvmopt,
    "tvmopt": profile_tvmopt,
}

UNPROFILED: Mapping[str, str] = {
    "pytorch-compile": "Inductor's frozen kernels do not say which layers they stand for; profile pytorch instead",
    "ncnn": "the wheel's Python interface gives no times of layers",
    "mnn": "its Module interface gives no times of operators",
    "litert": "the interpreter's Python interface gives no times of operators",
}
"""Runtimes that cannot be profiled, and why."""


def find_runtime(name: str) -> Runtime:
    """The runtime called `name`.

    Raises:
        UsageError: when there is none; offers the nearest names.
    """
    for runtime in RUNTIMES:
        if runtime.name == name:
            return runtime
    raise UsageError(did_you_mean("runtime", name, (runtime.name for runtime in RUNTIMES)))


def select_runtimes(names: Sequence[str]) -> tuple[Runtime, ...]:
    """The named runtimes in the registry's order, all of them when `names` is empty.

    Raises:
        UsageError: when one is unknown.
    """
    chosen = {find_runtime(name).name for name in names}
    return tuple(runtime for runtime in RUNTIMES if not chosen or runtime.name in chosen)
