"""Compares the suite with results that were committed earlier, to find regressions.

A machine's speed varies from day to day, and affects every runtime. The comparison therefore uses our latency over
onnxruntime's from the same run, in INT8 as in FP32. It counts as slower when the two intervals of that ratio do not
overlap and the ratio grew by more than the same program varies from one start to the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tvmopt.benchmarks.measurements.statistics import ratio_of_medians
from tvmopt.benchmarks.measurements.types import Comparison
from tvmopt.benchmarks.measurements.verdicts import OURS, OURS_INT8
from tvmopt.pipeline.errors import UsageError

YARDSTICK = "onnxruntime"
YARDSTICKS = dict.fromkeys(OURS, YARDSTICK) | dict.fromkeys(OURS_INT8, f"{YARDSTICK}-int8")
"""What each of our runtimes is measured by."""

NOTICEABLE = 1.03
"""Maximum ratio between two starts of one program, due to memory placement and thread timing."""

_MACHINE = ("cpu", "architecture", "cores", "isa")

Key = tuple[str, int, int, str]
"""Network, batch size, threads, runtime."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """A latency over onnxruntime's, with its 95 % confidence interval."""

    value: float
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Change:
    """One of our runtimes on one network, then and now.

    Attributes:
        network, batch, threads, runtime: what was measured.
        then, now: latency over onnxruntime's.
    """

    network: str
    batch: int
    threads: int
    runtime: str
    then: Ratio
    now: Ratio

    @property
    def outcome(self) -> Literal["slower", "faster", "no difference"]:
        """The verdict that the intervals support."""
        if self.now.interval[0] > self.then.interval[1] and self.now.value > self.then.value * NOTICEABLE:
            return "slower"
        if self.now.interval[1] < self.then.interval[0] and self.now.value * NOTICEABLE < self.then.value:
            return "faster"
        return "no difference"


def compare_runs(then: Sequence[Comparison], now: Sequence[Comparison]) -> list[Change]:
    """The changes in everything that both runs measured, in the order of `now`.

    Raises:
        UsageError: when the runs are from different machines, or have nothing in common.
    """
    for name in _MACHINE:
        values = [{str(comparison.environment.get(name)) for comparison in run} for run in (then, now)]
        if values[0] != values[1]:
            before, after = (", ".join(sorted(each)) for each in values)
            raise UsageError(
                f"--against needs results of the same machine: their {name} is {before}, this one's {after}"
            )
    earlier = dict(_ratios(then))
    changes = [Change(*key, earlier[key], ratio) for key, ratio in _ratios(now) if key in earlier]
    if not changes:
        raise UsageError("--against: its results and these have no network, batch size and thread count in common")
    return changes


def regressions(changes: Sequence[Change]) -> list[Change]:
    """The changes that became slower."""
    return [change for change in changes if change.outcome == "slower"]


def render_changes(changes: Sequence[Change], source: str) -> str:
    """The changes in Markdown, slower ones in bold; unchanged ones are only counted."""
    told = [change for change in changes if change.outcome != "no difference"]
    same = len(changes) - len(told)
    head = f"Latency over {YARDSTICK}'s, against {source}: {same} of {len(changes)} without a difference."
    if not told:
        return head + "\n"
    rows = ["| network | batch | threads | runtime | then | now | change | |", "|---|---|---|---|---|---|---|---|"]
    for change in told:
        word = "**slower**" if change.outcome == "slower" else "faster"
        cells = (change.network, str(change.batch), str(change.threads), change.runtime)
        numbers = (_in_words(change.then), _in_words(change.now), f"{change.now.value / change.then.value - 1:+.0%}")
        rows.append(f"| {' | '.join((*cells, *numbers, word))} |")
    return "\n".join([head, "", *rows]) + "\n"


def _ratios(run: Sequence[Comparison]) -> Iterator[tuple[Key, Ratio]]:
    for comparison in run:
        for batch, threads in comparison.cells():
            rows = {row.runtime: row for row in comparison.rows(batch, threads) if row.status == "ok"}
            for name, other in YARDSTICKS.items():
                ours, yardstick = rows.get(name), rows.get(other)
                if ours and yardstick and ours.latency_s and yardstick.latency_s:
                    key = (str(comparison.model["name"]), batch, threads, name)
                    yield key, Ratio(*ratio_of_medians(ours.latency_s, yardstick.latency_s))


def _in_words(ratio: Ratio) -> str:
    low, high = ratio.interval
    return f"{ratio.value:.3f} ({low:.3f}–{high:.3f})"
