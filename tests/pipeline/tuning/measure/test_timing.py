"""Timing candidates: which samples count, and what is in a kernel's caches."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests import tiny
from tvmopt.pipeline.compiler.build import kernel_library
from tvmopt.pipeline.tuning.measure import timing
from tvmopt.pipeline.tuning.measure.quiet_machine import SLOWER, QuietProbe
from tvmopt.pipeline.tuning.measure.timing import Candidate, KernelTimer, threads_keep_their_parts
from tvmopt.pipeline.types import Task
from tvmopt.schedules.registry import pack_inputs, template_for
from tvmopt.schedules.target import Target, parse_target


class Scripted:
    """A probe with given answers; the last one repeats."""

    def __init__(self, *answers: bool) -> None:
        self.answers: Iterator[bool] = itertools.chain(answers, itertools.repeat(answers[-1]))

    def quiet(self) -> bool:
        return next(self.answers)


def timer(task: Task, target: Target, probe: Any) -> KernelTimer:
    return KernelTimer(task, target, probe)


@pytest.fixture(scope="module")
def target() -> Target:
    return parse_target("llvm", 2)


@pytest.fixture(scope="module")
def task(target: Target) -> Task:
    return tiny.tasks(target)[0]


def test_only_undisturbed_samples_count(task: Task, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "MAX_SAMPLES", 5)
    numbers = itertools.count(1)
    # A sample is between two answers. The third, the fourth, and all from the seventh on are quiet on both sides.
    probe = Scripted(True, False, True, True, True, False, True, True)
    assert timer(task, target, probe)._sample(lambda: float(next(numbers))) == [3, 4, 7, 8, 9]


def test_on_a_machine_that_is_never_quiet_all_count(
    task: Task, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "PATIENCE_S", 0.02)
    samples = timer(task, target, Scripted(False))._sample(lambda: 1e-3)
    assert len(samples) >= timing.HOPELESS_SAMPLES
    assert set(samples) == {1e-3}


def test_much_slower_candidates_are_timed_briefly(task: Task, target: Target) -> None:
    slow = timer(task, target, Scripted(True))
    slow.best_s = 1e-3
    assert len(slow._sample(lambda: 1.0)) == timing.HOPELESS_SAMPLES


@pytest.mark.parametrize("threads", [1, 2])
def test_a_kernel_keeps_its_inputs_and_gives_its_result(threads: int) -> None:
    import tvm

    target = parse_target("llvm", threads)
    task = tiny.tasks(target)[0]
    template = template_for(task.workload, target)
    config = template.default(task.workload, target)
    library = kernel_library({"kernel": template.build(task.workload, target, config)}, target)
    random = np.random.default_rng(0)
    arrays = {i: random.standard_normal(t.shape).astype(t.dtype) for i, t in enumerate(task.workload.inputs)}
    memory = pack_inputs(template, task.workload, target, config, arrays)
    arguments = [tvm.runtime.tensor(memory[i]) for i in arrays]
    output = tvm.runtime.tensor(np.zeros(task.workload.output.physical_shape, np.float32))
    library["kernel"](*arguments, output)
    expected = output.numpy().copy()
    candidate = Candidate("kernel", library.mod, partial(threads_keep_their_parts, 0))
    samples = timer(task, target, QuietProbe(target)).time(candidate, [*arguments, output])
    assert all(sample > 0 for sample in samples)
    assert np.array_equal(output.numpy(), expected)
    assert all(np.array_equal(argument.numpy(), memory[i]) for i, argument in enumerate(arguments))


@pytest.mark.parametrize("cold", [False, True])
def test_only_the_candidates_threads_take_tasks_from_each_other(
    target: Target, monkeypatch: pytest.MonkeyPatch, cold: bool
) -> None:
    """The probe and the rewriting of maps have their own tasks, not the candidate's."""
    inside: list[str] = []
    seen: list[tuple[str, bool]] = []

    @contextmanager
    def sharing() -> Iterator[None]:
        inside.append("")
        yield
        inside.pop()

    def note(what: str) -> None:
        seen.append((what, bool(inside)))

    class Probe:
        def quiet(self) -> bool:
            note("probe")
            return True

    class Library(dict[str, Any]):
        """Replaces TVM's library."""

        def time_evaluator(self, *_: Any, **__: Any) -> Any:
            return lambda *_: note("kernel") or SimpleNamespace(results=[1e-3])

    task = tiny.tasks(target)[0]
    library = Library(kernel=lambda *_: note("kernel"))
    measured = timer(task, target, Probe())
    arguments = [SimpleNamespace(shape=tensor.shape) for tensor in task.workload.inputs]
    monkeypatch.setattr(measured, "_maps", lambda: (0,) if cold else ())
    monkeypatch.setattr(measured, "_rewriting", lambda _: lambda: note("maps"))
    measured.time(Candidate("kernel", library, sharing), arguments)
    first = int(cold)  # warm-up calls are not timed
    assert {what for what, _ in seen} == ({"probe", "kernel", "maps"} if cold else {"probe", "kernel"})
    assert all(shared == (what == "kernel") for what, shared in seen[first:])


def test_a_slow_probe_means_other_load(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = QuietProbe(target)
    best = probe._best_s
    monkeypatch.setattr(probe, "_time", lambda: best * (SLOWER + 0.1))
    assert not probe.quiet()
    monkeypatch.setattr(probe, "_time", lambda: best)
    assert probe.quiet()
