"""All runtimes, in the order of tables and plots: the framework, its peers, ours."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tvmopt.benchmarks.runtimes.base import Runtime
from tvmopt.benchmarks.runtimes.executorch import runner as executorch
from tvmopt.benchmarks.runtimes.litert import int8 as litert_int8
from tvmopt.benchmarks.runtimes.litert import runner as litert
from tvmopt.benchmarks.runtimes.mnn import runner as mnn
from tvmopt.benchmarks.runtimes.mxnet import modes as mxnet_modes
from tvmopt.benchmarks.runtimes.mxnet import runner as mxnet
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
from tvmopt.benchmarks.runtimes.tensorflow import runner as tensorflow
from tvmopt.benchmarks.runtimes.tensorflow import xla as tensorflow_xla
from tvmopt.benchmarks.runtimes.tvmopt import called as tvmopt_called
from tvmopt.benchmarks.runtimes.tvmopt import int8 as tvmopt_int8
from tvmopt.benchmarks.runtimes.tvmopt import runner as tvmopt
from tvmopt.benchmarks.runtimes.tvmopt import transfer as tvmopt_transfer
from tvmopt.benchmarks.runtimes.tvmopt import untuned as tvmopt_untuned
from tvmopt.pipeline.errors import UsageError, did_you_mean
from tvmopt.pipeline.importers.registry import find_importer

RUNTIMES: tuple[Runtime, ...] = (
    pytorch.RUNTIME,
    pytorch_compile.RUNTIME,
    tensorflow.RUNTIME,
    tensorflow_xla.RUNTIME,
    mxnet.RUNTIME,
    mxnet_modes.HYBRID,
    mxnet_modes.IMPERATIVE,
    onnxruntime.RUNTIME,
    openvino.RUNTIME,
    opencv.RUNTIME,
    ncnn.RUNTIME,
    mnn.RUNTIME,
    litert.RUNTIME,
    executorch.RUNTIME,
    openvino_throughput.RUNTIME,
    openvino_fp16.RUNTIME,
    onnxruntime_int8.RUNTIME,
    onnxruntime_int8.SATURATING,
    openvino_int8.RUNTIME,
    openvino_int8.SATURATING,
    litert_int8.INT8,
    tvmopt_int8.UNTUNED,
    tvmopt_int8.TRANSFER,
    tvmopt_int8.TUNED,
    tvmopt_untuned.RUNTIME,
    tvmopt_transfer.RUNTIME,
    tvmopt_called.CALLED,
    tvmopt_called.BOUND,
    tvmopt.RUNTIME,
)

ALL = "all"
"""Names all runtimes that need not be named."""

_RUNS_EVERY_KIND = "onnxruntime"
_WITH_STREAMS = re.compile(r"(?P<name>.+)-streams-(?P<streams>[1-9][0-9]{0,3})")


def find_runtime(name: str) -> Runtime:
    """The runtime called `name`.

    Raises:
        UsageError: when there is none; suggests the nearest names.
    """
    runtime = known_runtime(name)
    if runtime is None:
        raise UsageError(did_you_mean("runtime", name, (listed.name for listed in RUNTIMES)))
    return runtime


def known_runtime(name: str) -> Runtime | None:
    """The runtime called `name`, with a number of streams if the name ends so; None when there is none."""
    listed = {runtime.name: runtime for runtime in RUNTIMES}
    several = None if name in listed else _WITH_STREAMS.fullmatch(name)
    if several is None:
        return listed.get(name)
    base = listed.get(several["name"])
    return base.with_streams(int(several["streams"])) if base and base.with_streams else None


def place_of(name: str) -> tuple[int, int]:
    """A key that sorts names of runtimes as the registry does, by streams after that; unknown ones come last."""
    runtime = known_runtime(name)
    if runtime is None:
        return len(RUNTIMES), 0
    base = name.removesuffix(f"-streams-{runtime.streams}")
    return [listed.name for listed in RUNTIMES].index(base), runtime.streams


def select_runtimes(names: Sequence[str], streams: Sequence[int] = ()) -> tuple[Runtime, ...]:
    """The named runtimes in the registry's order; when `names` is empty, all that need not be named.

    Args:
        names: names of runtimes; `ALL` is one for all that need not be named.
        streams: numbers of streams, each at least 1; a runtime that can be set up with streams comes once with each.
            When empty, it comes once with its own choice.

    Raises:
        UsageError: when one is unknown, or none of them can be set up with streams.
    """
    chosen = [find_runtime(name) for name in dict.fromkeys(names) if name != ALL]
    if not names or ALL in names:
        chosen += [runtime for runtime in RUNTIMES if not runtime.only_named]
    if streams and not any(runtime.with_streams for runtime in chosen):
        able = ", ".join(runtime.name for runtime in RUNTIMES if runtime.with_streams)
        raise UsageError(f"streams are for {able}, which is not among the runtimes")
    swept = {
        several.name: several
        for runtime in chosen
        for several in (map(runtime.with_streams, streams) if streams and runtime.with_streams else (runtime,))
    }
    return tuple(swept[name] for name in sorted(swept, key=place_of))


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
