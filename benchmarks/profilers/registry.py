"""Which runtimes can be profiled, and how."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.layers import LayerProfile
from benchmarks.profilers.onnxruntime import profile_onnxruntime, profile_onnxruntime_int8
from benchmarks.profilers.openvino import profile_openvino, profile_openvino_int8
from benchmarks.profilers.pytorch import profile_pytorch
from benchmarks.profilers.tvmopt import profile_tvmopt
from benchmarks.runners.base import Job

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
