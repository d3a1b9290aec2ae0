"""Measuring in worker processes: every config gets a trial, whatever happens to its worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from tests.pipeline.tuning.measure import misbehaving_build_worker as wrong
from tests.pipeline.tuning.measure import misbehaving_run_worker
from tvmopt.pipeline.devices.channel import Channel
from tvmopt.pipeline.errors import BuildError
from tvmopt.pipeline.tuning.measure.builder import WorkerBuilder
from tvmopt.pipeline.tuning.measure.runner import WorkerRunner
from tvmopt.pipeline.tuning.measure.worker_process import Limits
from tvmopt.pipeline.tuning.measure.workers import WorkerMeasurer, WorkerOptions
from tvmopt.pipeline.tuning.measurer import Trial
from tvmopt.pipeline.types import Task
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target, parse_target

LIMITS = Limits(build_s=6.0, measure_s=4.0, start_s=100.0)
NOWHERE = "tvmopt.pipeline.tuning.no_such_worker"
WRONG: dict[str, Any] = {"build_module": wrong.__name__, "run_module": misbehaving_run_worker.__name__}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def target() -> Target:
    return parse_target("llvm", 2)


@pytest.fixture(scope="module")
def tasks(target: Target) -> tuple[Task, ...]:
    return tiny.tasks(target)


@pytest.fixture(scope="module")
def measurer(target: Target, repository: Path) -> Iterator[WorkerMeasurer]:
    """Two builders and a runner that misbehave when a config says so; their programs are in this folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(repository))
        measurer = WorkerMeasurer(target, WorkerOptions(count=2, limits=LIMITS, **WRONG))
        yield measurer
    measurer.close()


def configs_of(task: Task, target: Target, *behaviours: int) -> list[Config]:
    """Distinct configs, one for each of `behaviours`."""
    space = iter(template_for(task.workload, target).space(task.workload, target))
    return [{**next(space), "behaviour": behaviour} for behaviour in behaviours]


def channels(measurer: WorkerMeasurer) -> list[Channel]:
    """The channels of the builders, then of the runner."""
    assert isinstance(measurer.builder, WorkerBuilder)
    assert isinstance(measurer.runner, WorkerRunner)
    return [worker.channel for worker in (*measurer.builder.workers, measurer.runner.worker)]


def pids(measurer: WorkerMeasurer) -> list[int]:
    return [channel.pid for channel in channels(measurer)]


@pytest.fixture(scope="module")
def trials(measurer: WorkerMeasurer, tasks: tuple[Task, ...], target: Target) -> dict[int, list[Trial]]:
    """The trials, by behaviour, of one call with every behaviour and good configs in between."""
    behaviours = [wrong.GOOD]
    for behaviour in range(1, 7):
        behaviours += [behaviour, wrong.GOOD]
    found: dict[int, list[Trial]] = {behaviour: [] for behaviour in behaviours}
    for trial in measurer.measure(tasks[0], configs_of(tasks[0], target, *behaviours)):
        found[trial.config["behaviour"]].append(trial)
    return found


def test_good_configs_are_timed_on_a_busy_machine(trials: dict[int, list[Trial]]) -> None:
    good = trials[wrong.GOOD]
    assert len(good) == len({tuple(trial.config.items()) for trial in good}) == 7
    for trial in good:
        assert trial.status == "ok", trial.error
        assert len(trial.latency_s) >= 3
        assert all(0 < sample < 0.1 for sample in trial.latency_s)
        assert trial.error == ""
        assert trial.cost_s > sum(trial.latency_s)


@pytest.mark.parametrize(
    ("behaviour", "status", "error"),
    [
        (wrong.REFUSES, "compile_error", "that takes two lines"),
        (wrong.CRASHES, "crash", "the worker was ended by SIGSEGV"),
        (wrong.HANGS, "timeout", "not built in 6 s"),
        (wrong.COMPUTES_WRONGLY, "wrong", "relative error 2, allowed 0.0001"),
        (wrong.TAKES_OTHER_SHAPES, "crash", "the worker ended with code 1: "),
        (wrong.HANGS_WHEN_RUN, "timeout", "no answer within 4 s"),
    ],
)
def test_bad_configs_are_rejected(trials: dict[int, list[Trial]], behaviour: int, status: str, error: str) -> None:
    (trial,) = trials[behaviour]
    assert trial.status == status, trial.error
    assert error in trial.error
    assert "\n" not in trial.error
    assert trial.latency_s == ()
    assert trial.cost_s > 0 if status != "timeout" else trial.cost_s >= 4


