"""TensorFlow: the nodes that its own profiler records, each with the median over many runs of its time.

The nodes are those of TensorFlow's optimised graph, fused and renamed; which layers of the import they compute, the
profiler does not say.
"""

from __future__ import annotations

import re
import statistics
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tvmopt.benchmarks.measurements.layer_profile import KernelTime, LayerProfile, OperatorTime, longest_first
from tvmopt.benchmarks.runtimes.base import Job
from tvmopt.benchmarks.runtimes.profiles.turns import Pace, take_turns
from tvmopt.benchmarks.runtimes.tensorflow.runner import RunTensorflow

_NODE = re.compile(r"(?P<node>[^:\s]+):(?P<kind>\w+)")
"""How events of nodes are called, after the node and its kind; others have spaces or two colons."""

_PICOSECOND_S = 1e-12

Seen = defaultdict[tuple[str, str], list[float]]
"""By node and kind: the seconds of each call, without those of nodes inside it."""


def profile_tensorflow(job: Job, seconds: float) -> LayerProfile:
    """Profiles the job's network: a kernel for each node, without layers.

    Raises:
        RuntimeError, ValueError: TensorFlow cannot run the model; one line.
    """
    runner = RunTensorflow()
    runner.open_library()
    runner.load(job)
    seen: Seen = defaultdict(list)
    folder = Path(job.folder)
    turns = take_turns(runner.run, runner.run, Pace(seconds), burst=lambda: _watched(runner.library, folder, seen))
    runs = len(turns.all_profiled)
    kernels = [
        KernelTime(node, kind, "", (), statistics.median(times) * len(times) / runs)
        for (node, kind), times in seen.items()
    ]
    calls: Counter[str] = Counter()
    for (_, kind), times in seen.items():
        calls[kind] += len(times)
    operators = longest_first(
        OperatorTime(kind, max(1, round(count / runs)), sum(one.seconds for one in kernels if one.kind == kind))
        for kind, count in calls.items()
    )
    return LayerProfile.measured(kernels, turns.profiled_s, turns.whole_s, operators)


@contextmanager
def _watched(tensorflow: Any, folder: Path, seen: Seen) -> Iterator[None]:
    """Records the nodes of the runs within the context."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    profiler = tensorflow.profiler.experimental
    with tempfile.TemporaryDirectory(dir=folder) as name:
        profiler.start(name, profiler.ProfilerOptions(host_tracer_level=2, python_tracer_level=0))
        try:
            yield
        finally:
            profiler.stop()
        for path in Path(name).rglob("*.xplane.pb"):
            for plane in xplane_pb2.XSpace.FromString(path.read_bytes()).planes:
                names = {key: entry.name for key, entry in plane.event_metadata.items()}
                for line in plane.lines:
                    events = ((names[e.metadata_id], e.offset_ps, e.duration_ps) for e in line.events)
                    for node, kind, own_ps in own_times(events):
                        seen[node, kind].append(own_ps * _PICOSECOND_S)


def own_times(events: Iterable[tuple[str, int, int]]) -> Iterator[tuple[str, str, int]]:
    """The nodes among the events of a thread: name, kind, and the time without that of nodes inside it.

    Args:
        events: name, begin and duration of each, in picoseconds; of two, one holds the other, or they are apart.
    """
    found = [(match, begin, length) for name, begin, length in events if (match := _NODE.fullmatch(name))]
    found.sort(key=lambda event: (event[1], -event[2]))
    own = [length for _, _, length in found]
    around: list[int] = []
    for place, (_, begin, length) in enumerate(found):
        while around and begin >= found[around[-1]][1] + found[around[-1]][2]:
            around.pop()
        if around:
            own[around[-1]] -= length
        around.append(place)
    for (match, _, _), own_ps in zip(found, own, strict=True):
        yield match["node"], match["kind"], max(0, own_ps)
