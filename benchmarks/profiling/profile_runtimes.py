"""Profiles one cell of a comparison layer by layer, each measured runtime in its own process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tvmopt.benchmarks.machine.roofline import Roofline
from tvmopt.benchmarks.measurements.layer_profile import LayerProfile
from tvmopt.benchmarks.measurements.layer_table import LayerTable, NoProfile
from tvmopt.benchmarks.measurements.options import MeasureOptions
from tvmopt.benchmarks.runtimes.base import Job, Runtime, cores_of
from tvmopt.benchmarks.runtimes.registry import find_runtime
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
        parameters: by a runtime's name, those that are not its defaults.
    """

    subject: PreparedModel
    runtimes: tuple[Runtime, ...]
    cores: tuple[int, ...]
    logs: tuple[Path, ...]
    roofline: Roofline
    options: MeasureOptions
    parameters: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def profile_layers(profiling: Profiling, step: Callable[[Runtime], None]) -> LayerTable:
    """Profiles the runtimes one after the other; a failed one has an entry with the reason.

    Args:
        profiling: what to profile; everything has been prepared.
        step: called before each runtime.
    """
    from tvmopt.pipeline.inspection.costs import layer_costs

    subject = profiling.subject
    entries: dict[str, LayerProfile | NoProfile] = {}
    for runtime in profiling.runtimes:
        step(runtime)
        if runtime.unprofiled:
            entries[runtime.name] = NoProfile("unavailable", runtime.unprofiled)
        else:
            parameters = profiling.parameters.get(runtime.name, {})
            cores = cores_of(profiling.cores, parameters)
            job = subject.job(runtime, len(cores), profiling.logs, parameters)
            entries[runtime.name] = profile_job(runtime.name, job, cores, profiling.options)
    costs = layer_costs(subject.model)
    order = tuple(cost.layer for cost in costs)
    of_layers = {cost.layer: cost for cost in costs}
    return LayerTable(subject.batch, len(profiling.cores), order, of_layers, profiling.roofline, entries)


def profile_job(runtime: str, job: Job, cores: Sequence[int], options: MeasureOptions) -> LayerProfile | NoProfile:
    """Profiles the runtime called `runtime`, which has a profiler, in its own process; or returns why it failed."""
    command = {"do": "profile", "job": job.to_json(), "seconds": options.profile_s}
    try:
        with WorkerHandle(runtime, cores, find_runtime(runtime).variables(job.parameters)) as worker:
            reply = worker.ask(command, options.ready_timeout_s + 2 * options.profile_s)
    except WorkerError as error:
        return NoProfile("failed", str(error))
    return LayerProfile.from_json(reply["profile"])
