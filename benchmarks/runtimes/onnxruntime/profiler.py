"""onnxruntime: its profiler's kernel times, from a second session beside the unprofiled one.

Layers come from the optimised graph that the session writes. Its nodes are named after nodes or values of the model
(``relu_1_nchwc``, ``fused fc/Gemm``); `layer_cover` finds the layers fused into them. A layout change inserted by
onnxruntime belongs to the layer that reads its output.

The profile has whole microseconds; `profiles.turns.typical_seconds` combines many runs into finer times. Each kernel's
time includes the profiler's own overhead (it records shapes), which is measured on trivial kernels and subtracted.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tvmopt.benchmarks.measurements.layer_profile import KernelTime, LayerProfile
from tvmopt.benchmarks.runtimes.base import Job
from tvmopt.benchmarks.runtimes.onnxruntime.int8 import RunOnnxruntimeInt8
from tvmopt.benchmarks.runtimes.onnxruntime.runner import RunOnnxruntime
from tvmopt.benchmarks.runtimes.profiles.layer_cover import LayerGraph, cover_layers, find_layer, read_layers
from tvmopt.benchmarks.runtimes.profiles.turns import MICROSECOND_S, Pace, take_turns, typical_seconds
from tvmopt.pipeline.support.npz import save_arrays

if TYPE_CHECKING:
    import onnx

_KERNEL = "_kernel_time"
_LAYOUT = frozenset(("ReorderInput", "ReorderOutput"))
_CALLS = 20
"""Maximum profiled runs in a turn; each adds half a kilobyte per kernel to the profile."""
_MAX_SECONDS = 3.0
_ADDED = re.compile(
    r"^fused |(?:_nchwc|_quant|_quantized|/\w*Fusion\w*/?|_(?:De)?[Qq]uantize(?:Linear)?|_Input|_Output|_\d+)$"
)
_EMPTY_KERNELS, _EMPTY_RUNS = 8, 500

Key = tuple[str, int]
"""A node's name, and the number of earlier nodes of that name in the run."""


def profile_onnxruntime(job: Job, seconds: float) -> LayerProfile:
    """Profiles onnxruntime on the job's model."""
    return _profile(job, seconds, RunOnnxruntime(), _ProfiledRun())


def profile_onnxruntime_int8(job: Job, seconds: float) -> LayerProfile:
    """Profiles onnxruntime on the quantised model in the job's folder."""
    return _profile(job, seconds, RunOnnxruntimeInt8(), _ProfiledRunInt8())


class _ProfiledRun(RunOnnxruntime):
    """The base class with the profiler on; writes the optimised graph to the job's folder."""

    def session_options(self, job: Job) -> Any:
        """The base's options, with profiling and its output files."""
        return _observed(super().session_options(job), job)


class _ProfiledRunInt8(RunOnnxruntimeInt8):
    """The base class with the profiler on; writes the optimised graph to the job's folder."""

    def session_options(self, job: Job) -> Any:
        """The base's options, with profiling and its output files."""
        return _observed(super().session_options(job), job)


def _observed(options: Any, job: Job) -> Any:
    folder = Path(job.folder)
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    options.optimized_model_filepath = str(_optimized_file(job))
    return options


def _optimized_file(job: Job) -> Path:
    return Path(job.folder) / "optimized.onnx"


@dataclass(frozen=True, slots=True)
class KernelTimes:
    """A kernel in the profile.

    Attributes:
        operator, provider: onnxruntime's names.
        seconds: its time in each counted run, in whole microseconds; 0 if it did not run.
    """

    operator: str
    provider: str
    seconds: list[float]


def _profile(job: Job, seconds: float, plain: RunOnnxruntime, profiled: RunOnnxruntime) -> LayerProfile:
    for runner in (plain, profiled):
        runner.open_library()
        runner.load(job)
    turns = take_turns(plain.run, profiled.run, Pace(min(seconds, _MAX_SECONDS), _CALLS))
    kernels = read_kernels(_take_events(profiled), turns.counted)
    layers = map_nodes(_optimized(job), read_layers(job.onnx))
    typical = typical_seconds(np.array([kernel.seconds for kernel in kernels.values()]).T, MICROSECOND_S)
    times = np.maximum(0.0, typical - _empty_kernel_s(job))
    return LayerProfile.measured(
        [
            KernelTime(key[0], kernel.operator, kernel.provider, layers.get(key, ()), float(kernel_s))
            for (key, kernel), kernel_s in zip(kernels.items(), times, strict=True)
        ],
        turns.profiled_s,
        turns.whole_s,
    )


