"""How trials are distributed among tasks."""

from __future__ import annotations

from tests.pipeline.tuning import synthetic
from tvmopt.pipeline.tuning.measurer import Trial
from tvmopt.pipeline.tuning.progress import Progress
from tvmopt.pipeline.tuning.scheduler import Scheduler
from tvmopt.schedules.space import Config


def progress(channels: int = 64, weight: int = 1) -> Progress:
    task = synthetic.task(channels, weight=weight)
    flops = synthetic.SyntheticTemplate().flops(task.workload)
    return Progress(task, "synthetic", flops, 1000, default={"n": 0})


def measure(task: Progress, latency_s: float, times: int = 1) -> None:
    for _ in range(times):
        config: Config = {"n": len(task.bests)}
        task.learn(Trial(config, "ok", (latency_s,), "", 0.0))


def test_every_task_gets_its_first_trials_the_heaviest_first() -> None:
    light, heavy, middle = progress(32), progress(128), progress(64)
    scheduler = Scheduler([light, heavy, middle], first=2)
    order = []
    for _ in range(6):
        task = scheduler.next()
        assert task is not None
        order.append(task)
        measure(task, 1e-3)
    assert order == [heavy, middle, light, heavy, middle, light]


def test_of_two_equal_tasks_the_heavier_gets_more_trials() -> None:
    rare, common = progress(64, weight=1), progress(65, weight=8)
    scheduler = Scheduler([rare, common], first=4)
    for _ in range(100):
        task = scheduler.next()
        assert task is not None
        measure(task, 1e-3)
    assert len(common.bests) > 2 * len(rare.bests)


def test_tasks_at_the_roofline_get_fewer_trials() -> None:
    done, poor = progress(64), progress(65)
    scheduler = Scheduler([done, poor], first=4)
    for _ in range(60):
        task = scheduler.next()
        assert task is not None
        measure(task, 1e-4 if task is done else 3e-4)
    assert len(poor.bests) > 2 * len(done.bests)


def test_improving_tasks_get_more_trials_than_stagnant_ones() -> None:
    still, moving = progress(64), progress(65)
    for step in range(32):
        measure(still, 2e-3)
        measure(moving, 4e-3 * 0.978**step)
    assert Scheduler([still, moving], first=8).next() is moving


def test_ended_tasks_get_nothing() -> None:
    one, other = progress(64), progress(65)
    scheduler = Scheduler([one, other], first=1)
    one.ended = "early stopping"
    assert scheduler.next() is other
    other.ended = "all configs measured"
    assert scheduler.next() is None


def test_a_task_that_only_fails_does_not_starve_the_others() -> None:
    failing, fine = progress(64), progress(65)
    scheduler = Scheduler([failing, fine], first=4)
    for _ in range(400):
        task = scheduler.next()
        if task is failing:
            task.learn(Trial({"n": len(task.bests)}, "crash", (), "gone", 0.0))
        else:
            measure(fine, 1e-3)
    assert len(fine.bests) > 100
