"""Runs cases in worker processes, so that one that crashes or hangs costs only itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from tvmopt.benchmarks.conformance.cases import Case
from tvmopt.benchmarks.conformance.outcome import Outcome
from tvmopt.pipeline.devices.channel import Channel, WorkerLostError
from tvmopt.pipeline.devices.local import LocalDevice
from tvmopt.pipeline.devices.program import Program

PROGRAMS = ("onnxruntime", "tvmopt")
"""Who runs each case."""

WORKER = Program("tvmopt.benchmarks.conformance.worker")

START_S = 60.0
"""How much longer the first case of a process may take, which loads TVM."""

Results = dict[str, Outcome]


def start_worker() -> Channel:
    """Starts a process that runs cases."""
    return LocalDevice().start(WORKER)


class _Worker:
    """A process that runs cases; a new one follows when it is lost."""

    def __init__(self, start: Callable[[], Channel]) -> None:
        self._start = start
        self._channel: Channel | None = None

    def run(self, case: Case, limit_s: float) -> Results:
        """The outcome of `case` by program."""
        return {program: self._run(case, program, limit_s) for program in PROGRAMS}

    def _run(self, case: Case, program: str, limit_s: float) -> Outcome:
        if self._channel is None:
            self._channel, limit_s = self._start(), limit_s + START_S
        command = {"test": case.test, "operator": case.operator, "form": case.form, "folder": str(case.folder)}
        try:
            return Outcome.from_json(self._channel.ask({**command, "program": program}, limit_s))
        except WorkerLostError as error:
            self.close()
            return Outcome("timeout" if error.status == "timeout" else "crash", str(error))

    def close(self) -> None:
        """Ends the process."""
        if self._channel is not None:
            self._channel.close()
        self._channel = None


def run_cases(
    cases: Sequence[Case], processes: int, limit_s: float, start: Callable[[], Channel] = start_worker
) -> Iterator[tuple[Case, Results]]:
    """Runs `cases` and yields each with its outcomes by program, as they end.

    Args:
        cases: what to run.
        processes: number of worker processes.
        limit_s: how long a program may take for a case, in seconds; longer is a ``timeout``.
        start: starts a process.
    """
    own = threading.local()
    workers: list[_Worker] = []

    def run(case: Case) -> tuple[Case, Results]:
        if not hasattr(own, "worker"):
            own.worker = _Worker(start)
            workers.append(own.worker)
        return case, own.worker.run(case, limit_s)

    pool = ThreadPoolExecutor(processes)
    try:
        for future in as_completed([pool.submit(run, case) for case in cases]):
            yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for worker in workers:
            worker.close()
