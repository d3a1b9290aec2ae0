"""One runtime in its worker process, from loading to its row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tvmopt.benchmarks.comparison.outputs import output_errors, worst_error
from tvmopt.benchmarks.measurements.options import MeasureOptions
from tvmopt.benchmarks.measurements.statistics import summarize
from tvmopt.benchmarks.measurements.types import Measurement
from tvmopt.benchmarks.runtimes.base import Job, Runtime
from tvmopt.benchmarks.workers.supervisor import WorkerError, WorkerHandle
from tvmopt.pipeline.support.npz import load_arrays
from tvmopt.pipeline.support.numeric_error import NumericError
from tvmopt.pipeline.support.tolerances import BEHIND_INTEGERS, COMPILED, within


@dataclass(slots=True)
class Participant:
    """A runtime that takes part in a cell.

    Attributes:
        runtime: the runtime.
        job: the job that it runs.
        prepare_s: the time to prepare it, if it was prepared.
        options: how to measure latencies.
        quantizes: whether the model itself rounds to integers, so that right outputs differ by whole steps.
        turns: samples of the rounds so far.
        failure: why it dropped out, one line, or empty.
    """

    runtime: Runtime
    job: Job
    prepare_s: float | None
    options: MeasureOptions
    quantizes: bool = False
    turns: list[list[float]] = field(default_factory=list)
    failure: str = ""
    _worker: WorkerHandle | None = None
    _loaded: Mapping[str, Any] = field(default_factory=dict)
    _error: NumericError | None = None
    _wrong: str = ""
    _calls: int = 1
    _call_s: float = 0.0

    @property
    def trouble(self) -> str:
        """Why it dropped out, or how its outputs are wrong, one line; empty when it is well."""
        return self.failure or self._wrong

    @property
    def error(self) -> NumericError | None:
        """The error of its outputs; None before they were compared."""
        return self._error

    @property
    def loose(self) -> bool:
        """Whether it computes in fewer bits than the model says, so that no tolerance judges its outputs."""
        return self.runtime.quantized or self.runtime.half or bool(self._loaded.get("integers"))

    @property
    def settings(self) -> dict[str, str]:
        """How the runtime says that it was set up, and the parameters that are not its defaults."""
        return {**self._loaded.get("settings", {}), **self.job.parameters}

    @property
    def call_s(self) -> float:
        """The time of one call, as the warm-up found it."""
        return self._call_s

    @property
    def pid(self) -> int | None:
        """The worker's process number while it runs."""
        return None if self._worker is None else self._worker.pid

    def start(self, cores: Sequence[int], reference: Sequence[np.ndarray]) -> None:
        """Starts the worker, loads the model, compares its outputs, warms it up and suspends it.

        Args:
            cores: the cores that it is pinned to.
            reference: outputs to compare with, in the model's order.
        """
        self._worker = WorkerHandle(self.runtime.name, cores, self.runtime.variables(self.job.parameters))
        outputs = Path(self.job.folder) / f"outputs-{self.runtime.name}.npz"
        load = {"do": "load", "job": self.job.to_json(), "outputs": str(outputs)}
        reply = self._ask(load, self.options.ready_timeout_s)
        if reply is None:
            return
        self._loaded = reply
        self._compare(list(load_arrays(outputs).values()), reference)
        self._warm_up()

    def take_turn(self) -> None:
        """One burst of timed calls; the worker is suspended before and after."""
        if self._worker is None:
            return
        command, timeout_s = self._next_turn()
        reply = self._ask(command, timeout_s)
        if reply is not None:
            self.turns.append(reply["samples"])
            self._worker.suspend()

    def finish(self, rounds: int) -> Measurement:
        """Ends the worker and returns the row of the first `rounds` rounds."""
        peak = None if self._worker is None else self._worker.peak_memory_bytes()
        self.close()
        runtime = self.runtime
        times = {name: self._loaded.get(name) for name in ("import_s", "load_s", "first_run_s")}
        return Measurement(
            runtime.name,
            runtime.variant,
            self.job.batch,
            self.job.threads,
            status="failed" if self.failure else "wrong" if self._wrong else "ok",
            message=self.failure or self._wrong,
            latency_s=None if self.failure else summarize(self.turns[:rounds]),
            prepare_s=self.prepare_s,
            peak_memory_bytes=peak,
            output_error=self._error,
            settings=self.settings,
            **times,
        )

    def close(self) -> None:
        """Ends the worker if it is running."""
        if self._worker is not None:
            self._worker.kill()
            self._worker = None

    def _warm_up(self) -> None:
        options = self.options
        command = {"do": "warm", "seconds": options.warmup_s, "calls": options.warmup_calls}
        timeout_s = options.answer_timeout_s + 2 * options.warmup_s
        reply = self._ask(command, timeout_s + 20 * options.warmup_calls * self._loaded["first_run_s"])
        if reply is not None and self._worker is not None:
            self._worker.suspend()
            self._call_s = reply["call_s"]
            self._calls = min(options.max_calls, max(1, round(options.turn_s / self._call_s)))

    def _next_turn(self) -> tuple[dict[str, Any], float]:
        """The command of the next turn, and the time that it may take."""
        options = self.options
        command = {"do": "turn", "untimed": options.untimed_calls, "clock": options.clock}
        if options.method == "dli":
            calls = options.iterations_in(len(self.turns))
            # A slower phase of the machine must not end the turn: every runtime makes the same number of calls.
            timeout_s = options.answer_timeout_s + 20 * (calls + options.untimed_calls) * self._call_s
            return command | {"calls": calls, "limit_s": None}, timeout_s
        limit_s = 4 * options.turn_s + 2 * self._call_s
        foreseen_s = limit_s + (options.untimed_calls + 1) * self._call_s
        return command | {"calls": self._calls, "limit_s": limit_s}, options.answer_timeout_s + 2 * foreseen_s

    def _compare(self, outputs: Sequence[np.ndarray], reference: Sequence[np.ndarray]) -> None:
        try:
            errors = output_errors(reference, outputs)
        except ValueError as error:
            self._wrong = f"wrong outputs: {error}"
            return
        self._error = worst_error(errors)
        allowed = max(COMPILED.of(array.dtype) for array in reference)
        allowed = max(allowed, BEHIND_INTEGERS) if self.quantizes else allowed
        wrong = [error for error in errors if not within(error, allowed)]
        if wrong and not self.loose:
            what = "" if self.quantizes else " for FP32"
            self._wrong = f"wrong outputs: relative error {worst_error(wrong).relative:.2g}, above {allowed:g}{what}"

    def _ask(self, command: dict[str, Any], timeout_s: float) -> dict[str, Any] | None:
        """The worker's reply; without one, notes the reason in `failure` and ends the worker."""
        if self._worker is None:
            return None
        try:
            return self._worker.ask(command, timeout_s)
        except WorkerError as error:
            self.failure = str(error)
            self.close()
            return None
