"""The suite against results that were committed earlier: what became slower.

A machine is faster on one day than on another, and so is every runtime on it. What is compared is therefore our latency
over onnxruntime's of the same run, and it counts as slower when the two intervals of that ratio lie apart, by more than
what the same program may differ by from one start to the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tvmopt.benchmarks.measurements.statistics import ratio_of_medians
from tvmopt.benchmarks.measurements.types import Comparison
from tvmopt.benchmarks.measurements.verdicts import OURS
from tvmopt.pipeline.errors import UsageError

YARDSTICK = "onnxruntime"
NOTICEABLE = 1.03
"""Two starts of one program differ by up to so much: where its memory comes to lie, how its threads meet."""

_MACHINE = ("cpu", "architecture", "cores", "isa")

Key = tuple[str, int, int, str]
"""Network, batch size, threads, runtime."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """A latency over onnxruntime's, and where it lies with 95 % confidence."""

    value: float
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Change:
    """One of our runtimes on one network, then and now.

    Attributes:
        network, batch, threads, runtime: which.
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
        """What the intervals allow to say."""
        if self.now.interval[0] > self.then.interval[1] and self.now.value > self.then.value * NOTICEABLE:
            return "slower"
        if self.now.interval[1] < self.then.interval[0] and self.now.value * NOTICEABLE < self.then.value:
            return "faster"
        return "no difference"


def compare_runs(then: Sequence[Comparison], now: Sequence[Comparison]) -> list[Change]:
    """What both runs measured, in the order of `now`.

    Raises:
        UsageError: when the runs are of unlike machines, or have nothing in common.
    """
    for name in _MACHINE:
        values = [{str(comparison.environment.get(name)) for comparison in run} for run in (then, now)]
        if values[0] != values[1]:
            before, after = (", ".join(sorted(each)) for each in values)
            raise UsageError(
                f"--against is for results of the same machine: their {name} is {before}, this one's {after}"
            )
    earlier = dict(_ratios(then))
    changes = [Change(*key, earlier[key], ratio) for key, ratio in _ratios(now) if key in earlier]
    if not changes:
        raise UsageError("--against: its results and these have no network, batch size and thread count in common")
    return changes


def regressions(changes: Sequence[Change]) -> list[Change]:
    """Those that became slower."""
    return [change for change in changes if change.outcome == "slower"]


def render_changes(changes: Sequence[Change], source: str) -> str:
    """What changed, in Markdown; slower ones are bold, and the rest that did not change is only counted."""
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
            yardstick = rows.get(YARDSTICK)
            if yardstick is None or yardstick.latency_s is None:
                continue
            for name in OURS:
                latency = rows[name].latency_s if name in rows else None
                if latency is not None:
                    key = (str(comparison.model["name"]), batch, threads, name)
                    yield key, Ratio(*ratio_of_medians(latency, yardstick.latency_s))


def _in_words(ratio: Ratio) -> str:
    low, high = ratio.interval
    return f"{ratio.value:.3f} ({low:.3f}–{high:.3f})"
