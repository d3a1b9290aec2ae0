"""PyTorch, eager: the functions that torch.profiler records, each in the module that calls it.

Hooks open a profiler range for every module. The profiler's overhead for each inner function call is part of the outer
function's time; the overhead of one event is measured on a tiny function, with and without the profiler, and subtracted
for each inner call. The operators are all functions, those inside others too, each without the time of those inside it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from tvmopt.benchmarks.measurements.layer_profile import KernelTime, LayerProfile, OperatorTime, longest_first
from tvmopt.benchmarks.runtimes.base import Job
from tvmopt.benchmarks.runtimes.profiles.layer_cover import read_layers
from tvmopt.benchmarks.runtimes.profiles.turns import Pace, take_turns, typical_seconds
from tvmopt.benchmarks.runtimes.pytorch.kernel_names import base_name
from tvmopt.benchmarks.runtimes.pytorch.operators import Operation, map_operations
from tvmopt.benchmarks.runtimes.pytorch.runner import RunPytorch

_RANGE = "module:"
_CALLS = 10
"""Maximum profiled runs in a turn; each event takes a hundred microseconds to read."""
_PROBES = 300


def profile_pytorch(job: Job, seconds: float) -> LayerProfile:
    """Profiles the job's network."""
    runner = RunPytorch()
    runner.open_library()
    runner.load(job)
    seen = _Seen()
    pace = Pace(seconds, max_calls=_CALLS, min_turns=3)
    turns = take_turns(runner.run, runner.run, pace, burst=lambda: _watched(runner.module, seen))
    runs = [seen.runs[number] for number in turns.counted]
    operations = [operation for operation, _, _ in runs[0]]
    same = [run for run in runs if [operation for operation, _, _ in run] == operations]
    event_s = _event_s()
    times = np.array([[max(0.0, took - inner * event_s) for _, took, inner in run] for run in same])
    scoped = _with_modules(operations, runner.module)
    layers = map_operations(scoped, read_layers(job.onnx))
    kernels = [
        KernelTime(operation.module or "forward", operation.function, "", covered, float(kernel_s))
        for operation, covered, kernel_s in zip(scoped, layers, typical_seconds(times), strict=True)
    ]
    inner = [seen.inner[number] for number in turns.counted]
    return LayerProfile.measured(kernels, turns.profiled_s, turns.whole_s, _operators(inner, event_s))


def _operators(runs: Sequence[Sequence[_Call]], event_s: float) -> tuple[OperatorTime, ...]:
    """All functions by name, without the time of those inside them; calls are those of the first run."""
    calls = Counter(call.function for call in runs[0])
    sums = [dict.fromkeys(calls, 0.0) for _ in runs]
    for run, totals in zip(runs, sums, strict=True):
        for call in run:
            if call.function in totals:
                totals[call.function] += max(0.0, call.own_s - call.inside * event_s)
    times = typical_seconds(np.array([list(totals.values()) for totals in sums]))
    return longest_first(
        OperatorTime(name, calls[name], float(seconds)) for name, seconds in zip(calls, times, strict=True)
    )


class _Call(NamedTuple):
    """A call of a function: its time without that of the functions directly inside it, and how many these are."""

    function: str
    own_s: float
    inside: int


class _Seen:
    """The profiler's record of each run.

    Attributes:
        runs: operations with their seconds and the number of events inside each.
        inner: all calls, those inside operations too.
    """

    def __init__(self) -> None:
        self.runs: list[list[tuple[Operation, float, int]]] = []
        self.inner: list[list[_Call]] = []


@contextmanager
def _watched(module: Any, seen: _Seen) -> Iterator[None]:
    """Profiles the runs within the context, and adds them to `seen`."""
    from torch.profiler import ProfilerActivity, profile

    handles = _open_ranges(module)
    try:
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            yield
    finally:
        for handle in handles:
            handle.remove()
    for event in profiler.events():
        if event.name == _RANGE and event.cpu_parent is None:
            seen.runs.append(list(_operations(event, "")))
            seen.inner.append(list(_calls(event)))


def _open_ranges(module: Any) -> list[Any]:
    """Adds hooks that show every module's call as a profiler range; returns the hooks."""
    from torch.profiler import record_function

    handles: list[Any] = []
    for path, child in module.named_modules():
        ranges: list[Any] = []

        def enter(_: Any, __: Any, path: str = path, ranges: list[Any] = ranges) -> None:
            ranges.append(record_function(_RANGE + path))
            ranges[-1].__enter__()

        def leave(_: Any, __: Any, ___: Any, ranges: list[Any] = ranges) -> None:
            ranges.pop().__exit__(None, None, None)

        handles += [child.register_forward_pre_hook(enter), child.register_forward_hook(leave)]
    return handles


def _operations(event: Any, module: str) -> Iterator[tuple[Operation, float, int]]:
    """The outermost functions inside a module's range, in order."""
    for child in sorted(event.cpu_children, key=lambda inner: inner.time_range.start):
        if child.name.startswith(_RANGE):
            yield from _operations(child, child.name.removeprefix(_RANGE))
        else:
            yield Operation(child.name, module), child.time_range.elapsed_us() / 1e6, _count_inside(child)


def _calls(event: Any) -> Iterator[_Call]:
    """All functions inside a range, at any depth."""
    for child in event.cpu_children:
        if not child.name.startswith(_RANGE):
            own_us = child.time_range.elapsed_us() - sum(inner.time_range.elapsed_us() for inner in child.cpu_children)
            yield _Call(child.name, own_us / 1e6, len(child.cpu_children))
        yield from _calls(child)


def _count_inside(event: Any) -> int:
    return sum(1 + _count_inside(child) for child in event.cpu_children)


def _event_s() -> float:
    """The profiler's overhead for one event: that of a function with many small events, over their number."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    with torch.inference_mode():
        vector, weight = torch.ones(1, 4), torch.ones(4, 4)

        def probe() -> float:
            start = time.perf_counter_ns()
            torch.nn.functional.linear(vector, weight)
            return (time.perf_counter_ns() - start) / 1e9

        plain = np.median([probe() for _ in range(_PROBES)])
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            watched = np.median([probe() for _ in range(_PROBES)])
    return max(0.0, float(watched - plain) * _PROBES / len(profiler.events()))


def _with_modules(operations: list[Operation], module: Any) -> list[Operation]:
    """The same, with modules from the graph of an exported program, which calls no modules itself."""
    graph = getattr(module, "graph", None)
    if graph is None or any(operation.module for operation in operations):
        return operations
    nodes = [(_function(node), _scope(node.meta)) for node in graph.nodes if node.op == "call_function"]
    result, place = [], 0
    for operation in operations:
        function, scope = base_name(operation.function), ""
        rest = [name for name, _ in nodes[place:]]
        if function in rest:
            place += rest.index(function) + 1
            scope = nodes[place - 1][1]
        result.append(Operation(operation.function, scope))
    return result


def _function(node: Any) -> str:
    """``aten.conv2d.default`` → ``conv``."""
    return base_name(str(node.target).removeprefix("aten.").partition(".")[0])


def _scope(meta: Mapping[str, Any]) -> str:
    """The innermost module's path."""
    paths = [path for path, _ in meta.get("nn_module_stack", {}).values()]
    return str(paths[-1]).removeprefix("L['self']").lstrip(".") if paths else ""
