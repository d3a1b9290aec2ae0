"""The fastest configs, timed inside the model."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from tvmopt.pipeline.errors import BuildError
from tvmopt.pipeline.records.store import RecordStore
from tvmopt.pipeline.support.progress import Event, Listener, StepBegan
from tvmopt.pipeline.tuning import rerank as finals
from tvmopt.pipeline.tuning.rerank import time_finalists
from tvmopt.pipeline.types import Task
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.space import Config, config_key
from tvmopt.schedules.target import Target, parse_target


@pytest.fixture(params=[1, 2])
def target(request: pytest.FixtureRequest) -> Target:
    return parse_target("llvm", request.param)


@pytest.fixture
def store(target: Target, tmp_path: Path) -> RecordStore:
    """For the first convolution four configs and the default, which is the slowest; for the second only the default."""
    first, second = tiny.tasks(target)
    store = RecordStore(tmp_path, "two")
    store.append(tiny.record(second, target, default_of(second, target)))
    store.append(tiny.record(first, target, default_of(first, target), latency_s=1.0))
    for place, config in enumerate(islice(tiny.other_configs(first, target), 4)):
        store.append(tiny.record(first, target, config, latency_s=1e-3 * (place + 1)))
    return store


def default_of(task: Task, target: Target) -> Config:
    return template_for(task.workload, target).default(task.workload, target)


def test_the_default_and_the_fastest_are_timed(store: RecordStore, target: Target) -> None:
    events: list[Event] = []
    before = store.records()
    first, _ = tiny.tasks(target)
    assert time_finalists((tiny.load(),), target, store, 2, Listener(events.append)) == 3
    told = [event.text for event in events if isinstance(event, StepBegan)]
    added = RecordStore(store.directory).records()[len(before) :]
    wanted = [default_of(first, target), *islice(tiny.other_configs(first, target), 2)]
    assert {config_key(record.config) for record in added} == set(map(config_key, wanted))
    for record in added:
        assert record.in_model
        assert record.workload_key == first.name
        assert len(record.latency_s) >= 5
        assert max(record.latency_s) < 1.0
    assert told[0] == "building the model with its finalists, 1 of 3"
    assert told[-1] == "timing 3 builds of the model in turn"
    template = template_for(first.workload, target)
    best = store.best(first.name, target.key, template.name, template.version)
    assert best == min(added, key=lambda record: record.median_s or 0.0)


def test_the_finalists_are_timed_in_every_size(store: RecordStore, target: Target) -> None:
    events: list[Event] = []
    other = tiny.load(tiny.TWO_CONVOLUTIONS.replace("14,14", "9,7"))
    same = tiny.load()
    first, _ = tiny.tasks(target)
    assert time_finalists((same, other, same), target, store, 2, Listener(events.append)) == 3
    told = [event.text for event in events if isinstance(event, StepBegan)]
    assert told[0] == "building the model in size 1 of 3 with its finalists, 1 of 3"
    assert told[4] == "building the model in size 3 of 3 with its finalists, 1 of 3"
    assert told[-1] == "timing 3 builds of the model in size 3 of 3 in turn"
    added = [record for record in store.records() if record.in_model]
    assert {record.workload_key for record in added} == {first.name}
    assert all(len(record.latency_s) >= 10 for record in added)  # from two sizes


def test_runs_beside_other_programs_do_not_count(
    store: RecordStore, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = finals.run_once

    def now_and_then_slow(*arguments: Any) -> list[list[list[float]]]:
        builds = measure(*arguments)
        return [[[1e-6 if r % 3 else 1e-5 for _ in run] for r, run in enumerate(runs)] for runs in builds]

    monkeypatch.setattr(finals, "run_once", now_and_then_slow)
    time_finalists((tiny.load(),), target, store, 2)
    assert {latency for record in store.records() if record.in_model for latency in record.latency_s} == {1e-6}


def test_nothing_is_timed_where_there_is_nothing_to_choose(target: Target, tmp_path: Path) -> None:
    store = RecordStore(tmp_path, "two")
    assert time_finalists((tiny.load(),), target, store, 3) == 0
    for task in tiny.tasks(target):
        store.append(tiny.record(task, target, default_of(task, target)))
    assert time_finalists((tiny.load(),), target, store, 3) == 0
    assert not any(record.in_model for record in store.records())


def test_a_default_that_was_never_measured_takes_part(target: Target, tmp_path: Path) -> None:
    """It may be newer than the records; among times in the model it would be missing for good."""
    store = RecordStore(tmp_path, "two")
    first, _ = tiny.tasks(target)
    config = tiny.another_config(first, target)
    store.append(tiny.record(first, target, config, latency_s=1e-9))
    assert time_finalists((tiny.load(),), target, store, 3) == 2
    inside = [record for record in store.records() if record.in_model]
    assert {config_key(record.config) for record in inside} == set(map(config_key, (config, default_of(first, target))))
    assert all(1e-9 < seconds < 1.0 for record in inside for seconds in record.latency_s)


def test_only_configs_of_the_space_and_this_processor_take_part(target: Target, tmp_path: Path) -> None:
    store = RecordStore(tmp_path, "two")
    first, _ = tiny.tasks(target)
    store.append(tiny.record(first, target, default_of(first, target)))
    config = tiny.another_config(first, target)
    store.append(tiny.record(first, target, {**config, "rows": 1000}, latency_s=1e-9))
    store.append(tiny.record(first, target, config, latency_s=1e-9, change=lambda r: replace(r, cpu="another")))
    assert time_finalists((tiny.load(),), target, store, 3) == 0


def test_a_failure_leaves_the_records_as_they_were(
    store: RecordStore, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = store.log(target.key).read_bytes()
    monkeypatch.setattr(finals, "_MODULE", "tvmopt.pipeline.no_such_module")
    with pytest.raises(BuildError, match="inside the model failed: .*no_such_module"):
        time_finalists((tiny.load(),), target, store, 2)
    assert store.log(target.key).read_bytes() == before
