"""Profiles one cell of a comparison layer by layer, each measured runtime in its own process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tvmopt.benchmarks.machine.roofline import Roofline
from tvmopt.benchmarks.measurements.layer_profile import LayerProfile
from tvmopt.benchmarks.measurements.layer_table import LayerTable, NoProfile
from tvmopt.benchmarks.measurements.options import MeasureOptions
from tvmopt.benchmarks.runtimes.base import Job, Runtime
from tvmopt.benchmarks.workers.prepared_model import PreparedModel
from tvmopt.benchmarks.workers.supervisor import WorkerError, WorkerHandle


@dataclass(frozen=True, slots=True)
class Profiling:
    """What to profile.

    Attributes:
        subject: the model, at the cell's batch size.
        runtimes: the measured runtimes, in order.
        cores: the cores that all are pinned to; their count is the number of threads.
        logs: the folders of tuning records that the runtimes were prepared with.
        roofline: the machine's roofline at that thread count.
        options: how long a profile may take.
    """

    subject: PreparedModel
    runtimes: tuple[Runtime, ...]
    cores: tuple[int, ...]
    logs: tuple[Path, ...]
    roofline: Roofline
    options: MeasureOptions


def profile_layers(profiling: Profiling, step: Callable[[Runtime], None]) -> LayerTable:
    """Profiles the runtimes one after the other; a failed one has an entry with the reason.

    Args:
        profiling: what to profile; everything has been prepared.
        step: called before each runtime.
    """
    from tvmopt.pipeline.inspection.costs import layer_costs

    subject, threads = profiling.subject, len(profiling.cores)
    entries: dict[str, LayerProfile | NoProfile] = {}
    for runtime in profiling.runtimes:
        step(runtime)
        if runtime.unprofiled:
            entries[runtime.name] = NoProfile("unavailable", runtime.unprofiled)
        else:
            job = subject.job(runtime, threads, profiling.logs)
            entries[runtime.name] = profile_job(runtime.name, job, profiling.cores, profiling.options)
    costs = layer_costs(subject.model)
    order = tuple(cost.layer for cost in costs)
    return LayerTable(subject.batch, threads, order, {cost.layer: cost for cost in costs}, profiling.roofline, entries)


def profile_job(runtime: str, job: Job, cores: Sequence[int], options: MeasureOptions) -> LayerProfile | NoProfile:
    """Profiles the runtime called `runtime`, which has a profiler, in its own process; or returns why it failed."""
    command = {"do": "profile", "job": job.to_json(), "seconds": options.profile_s}
    try:
        with WorkerHandle(runtime, cores) as worker:
            reply = worker.ask(command, options.ready_timeout_s + 2 * options.profile_s)
    except WorkerError as error:
        return NoProfile("failed", str(error))
    return LayerProfile.from_json(reply["profile"])
