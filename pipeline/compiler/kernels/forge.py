"""Makes what a model needs: looks it up in the cache, and has the rest made by a worker program on all cores."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from tvmopt.pipeline import errors
from tvmopt.pipeline.compiler.kernels.job import Job
from tvmopt.pipeline.devices.channel import Channel, WorkerLostError
from tvmopt.pipeline.devices.program import Program
from tvmopt.pipeline.devices.registry import LOCAL
from tvmopt.pipeline.support.cache import Cache, open_cache

_MODULE = "tvmopt.pipeline.compiler.kernels.worker"
_LIMIT_S = 24 * 3600.0
_FEW = 4
"""Jobs for which this process does not start a worker if it has loaded TVM's compiler anyway."""


class Forge:
    """Makes kernels; use it as a context manager, or close it.

    Args:
        cache: where results are kept; the user's cache by default.
        width: how many processes make kernels side by side; one for each core by default.
    """

    def __init__(self, cache: Cache | None = None, width: int | None = None) -> None:
        self.cache = open_cache() if cache is None else cache
        self._width = width or len(LOCAL.facts().usable_cores)
        self._made: dict[str, bytes] = {}
        self._worker: Channel | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Starts the worker without waiting: it loads TVM while this process does something else."""
        if self._worker is None:
            self._worker = LOCAL.start(Program(_MODULE))

    def make(self, jobs: Sequence[Job]) -> Mapping[str, bytes]:
        """The result of every job, by its key; equal jobs are carried out once.

        Each result is kept as soon as it is there, so that a compilation that is stopped need not begin anew.

        Raises:
            BuildError: when a kernel or layer cannot be made; that of the first job if several fail.
            WrongResultError: when a checked layer computes a wrong result.
        """
        wanted = {job.key: job for job in jobs}
        for key, job in wanted.items():
            if key not in self._made and (found := self.cache.get(job.kind, key)) is not None:
                self._made[key] = found
        missing = [job for key, job in wanted.items() if key not in self._made]
        # Those with most to do have the longest descriptions or come first; either way, the order is always the same.
        for job, content in self._carried_out(missing):
            self._made[job.key] = content
            self.cache.put(job.kind, job.key, content)
        return {key: self._made[key] for key in wanted}

    def close(self) -> None:
        """Ends the worker."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None
        self.cache.close()

    def _carried_out(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, bytes]]:
        """The result of each job that succeeds, in the order in which they come; then raises the first failure."""
        commands = [{**job.command, "layer": job.layer} for job in jobs]
        if self._worker is None and "tvm" in sys.modules and len(jobs) <= _FEW:
            from tvmopt.pipeline.compiler.kernels.make import make

            for job, command in zip(jobs, commands, strict=True):
                yield job, make(command)
            return
        failed: dict[int, Mapping[str, str]] = {}
        for result in self._answers(commands):
            if "error" in result:
                failed[result["number"]] = result
            else:
                yield jobs[result["number"]], base64.b64decode(result["content"])
        if failed:
            first = failed[min(failed)]
            raise getattr(errors, first["error"])(first["message"])

    def _answers(self, commands: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        """What the worker says of each command, in any order."""
        if not commands:
            return
        self.start()
        assert self._worker is not None
        try:
            self._worker.send({"jobs": commands, "width": self._width})
            for _ in commands:
                yield self._worker.receive(_LIMIT_S)
        except WorkerLostError as error:
            self._worker = None
            raise errors.BuildError(f"the program that makes kernels failed: {error}") from error
