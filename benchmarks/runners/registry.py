"""All runtimes, in the order of tables and plots: the framework, its peers, ours."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.runners import (
    litert,
    mnn,
    ncnn,
    onnxruntime,
    onnxruntime_int8,
    openvino,
    openvino_int8,
    pytorch,
    pytorch_compile,
    tvmopt,
    tvmopt_untuned,
)
from benchmarks.runners.base import Runtime
from pipeline.errors import UsageError, did_you_mean

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
