"""Untuned networks, compiled with the records of others."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests import tiny
from tvmopt.benchmarks.suite import transfer
from tvmopt.benchmarks.suite.transfer import Score, render, score_network
from tvmopt.pipeline.devices.registry import LOCAL
from tvmopt.pipeline.records.store import RecordStore
from tvmopt.pipeline.types import Task
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.target import Target, parse_target

TARGET = parse_target("x86-64-v3", 2)


@pytest.fixture(name="tasks")
def _tasks(monkeypatch: pytest.MonkeyPatch) -> tuple[Task, ...]:
    tasks = tiny.tasks(TARGET)

    def tasks_of(network: str, target: Target) -> tuple[Task, ...]:
        return tasks

    monkeypatch.setattr(transfer, "_tasks", tasks_of)
    return tasks


def file(logs: Path, name: str, task: Task, default_s: float, other_s: float) -> Path:
    """A log with the task's default and another config."""
    store = RecordStore(logs, name)
    default = template_for(task.workload, TARGET).default(task.workload, TARGET)
    store.append(tiny.record(task, TARGET, default, default_s))
    store.append(tiny.record(task, TARGET, tiny.another_config(task, TARGET), other_s))
    return store.log(TARGET.key)


def test_a_networks_own_log_is_left_out(tmp_path: Path, tasks: tuple[Task, ...]) -> None:
    path = file(tmp_path, "net", tasks[0], 4e-6, 2e-6)
    score = score_network(path, tmp_path)
    assert (score.tasks, score.compared, score.records, score.transfers) == (2, 1, 0, 0)
    assert (score.default_s, score.chosen_s, score.best_s) == (4e-6, 4e-6, 2e-6)


def test_a_kernel_that_another_network_shares_has_its_record(tmp_path: Path, tasks: tuple[Task, ...]) -> None:
    path = file(tmp_path, "net", tasks[0], 4e-6, 2e-6)
    file(tmp_path, "other", tasks[0], 3e-6, 1e-6)
    score = score_network(path, tmp_path)
    assert (score.compared, score.records) == (1, 1)
    assert score.chosen_s == score.best_s == 2e-6


def test_unmeasured_tasks_are_not_compared(tmp_path: Path, tasks: tuple[Task, ...]) -> None:
    store = RecordStore(tmp_path, "net")
    store.append(tiny.record(tasks[0], TARGET, tiny.another_config(tasks[0], TARGET)))
    score = score_network(store.log(TARGET.key), tmp_path)
    assert score.compared == 0
    assert "| net | 2 | 0 | 0 | 0 | – | – |" in render([score])


@pytest.mark.slow
def test_measuring(tmp_path: Path, tasks: tuple[Task, ...]) -> None:
    if not LOCAL.facts().can_run(TARGET):
        pytest.skip("this machine cannot run code for AVX2")
    path = file(tmp_path, "net", tasks[0], 4e-6, 2e-6)
    score = score_network(path, tmp_path, measure=True)
    assert score.compared == 1
    assert score.default_s == score.chosen_s
    assert score.best_s > 0


def test_the_table_names_the_worst() -> None:
    scores = [Score("x", "good", 3, 2, 0, 1, 1.2, 1.05, 1.0), Score("x", "bad", 3, 2, 0, 1, 1.1, 1.25, 1.0)]
    text = render(scores)
    assert "| x | good | 3 | 2 | 0 | 1 | 1.200 | 1.050 |" in text
    assert "Lowest share of the tuned speed: 80.0%, bad (limit: 90%)." in text


def test_no_such_log(tmp_path: Path) -> None:
    done = CliRunner().invoke(transfer.main, ["--logs", str(tmp_path), "--target", "x"])
    assert done.exit_code == 1
    assert "no log fits" in done.output


def test_a_log_of_no_network(tmp_path: Path) -> None:
    file(tmp_path, "unheard-of", tiny.tasks(TARGET)[0], 4e-6, 2e-6)
    done = CliRunner().invoke(transfer.main, ["--logs", str(tmp_path)])
    assert done.exit_code == 1
    assert "not of a network in models" in done.output