@pytest.mark.parametrize("which", [0, -1])
def test_a_worker_killed_from_outside_is_replaced(
    measurer: WorkerMeasurer, tasks: tuple[Task, ...], target: Target, which: int
) -> None:
    # Two groups, so that a builder killed while the first group's kernels run is noticed.
    configs = configs_of(tasks[0], target, *[wrong.GOOD] * 12)
    before = pids(measurer)
    results = measurer.measure(tasks[0], configs)
    found = [next(results)]
    os.kill(before[which], signal.SIGKILL)
    found += results
    assert sorted(map(str, configs)) == sorted(str(trial.config) for trial in found)
    lost = [trial for trial in found if trial.status != "ok"]
    assert [(trial.status, trial.error) for trial in lost] in ([], [("crash", "the worker was ended by SIGKILL")])
    assert before[which] not in pids(measurer)
    assert all(channel.alive for channel in channels(measurer))


def test_a_worker_that_died_between_two_calls_costs_no_trial(
    measurer: WorkerMeasurer, tasks: tuple[Task, ...], target: Target
) -> None:
    for channel in channels(measurer):
        os.kill(channel.pid, signal.SIGKILL)
        os.waitid(os.P_PID, channel.pid, os.WEXITED | os.WNOWAIT)
    configs = configs_of(tasks[0], target, *[wrong.GOOD] * 4)
    assert [trial.status for trial in measurer.measure(tasks[0], configs)] == ["ok"] * 4


def test_answers_to_an_abandoned_call_are_passed_over(
    measurer: WorkerMeasurer, tasks: tuple[Task, ...], target: Target
) -> None:
    first, second = tasks
    abandoned = measurer.measure(first, configs_of(first, target, wrong.REFUSES, *[wrong.GOOD] * 7))
    assert next(abandoned).status == "compile_error"
    abandoned.close()  # while the other worker builds
    configs = configs_of(second, target, *[wrong.GOOD] * 4, wrong.COMPUTES_WRONGLY)
    found = {str(trial.config): trial.status for trial in measurer.measure(second, configs)}
    assert found == dict(zip(map(str, configs), ["ok"] * 4 + ["wrong"], strict=True))


def test_the_peak_is_above_what_any_kernel_reaches(
    measurer: WorkerMeasurer, tasks: tuple[Task, ...], target: Target
) -> None:
    peak = max(measurer.peak_flops_per_s() for _ in range(3))
    template = template_for(tasks[0].workload, target)
    (trial,) = measurer.measure(tasks[0], configs_of(tasks[0], target, wrong.GOOD))
    assert peak > template.flops(tasks[0].workload) / min(trial.latency_s)


@pytest.mark.parametrize("missing", [{"build_module": NOWHERE}, {"run_module": NOWHERE}])
def test_workers_that_do_not_start(tasks: tuple[Task, ...], target: Target, missing: dict[str, Any]) -> None:
    measurer = WorkerMeasurer(target, WorkerOptions(count=1, **missing))
    with pytest.raises(BuildError, match=f"no measurement worker comes up for task {tasks[0].name}.*no_such_worker"):
        list(measurer.measure(tasks[0], configs_of(tasks[0], target, wrong.GOOD)))
    with pytest.raises(BuildError, match="no measurement worker comes up"):
        measurer.peak_flops_per_s()
    measurer.close()


def test_no_worker_outlives_a_killed_search(tmp_path: Path, repository: Path) -> None:
    """Not even one that hangs and therefore does not notice the end of its input."""
    program = tmp_path / "search.py"
    program.write_text(f"""
from tests import tiny
from tests.pipeline.tuning.measure import test_workers as t
target = t.parse_target("llvm", 2)
task = tiny.tasks(target)[0]
measurer = t.WorkerMeasurer(target, t.WorkerOptions(count=1, **t.WRONG))
results = measurer.measure(task, t.configs_of(task, target, {wrong.REFUSES}, {wrong.HANGS}))
next(results)
print(*t.pids(measurer), flush=True)
next(results)
""")
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True, env=environment) as search:
        assert search.stdout is not None
        workers = list(map(int, search.stdout.readline().split()))
        time.sleep(0.5)  # the search has sent the hanging candidate
        assert len(workers) == 2
        assert all(Path(f"/proc/{worker}").exists() for worker in workers)
        search.kill()
    assert all(gone(worker, within_s=5.0) for worker in workers)


def gone(pid: int, within_s: float) -> bool:
    """Whether process `pid` ends in time; a zombie counts as ended."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if status == "Z":
            return True
        time.sleep(0.05)
    return False