def _take_events(runner: RunOnnxruntime) -> list[Mapping[str, Any]]:
    """Ends profiling and reads the profile."""
    file = Path(runner.end_profiling())
    events: list[Mapping[str, Any]] = json.loads(file.read_text())
    file.unlink()
    return events


def _empty_kernel_s(job: Job) -> float:
    """The profiler's overhead in a kernel's time: the time of a kernel that negates one number."""
    from onnx import TensorProto, helper, save_model

    values = [f"v{index}" for index in range(_EMPTY_KERNELS + 1)]
    nodes = [helper.make_node("Neg", [a], [b], name=b) for a, b in itertools.pairwise(values)]
    first, last = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in (values[0], values[-1]))
    graph = helper.make_graph(nodes, "empty", [first], [last])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    folder = Path(job.folder)
    save_model(model, folder / "empty.onnx")
    save_arrays(folder / "empty.npz", {values[0]: np.ones(1, np.float32)})
    runner = _ProfiledRun()
    runner.open_library()
    empty = replace(job, onnx=str(folder / "empty.onnx"), inputs=str(folder / "empty.npz"))
    runner.load(replace(empty, outputs=(values[-1],), threads=1))
    for _ in range(_EMPTY_RUNS):
        runner.run()
    kernels = read_kernels(_take_events(runner), range(_EMPTY_RUNS))
    times = np.array([kernel.seconds for kernel in kernels.values()]).T
    return float(np.median(typical_seconds(times, MICROSECOND_S)))


def _optimized(job: Job) -> onnx.GraphProto:
    import onnx

    return onnx.load(_optimized_file(job), load_external_data=False).graph


def read_kernels(events: Sequence[Mapping[str, Any]], runs: Sequence[int]) -> dict[Key, KernelTimes]:
    """Kernels in the order of execution, with their times.

    Args:
        events: the profile that onnxruntime wrote.
        runs: indices of the counted runs.
    """
    place = {number: index for index, number in enumerate(runs)}
    kernels: dict[Key, KernelTimes] = {}
    for number, run in enumerate(_runs(events)):
        if number not in place:
            continue
        seen: dict[str, int] = {}
        for event in run:
            name, arguments = str(event["name"]).removesuffix(_KERNEL), event["args"]
            key = (name, seen.get(name, 0))
            seen[name] = key[1] + 1
            new = KernelTimes(str(arguments["op_name"]), str(arguments["provider"]), [0.0] * len(runs))
            kernels.setdefault(key, new).seconds[place[number]] = event["dur"] / 1e6
    return kernels


def _runs(events: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """The kernels' events of each run; the event of a run follows those of its kernels."""
    kernels: list[Mapping[str, Any]] = []
    for event in events:
        if event.get("cat") == "Node" and str(event["name"]).endswith(_KERNEL):
            kernels.append(event)
        elif event.get("name") == "model_run":
            yield sorted(kernels, key=lambda kernel: int(kernel["ts"]))
            kernels = []


def map_nodes(optimized: onnx.GraphProto, source: LayerGraph) -> dict[Key, tuple[str, ...]]:
    """The source model's layers that each node of onnxruntime's optimised graph computes."""
    claims: list[set[str]] = []
    for node in optimized.node:
        names = () if node.op_type in _LAYOUT else (node.name, *filter(None, node.output))
        found = (find_layer(source, name, _plain_names) for name in names)
        claims.append({layer for layer in found if layer is not None})
    covered = _with_neighbours(optimized, cover_layers(source, claims))
    seen: dict[str, int] = {}
    layers: dict[Key, tuple[str, ...]] = {}
    for node, names in zip(optimized.node, covered, strict=True):
        key = (node.name, seen.get(node.name, 0))
        seen[node.name] = key[1] + 1
        layers[key] = names
    return layers


def _plain_names(name: str) -> Iterator[str]:
    """Possible forms of `name` before onnxruntime's optimiser or quantiser added prefixes and suffixes."""
    while True:
        shorter = _ADDED.sub("", name, count=1) or name
        if shorter == name:
            return
        name = shorter
        yield name


def _with_neighbours(graph: onnx.GraphProto, layers: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The same, but a node without layers gets those of its output's consumer, else of its input's producer."""
    result = list(layers)
    takers: dict[str, int] = {}
    for index in reversed(range(len(result))):
        node = graph.node[index]
        if not result[index]:
            result[index] = next((result[takers[value]] for value in node.output if value in takers), ())
        for value in node.input:
            takers[value] = index
    makers: dict[str, int] = {}
    for index, node in enumerate(graph.node):
        if not result[index]:
            result[index] = next((result[makers[value]] for value in node.input if value in makers), ())
        for value in node.output:
            makers[value] = index
    return result
