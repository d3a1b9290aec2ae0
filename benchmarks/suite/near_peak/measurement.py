"""Measures our compiled networks kernel by kernel, against the machine's peak.

A machine's speed varies over time. A network is therefore profiled in several turns, with the peak measured before and
after each; a kernel's share is of the higher of the two, and its median over the turns counts. Thread counts also
alternate.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tvmopt.benchmarks.machine.environment import choose_cores
from tvmopt.benchmarks.machine.roofline import Roofline
from tvmopt.benchmarks.measurements.layer_profile import LayerProfile
from tvmopt.benchmarks.profiling.processor_time import Turn, take_turn_on_processor
from tvmopt.benchmarks.profiling.profile_artifact import profile_artifact
from tvmopt.benchmarks.profiling.profile_model import ProfileOptions
from tvmopt.benchmarks.suite.near_peak.classes import Kernel, Scaling, classes_of, describe
from tvmopt.pipeline.devices.registry import LOCAL
from tvmopt.pipeline.support.progress import Listener, Steps
from tvmopt.pipeline.types import Step

if TYPE_CHECKING:
    from tvmopt.pipeline.records.lookup import Records
    from tvmopt.pipeline.tasks.choose_configs import TaskChoice
    from tvmopt.pipeline.tuning.measure.runner import WorkerRunner
    from tvmopt.pipeline.types import ImportedModel

TURNS = 3


@dataclass(frozen=True, slots=True)
class KernelBench:
    """What to measure.

    Attributes:
        threads: thread counts.
        records: tuning records; None for default schedules.
        seconds: approximate profiling time of each turn.
        turns: number of turns for each thread count.
        on_processor: whether times are processor time, and the least of each counts: for one thread, on a machine that
            others use.
    """

    threads: tuple[int, ...]
    records: Records | None
    seconds: float = 1.5
    turns: int = TURNS
    on_processor: bool = False


@dataclass(frozen=True, slots=True)
class Built:
    """A network compiled for a thread count.

    Attributes:
        network: its name.
        threads: the thread count.
        artifact: the file.
        steps: its kernel calls.
        choices: each task's config and origin, by the task's name.
    """

    network: str
    threads: int
    artifact: Path
    steps: tuple[Step, ...]
    choices: Mapping[str, TaskChoice]


def measure_network(
    model: ImportedModel, bench: KernelBench, listener: Listener
) -> tuple[list[Kernel], Scaling, dict[int, list[float]]]:
    """Compiles a network for each thread count and profiles them in turn.

    Args:
        model: the network.
        bench: how to measure it.
        listener: receives progress.

    Returns:
        The kernels that belong to a class, the gain of threads, and for each thread count the peaks of its turns, in
        FLOP/s.

    Raises:
        TvmoptError: when compiling or running the network fails.
    """
    turns: dict[int, list[Turn]] = defaultdict(list)
    steps = Steps(listener, bench.turns * len(bench.threads))
    with tempfile.TemporaryDirectory(prefix="tvmopt-kernels-") as folder:
        built = [_compile(model, threads, bench.records, Path(folder)) for threads in bench.threads]
        for turn in range(bench.turns):
            for each in built:
                steps.begin(f"{model.name}, threads {each.threads}: turn {turn + 1} of {bench.turns}")
                take = take_turn_on_processor if bench.on_processor else _take_turn
                turns[each.threads].append(take(each.artifact, each.threads, bench.seconds))
    kernels = [kernel for each in built for kernel in kernels_of(each, turns[each.threads])]
    whole_s = {each.threads: statistics.median(turn.profile.whole_s for turn in turns[each.threads]) for each in built}
    peaks = {threads: [turn.peak_flops for turn in taken] for threads, taken in turns.items()}
    return kernels, Scaling(model.name, whole_s), peaks


def kernels_of(built: Built, turns: Sequence[Turn]) -> Iterator[Kernel]:
    """The distinct kernels that belong to a class, in the order they run, once for each of their classes."""
    calls: dict[str, list[int]] = defaultdict(list)
    for index, step in enumerate(built.steps):
        if step.task in built.choices:
            calls[step.task].append(index)
    for task, indices in calls.items():
        choice, first = built.choices[task], built.steps[indices[0]]
        for kind in classes_of(choice.task.workload, choice.algorithm, first.flops, built.threads):
            yield Kernel(
                network=built.network,
                threads=built.threads,
                layer=next(iter(first.layers), task),
                shape=describe(choice.task.workload),
                kind=kind.name,
                algorithm=choice.algorithm,
                calls=len(indices),
                seconds=statistics.median(turn.profile.kernels[i].seconds for turn in turns for i in indices),
                share=statistics.median(_share(turn, first, indices) for turn in turns),
                limit=kind.limit,
                memory_bound=all(_is_memory_bound(turn, first) for turn in turns),
            )


def _share(turn: Turn, step: Step, indices: Sequence[int]) -> float:
    """The share in one turn, from the median call, since a model may run a kernel several times.

    The roofline is the peak, unless moving the kernel's bytes takes longer than computing.
    """
    seconds = statistics.median(turn.profile.kernels[i].seconds for i in indices)
    return _roofline(turn).attainable_s(step.flops, step.nbytes) / seconds


def _is_memory_bound(turn: Turn, step: Step) -> bool:
    return _roofline(turn).attainable_s(step.flops, step.nbytes) > step.flops / turn.peak_flops


def _roofline(turn: Turn) -> Roofline:
    """The machine's roofline, with the peak of this turn."""
    return replace(turn.roofline, peak_flops=turn.peak_flops)


def _compile(model: ImportedModel, threads: int, records: Records | None, folder: Path) -> Built:
    from tvmopt.pipeline.artifact.format import read_parts
    from tvmopt.pipeline.compiler.compile import compile_model
    from tvmopt.schedules.target import parse_target

    artifact = folder / f"{threads}.tar"
    report = compile_model(model, parse_target("llvm", threads), records, artifact)
    steps = tuple(Step.from_json(step) for step in read_parts(artifact).manifest["steps"])
    return Built(model.name, threads, artifact, steps, {choice.task.name: choice for choice in report.choices})


def _take_turn(artifact: Path, threads: int, seconds: float) -> Turn:
    with _peak_worker(threads) as worker:
        before = worker.peak_flops_per_s()
        options = ProfileOptions(str(artifact), threads=threads, seconds=seconds)
        document = profile_artifact(options)
        after = worker.peak_flops_per_s()
    profile = LayerProfile.from_json(document["profiles"]["tvmopt"])
    roofline = Roofline.from_json(document["roofline"])
    return Turn(profile, max(before, after), roofline)


@contextmanager
def _peak_worker(threads: int) -> Iterator[WorkerRunner]:
    """A worker that measures the peak, on the cores that a profile with the same thread count uses."""
    from tvmopt.pipeline.tuning.measure.runner import WorkerRunner
    from tvmopt.pipeline.tuning.measure.worker_process import Limits
    from tvmopt.schedules.target import parse_target

    with closing(WorkerRunner(LOCAL, parse_target("llvm", threads), Limits())) as runner:
        # Pin the worker before it loads TVM, whose threads would keep their previous cores.
        os.sched_setaffinity(runner.worker.channel.pid, choose_cores(threads))
        yield runner
