"""Searches the best parameters of one runtime in a cell, before it is compared with the others.

One choice after the other, each value is measured in turn with the best parameters until then, both in processes of
their own, and taken when it is faster by more than the noise: the interval of the ratio of medians is below 1, and the
gain above a threshold. In the end what was found is started anew and measured with the defaults once more, for the best
of several noisy measurements looks better than it is; the gain that reports state is that of this last measurement, and
without one the defaults stay. Every runtime gets the same time for its turns. A value whose outputs are wrong is never
taken.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from tvmopt.benchmarks.comparison.admission import Cell, admit
from tvmopt.benchmarks.comparison.participant import Participant
from tvmopt.benchmarks.measurements.options import MeasureOptions, SearchOptions
from tvmopt.benchmarks.measurements.search import Search, Trial
from tvmopt.benchmarks.measurements.statistics import ratio_of_medians, summarize
from tvmopt.benchmarks.runtimes.base import THREADS, Runtime, cores_of
from tvmopt.pipeline.support.progress import Listener
from tvmopt.pipeline.support.tolerances import COMPILED

_LOOSE = 1.5
"""How much larger the error of a runtime in INT8 or 16 bits may be than by its defaults."""

_WARMUP_S, _WARMUP_CALLS = 0.2, 3


def search_parameters(cell: Cell, runtime: Runtime, listener: Listener) -> Search | None:
    """The best parameters of `runtime` in `cell`.

    Args:
        cell: its `search` says how.
        runtime: one of the cell's.
        listener: may request a stop, which takes effect after the current turn.

    Returns:
        None when there is nothing to choose, or the runtime does not run with its defaults: its row says why.

    Raises:
        CancelledError: the listener requested a stop.
        KeyboardInterrupt: on Ctrl-C.
    """
    assert cell.search is not None
    threads = len(cell.cores)
    values = list(_values(runtime, threads))
    if not values:
        return None
    search = _Search(cell, runtime, listener, cell.search)
    with ExitStack() as stack:
        return search.run(values, stack)


def _values(runtime: Runtime, threads: int) -> Iterator[tuple[str, str]]:
    """Every parameter and value to try, in order."""
    for choice in (THREADS, *runtime.choices):
        for value in choice.alternatives(threads):
            if (choice.name, value) != (THREADS.name, str(threads)):
                yield choice.name, value


@dataclass(slots=True)
class _Search:
    """A search under way; `best` are the parameters that won so far."""

    cell: Cell
    runtime: Runtime
    listener: Listener
    options: SearchOptions
    best: dict[str, str] = field(default_factory=dict)
    trials: list[Trial] = field(default_factory=list)
    rounds: int = 0
    largest_error: float = 0.0

    def run(self, values: list[tuple[str, str]], stack: ExitStack) -> Search | None:
        """Tries `values`; every process that it starts ends with `stack`."""
        began_s = time.monotonic()
        holder = self._start({}, stack)
        if isinstance(holder, str):
            return None
        self.rounds = self.options.rounds(len(values) + 1, holder.call_s)
        self.largest_error = _LOOSE * (holder.error.relative if holder.error else 0.0)
        for parameter, value in values:
            holder = self._try(parameter, value, holder, stack)
            if holder.failure:  # the best until then broke down later: the defaults stay
                seconds = time.monotonic() - began_s
                return Search({}, None, None, False, tuple(self.trials), self.rounds, seconds)
        holder.close()
        met = self._confirm(stack) if self.best else ""
        ratio, interval = (None, None) if isinstance(met, str) else met
        confirmed = not isinstance(met, str) and self._gains(*met)
        return Search(
            self.best if confirmed else {},
            ratio,
            interval,
            confirmed,
            tuple(self.trials),
            self.rounds,
            time.monotonic() - began_s,
            met if isinstance(met, str) else "",
        )

    def _try(self, parameter: str, value: str, holder: Participant, stack: ExitStack) -> Participant:
        """Tries one value against `holder`, which has the best parameters; returns who has them now."""
        wanted = self.best | {parameter: value}
        challenger = self._start(wanted, stack)
        if isinstance(challenger, str):
            self.trials.append(Trial(parameter, value, "failed", message=challenger))
            return holder
        met = self._meet(challenger, holder)
        if isinstance(met, str):
            message = f"the best so far broke down: {met}" if holder.failure else met
            self.trials.append(Trial(parameter, value, "failed", message=message))
            challenger.close()
            return holder
        ratio, interval = met
        taken = self._gains(ratio, interval)
        self.trials.append(Trial(parameter, value, "taken" if taken else "no gain", ratio, interval))
        (holder if taken else challenger).close()
        if not taken:
            return holder
        self.best = wanted
        return challenger

    def _confirm(self, stack: ExitStack) -> tuple[float, tuple[float, float]] | str:
        """Measures the best and the defaults in new processes: the ratio and its interval, or why one failed."""
        found = self._start(self.best, stack)
        if isinstance(found, str):
            return found
        plain = self._start({}, stack)
        return f"by default: {plain}" if isinstance(plain, str) else self._meet(found, plain)

    def _gains(self, ratio: float, interval: tuple[float, float]) -> bool:
        return interval[1] < 1.0 and ratio < 1.0 - self.options.least_gain

    def _start(self, parameters: Mapping[str, str], stack: ExitStack) -> Participant | str:
        """The runtime with `parameters`, loaded and warm; or why it does not run, or not rightly."""
        self.listener.check()
        entry = admit(self.cell, self.runtime, parameters)
        if not isinstance(entry, Participant):
            return entry.message
        stack.callback(entry.close)
        entry.options = self._measuring()
        entry.start(cores_of(self.cell.cores, parameters), self.cell.subject.reference_outputs)
        trouble = entry.trouble or self._too_far(entry)
        if trouble:
            entry.close()
        return trouble or entry

    def _too_far(self, participant: Participant) -> str:
        """A line when outputs that no tolerance judges are worse than by default."""
        error, loose = participant.error, participant.loose
        reference = self.cell.subject.reference_outputs
        allowed = max(self.largest_error, *(COMPILED.of(array.dtype) for array in reference))
        if not loose or not participant.job.parameters or error is None or error.relative <= allowed:
            return ""
        return f"wrong outputs: relative error {error.relative:.2g}, above {allowed:g}"

    def _measuring(self) -> MeasureOptions:
        """How turns are measured here: the cell's way, but shorter, and never a fixed number of requests."""
        options = self.cell.options
        return replace(
            options,
            method="turns",
            turn_s=min(options.turn_s, self.options.turn_s),
            untimed_calls=self.options.untimed_calls,
            warmup_s=min(options.warmup_s, _WARMUP_S),
            warmup_calls=min(options.warmup_calls, _WARMUP_CALLS),
        )

    def _meet(self, one: Participant, other: Participant) -> tuple[float, tuple[float, float]] | str:
        """The first's median latency over the second's, measured in turn, and its interval; or why one failed."""
        for participant in (one, other):
            participant.turns.clear()
        for _ in range(self.rounds):
            for participant in (one, other):
                participant.take_turn()
                if participant.failure:
                    return participant.failure
                self.listener.check()
        return ratio_of_medians(summarize(one.turns), summarize(other.turns))
