"""OpenVINO: its performance counters, which name the chosen kernel and its precision.

The counters are averages, in whole microseconds, over all inferences of a compiled model, including the first ones. The
model is therefore compiled `_MODELS` times; each copy is warmed up, and its counters at that point are subtracted from
the later ones. The averages include disturbed runs, so they are multiplied by the ratio of the whole runs' median to
their mean, and only the half of the copies with the least disturbance counts. Truncation to whole microseconds loses
half a microsecond in each inference and another half in the average.

Layers come from the runtime model: each of its nodes lists the nodes of the ONNX model fused into it, by the names that
OpenVINO's importer gave them (the node's, its output's, or the node's with a suffix).
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tvmopt.benchmarks.measurements.layer_profile import KernelTime, LayerProfile
from tvmopt.benchmarks.runtimes.base import Job
from tvmopt.benchmarks.runtimes.openvino.int8 import RunOpenvinoInt8
from tvmopt.benchmarks.runtimes.openvino.runner import RunOpenvino
from tvmopt.benchmarks.runtimes.profiles.layer_cover import LayerGraph, cover_layers, find_layer, read_layers
from tvmopt.benchmarks.runtimes.profiles.turns import MICROSECOND_S, Pace, Turns, take_turns

_MODELS = 6
_WARM_RUNS = 10


class _CountedRun(RunOpenvino):
    """The base class with performance counters."""

    def properties(self, job: Job) -> dict[str, Any]:
        """The base's properties with the counters on."""
        return super().properties(job) | {"PERF_COUNT": True}


class _CountedRunInt8(RunOpenvinoInt8):
    """The base class with performance counters."""

    def properties(self, job: Job) -> dict[str, Any]:
        """The base's properties with the counters on."""
        return super().properties(job) | {"PERF_COUNT": True}


def profile_openvino(job: Job, seconds: float) -> LayerProfile:
    """Profiles OpenVINO on the job's model."""
    return _profile(job, seconds, RunOpenvino(), _CountedRun)


def profile_openvino_int8(job: Job, seconds: float) -> LayerProfile:
    """Profiles OpenVINO on the quantised model in the job's folder."""
    return _profile(job, seconds, RunOpenvinoInt8(), _CountedRunInt8)


def _profile(job: Job, seconds: float, plain: RunOpenvino, counted: type[RunOpenvino]) -> LayerProfile:
    plain.open_library()
    plain.load(job)
    rounds: list[_Round] = []
    for _ in range(_MODELS):
        runner = counted()
        runner.open_library()
        runner.load(job)
        rounds.append(_take_round(plain, runner, seconds / _MODELS))
    nodes = _nodes(runner.compiled)
    layers = map_nodes(nodes, read_layers(job.onnx))
    calm = sorted(rounds, key=lambda taken: taken.turns.disturbance)[: (_MODELS + 1) // 2]
    kernels = [
        KernelTime(
            name,
            nodes[name]["layerType"] if name in nodes else "",
            choice,
            layers.get(name, ()),
            statistics.median(taken.times.get(name, 0.0) for taken in calm),
        )
        for name, choice in rounds[0].choices.items()
    ]
    order = {name: int(node["execOrder"]) for name, node in nodes.items()}
    kernels.sort(key=lambda kernel: order.get(kernel.name, len(order)))
    return LayerProfile.measured(
        kernels,
        statistics.median(taken.turns.profiled_s for taken in calm),
        statistics.median(taken.turns.whole_s for taken in calm),
    )


@dataclass(frozen=True, slots=True)
class _Round:
    """The results of one compiled model.

    Attributes:
        turns: whole runs.
        times: seconds of each kernel in a typical run, by name.
        choices: the implementation and precision of each kernel, by name (``brgconv_avx512_1x1_f32``).
    """

    turns: Turns
    times: Mapping[str, float]
    choices: Mapping[str, str]


def _take_round(plain: RunOpenvino, counted: RunOpenvino, seconds: float) -> _Round:
    """Runs both alternately."""
    for _ in range(_WARM_RUNS):
        counted.run()
    # The counters omit kernels whose average is below a microsecond; only the slow first runs show all kernels.
    choices = {info.node_name: info.exec_type for info in _infos(counted) if info.status.name == "EXECUTED"}
    before = _averages(counted)
    turns = take_turns(plain.run, counted.run, Pace(seconds, min_turns=2))
    after = _averages(counted)
    runs = len(turns.all_profiled)
    times = {}
    for name in choices:
        total = after[name] * (_WARM_RUNS + runs) - before[name] * _WARM_RUNS
        times[name] = (max(0.0, total / runs) + MICROSECOND_S) / turns.disturbance
    return _Round(turns, times, choices)


def _averages(runner: RunOpenvino) -> dict[str, float]:
    return {info.node_name: info.real_time.total_seconds() for info in _infos(runner)}


def _infos(runner: RunOpenvino) -> list[Any]:
    return list(runner.request.profiling_info)


def _nodes(compiled: Any) -> dict[str, dict[str, Any]]:
    """The runtime model's nodes by name, in topological order: runtime info, and the nodes that read their outputs."""
    nodes: dict[str, dict[str, Any]] = {}
    for operation in compiled.get_runtime_model().get_ordered_ops():
        notes = operation.get_rt_info()
        takers = [target.get_node() for output in operation.outputs() for target in output.get_target_inputs()]
        nodes[operation.get_friendly_name()] = {
            **{name: _text(notes[name]) for name in ("layerType", "originalLayersNames", "execOrder")},
            "takers": [taker.get_friendly_name() for taker in takers],
        }
    return nodes


def _text(value: Any) -> str:
    return str(getattr(value, "value", value))


def map_nodes(nodes: Mapping[str, Mapping[str, Any]], source: LayerGraph) -> dict[str, tuple[str, ...]]:
    """The source model's layers that each node of OpenVINO's runtime model computes.

    Args:
        nodes: by name, in topological order: comma-separated ``originalLayersNames``, ``layerType`` and ``takers``, the
            nodes that read its outputs.
        source: the source model's layers.
    """
    claims: list[set[str]] = []
    for node in nodes.values():
        # Constants and results do not run.
        names = () if node["layerType"] in ("Const", "Output", "Input") else node["originalLayersNames"].split(",")
        found = (find_layer(source, name, _plain_names) for name in names)
        claims.append({layer for layer in found if layer is not None})
    layers = dict(zip(nodes, cover_layers(source, claims), strict=True))
    # Layout changes that OpenVINO inserted belong to the layer that reads their output.
    for name in reversed(list(nodes)):
        if not layers[name]:
            layers[name] = next((layers[taker] for taker in nodes[name]["takers"] if layers.get(taker)), ())
    makers = {taker: name for name, node in nodes.items() for taker in node["takers"] if layers[name]}
    return {name: found or layers.get(makers.get(name, ""), ()) for name, found in layers.items()}


def _plain_names(name: str) -> Iterator[str]:
    """Possible forms of `name` before OpenVINO added suffixes."""
    while "/" in name or "." in name:
        cut = max(name.rfind("/"), name.rfind("."))
        name = name[:cut]
        yield name
