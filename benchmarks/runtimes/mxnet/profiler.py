"""MXNet: the operators that its own profiler counts, summed over many runs; it does not say which layers they compute.

The profiler's sums include disturbed runs, so they are divided by the ratio of the runs' mean to their median.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tvmopt.benchmarks.measurements.layer_profile import KernelTime, LayerProfile, OperatorTime, longest_first
from tvmopt.benchmarks.runtimes.base import Job
from tvmopt.benchmarks.runtimes.mxnet.runner import RunMxnet
from tvmopt.benchmarks.runtimes.profiles.turns import Pace, take_turns

_WAITING = ("WaitForVar", "DeleteVariable", "DeleteOperator")
"""What the engine lists among the operators, but computes nothing."""


def profile_mxnet(job: Job, seconds: float) -> LayerProfile:
    """Profiles the job's network: kernels without layers, one for each operator.

    Raises:
        RuntimeError, ValueError: MXNet cannot run the network; one line.
    """
    runner = RunMxnet()
    runner.open_library()
    runner.load(job)
    seen = _Seen(runner.library, Path(job.folder) / "mxnet-profile.json")
    turns = take_turns(runner.run, runner.run, Pace(seconds), burst=seen.watched)
    runs = len(turns.all_profiled)
    operators = longest_first(
        OperatorTime(name, max(1, round(seen.calls[name] / runs)), seen.seconds[name] / runs / turns.disturbance)
        for name in seen.calls
    )
    kernels = [KernelTime(operator.name, operator.name, "", (), operator.seconds) for operator in operators]
    return LayerProfile.measured(kernels, turns.profiled_s, turns.whole_s, operators)


class _Seen:
    """What the profiler counted so far.

    Attributes:
        calls: of each operator.
        seconds: of all its calls.
    """

    def __init__(self, mxnet: Any, path: Path) -> None:
        self.calls: Counter[str] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._mxnet = mxnet
        # MXNet wants a name, though nothing is dumped to it.
        mxnet.profiler.set_config(
            profile_symbolic=True, profile_imperative=True, aggregate_stats=True, filename=str(path)
        )

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Counts the operators of the runs within the context."""
        profiler = self._mxnet.profiler
        profiler.set_state("run")
        try:
            yield
        finally:
            self._mxnet.nd.waitall()
            profiler.set_state("stop")
        for name, times in json.loads(profiler.dumps(reset=True, format="json"))["Time"].get("operator", {}).items():
            if name not in _WAITING:
                self.calls[name] += int(times["Count"])
                self.seconds[name] += float(times["Total"]) / 1e3
