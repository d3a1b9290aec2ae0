"""The settings of a cell, and which runtimes take part in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tvmopt.benchmarks.comparison.participant import Participant
from tvmopt.benchmarks.machine.roofline import Roofline
from tvmopt.benchmarks.measurements.options import MeasureOptions, SearchOptions
from tvmopt.benchmarks.measurements.types import Measurement
from tvmopt.benchmarks.runtimes.base import Runtime, cores_of
from tvmopt.benchmarks.workers.prepare import prepare_runtime
from tvmopt.benchmarks.workers.prepared_model import PreparedModel

SEQUENTIAL = "not applicable: it makes several requests at once, and the method dli times sequential ones"


@dataclass(frozen=True, slots=True)
class Cell:
    """The settings of a cell.

    Attributes:
        subject: the model, at the cell's batch size.
        runtimes: the participants, in order.
        cores: the cores that all are pinned to; their count is the number of threads.
        logs: folders of tuning records for the tuned row.
        options: how to measure latencies.
        roofline: the limit that layers are compared with; without it they are not profiled.
        search: how to search each runtime's parameters first; None for their defaults.
    """

    subject: PreparedModel
    runtimes: tuple[Runtime, ...]
    cores: tuple[int, ...]
    logs: tuple[Path, ...]
    options: MeasureOptions
    roofline: Roofline | None = None
    search: SearchOptions | None = None

    @property
    def where(self) -> str:
        """The model, batch size and thread count."""
        threads = len(self.cores)
        return f"{self.subject.model.name}, batch {self.subject.batch}, {threads} thread{'s' if threads > 1 else ''}"


def admit(cell: Cell, runtime: Runtime, parameters: Mapping[str, str]) -> Participant | Measurement:
    """A participant that is prepared but not started, or the row of a runtime that takes no part.

    Args:
        cell: where it takes part.
        runtime: one of the cell's.
        parameters: those that are not its defaults.
    """
    subject, cores = cell.subject, cores_of(cell.cores, parameters)
    absent = Measurement(runtime.name, runtime.variant, subject.batch, len(cell.cores), "failed")
    refusal = runtime.refusal(subject.model.source.kind) or runtime.unfit() or runtime.too_few(len(cores))
    if cell.options.method == "dli" and runtime.at_once:
        refusal = SEQUENTIAL
    if refusal:
        return replace(absent, status="not_applicable", message=refusal)
    missing = runtime.missing(subject.model.source.kind)
    if missing:
        return replace(absent, status="unavailable", message=missing)
    prepared = prepare_runtime(subject, runtime, cores, cell.logs, cell.options.ready_timeout_s)
    if prepared.missing:
        return replace(absent, status="unavailable", message=prepared.missing)
    if prepared.failure:
        return replace(absent, message=prepared.failure)
    job = subject.job(runtime, len(cores), cell.logs, parameters)
    return Participant(runtime, job, prepared.seconds, cell.options, job.quantized)
