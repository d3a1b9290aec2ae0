"""The search over all tasks, with a measurer that computes latencies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.pipeline.tuning import synthetic
from tests.pipeline.tuning.synthetic import TARGET, SyntheticMeasurer
from tvmopt.pipeline.errors import InputFileError, UsageError
from tvmopt.pipeline.records.store import RecordStore
from tvmopt.pipeline.support.progress import Event, Listener
from tvmopt.pipeline.tuning import search
from tvmopt.pipeline.tuning.progress import RunStarted, TaskEnded, TaskStarted, TrialDone
from tvmopt.pipeline.tuning.search import INTERRUPTED, TuneOptions, TuneSummary, tune
from tvmopt.pipeline.tuning.tuners import TUNERS
from tvmopt.schedules.space import config_key

TASKS = (synthetic.task(32), synthetic.task(64, weight=4), synthetic.task(128))


def options(**changes: object) -> TuneOptions:
    return TuneOptions(**{"trials": 60, "finalists": 0, "template_of": synthetic.template_of, **changes})  # type: ignore[arg-type] # any field


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> RecordStore:
    return RecordStore(tmp_path, "model")


def known(store: RecordStore) -> list[tuple[str, tuple[tuple[str, int], ...]]]:
    return [(record.workload_key, config_key(record.config)) for record in store.records()]


def test_spends_the_trials_and_files_every_one(store: RecordStore) -> None:
    measurer = SyntheticMeasurer()
    summary = tune(TASKS, TARGET, store, measurer, options())
    assert summary.trials == len(measurer.measured) == 60
    assert summary.stopped == "trials"
    on_disk = RecordStore(store.directory).records()
    assert [(r.workload_key, config_key(r.config)) for r in on_disk] == [
        (name, config_key(config)) for name, config in measurer.measured
    ]
    assert (store.directory / TARGET.key / "model.jsonl").is_file()
    assert {record.cpu for record in on_disk} == {synthetic.CPU}


def test_measures_nothing_twice_and_the_default_of_each_task_first(store: RecordStore) -> None:
    measurer = SyntheticMeasurer()
    tune(TASKS, TARGET, store, measurer, options(trials=200))
    assert max(Counter((name, config_key(config)) for name, config in measurer.measured).values()) == 1
    for task in TASKS:
        first = next(config for name, config in measurer.measured if name == task.name)
        assert config_key(first) == config_key(synthetic.SyntheticTemplate().default(task.workload, TARGET))


def test_the_heavier_task_gets_more_trials(store: RecordStore) -> None:
    tasks = (synthetic.task(64, side=28, weight=1), synthetic.task(64, side=29, weight=10))
    summary = tune(tasks, TARGET, store, SyntheticMeasurer(), options(trials=160))
    light, heavy = (state.trials for state in summary.states)
    assert heavy > 1.5 * light


def test_fewer_trials_than_tasks_go_to_the_heaviest(store: RecordStore) -> None:
    summary = tune(TASKS, TARGET, store, SyntheticMeasurer(), options(trials=2))
    assert [state.trials for state in summary.states] == [0, 1, 1]


def test_the_summary_adds_up(store: RecordStore) -> None:
    summary = tune(TASKS, TARGET, store, SyntheticMeasurer(), options(trials=120))
    template = synthetic.SyntheticTemplate()
    before = after = 0.0
    for task, state in zip(TASKS, summary.states, strict=True):
        default_s = synthetic.latency_s(task.workload, template.default(task.workload, TARGET))
        best = store.best(task.name, TARGET.key, "synthetic", 1)
        assert best is not None
        assert best.median_s is not None
        assert state.default_s == pytest.approx(default_s)
        assert state.best_s == pytest.approx(best.median_s)
        assert state.best_config is not None
        assert config_key(state.best_config) == config_key(best.config)
        assert state.best_gflops == pytest.approx(state.flops / best.median_s / 1e9)
        before += task.weight * default_s
        after += task.weight * best.median_s
    assert summary.before_s == pytest.approx(before)
    assert summary.after_s == pytest.approx(after)
    assert summary.after_s < 0.5 * summary.before_s
    assert summary.rejected == sum(record.status != "ok" for record in store.records())
    assert summary.trials_per_s == pytest.approx(summary.trials / summary.wall_s)


def test_resumes_where_it_was(store: RecordStore) -> None:
    tune(TASKS, TARGET, store, SyntheticMeasurer(), options())
    before = set(known(store))
    measurer = SyntheticMeasurer()
    summary = tune(TASKS, TARGET, RecordStore(store.directory, "model"), measurer, options())
    assert summary.trials == 60
    assert sum(state.known for state in summary.states) == 60
    assert before.isdisjoint((name, config_key(config)) for name, config in measurer.measured)


def test_a_finished_search_has_nothing_left_to_do(store: RecordStore) -> None:
    changes = options(trials=10_000, template_of=synthetic.tiny_template_of)
    first = tune(TASKS, TARGET, store, SyntheticMeasurer(), changes)
    assert (first.trials, first.stopped) == (36, "all tasks ended")
    again = tune(TASKS, TARGET, RecordStore(store.directory, "model"), SyntheticMeasurer(), changes)
    assert (again.trials, again.stopped) == (0, "all tasks ended")
    assert [state.ended for state in again.states] == ["all configs measured"] * 3
    assert again.after_s == first.after_s


@pytest.mark.parametrize(
    "changes",
    [{"cpu": "another processor"}, {"template_version": 2}, {"target_key": "x86_64-avx2-8t"}],
    ids=["processor", "template", "target"],
)
def test_records_from_elsewhere_are_measured_again(store: RecordStore, changes: dict[str, object]) -> None:
    for config in synthetic.configs()[:100]:
        store.append(synthetic.record(TASKS[1].workload, config, **{"cpu": synthetic.CPU, **changes}))
    summary = tune(TASKS[1:2], TARGET, store, SyntheticMeasurer(), options(trials=10))
    assert (summary.states[0].known, summary.trials) == (0, 10)


def test_early_stopping(store: RecordStore) -> None:
    summary = tune(TASKS, TARGET, store, SyntheticMeasurer(), options(trials=10_000, early_stopping=24))
    assert summary.stopped == "all tasks ended"
    for state in summary.states:
        assert state.ended == "early stopping"
        history = store.history(state.task.name, TARGET.key, "synthetic", 1)
        medians = [record.median_s or float("inf") for record in history]
        assert 24 <= len(medians) - 1 - medians.index(min(medians)) < 24 + 8


def test_a_stopped_early_task_stays_stopped(store: RecordStore) -> None:
    tune(TASKS, TARGET, store, SyntheticMeasurer(), options(trials=10_000, early_stopping=24))
    again = tune(TASKS, TARGET, store, SyntheticMeasurer(), options(trials=10_000, early_stopping=24))
    assert again.trials <= 8 * len(TASKS)


class Clock:
    """A clock that only trials advance, so that a time limit ends a run at the same trial on any machine."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def pass_one_trial(self, _: int) -> None:
        self.now_s += 0.01


def test_the_time_limit(store: RecordStore, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(search, "time", clock)
    measurer = SyntheticMeasurer(before=clock.pass_one_trial)
    summary = tune(TASKS, TARGET, store, measurer, options(trials=10_000, time_limit_s=0.5, finalists=3))
    assert summary.stopped == "time limit"
    assert summary.wall_s == pytest.approx(0.01 * summary.trials)
    # A batch of eight that has started is finished; a fifth of the limit is reserved for the finals.
    assert 0.4 <= summary.wall_s <= 0.5 + 8 * 0.01
    assert len(store.records()) == summary.trials


def test_the_finalists_are_timed_again(store: RecordStore) -> None:
    measurer = SyntheticMeasurer()
    summary = tune(TASKS, TARGET, store, measurer, options(finalists=2))
    counts = Counter((name, config_key(config)) for name, config in measurer.measured)
    for task, state in zip(TASKS, summary.states, strict=True):
        twice = {key for (name, key), count in counts.items() if name == task.name and count == 2}
        assert state.best_config is not None
        default = synthetic.SyntheticTemplate().default(task.workload, TARGET)
        assert {config_key(state.best_config), config_key(default)} <= twice
        assert len(twice) <= 3
    assert max(counts.values()) == 2
    assert summary.trials == len(measurer.measured) > 60


def test_a_lucky_measurement_does_not_win(store: RecordStore) -> None:
    """One config looks fast at first; measured again, it is slow and another one wins."""
    lucky = {"rows": 1, "columns": 4, "vectors": 1, "unroll": 1, "rows_outer": 0}
    seen: list[int] = []

    class Noisy(SyntheticMeasurer):
        def measure(self, task, configs):  # type: ignore[no-untyped-def] # as its base
            for result in super().measure(task, configs):
                if config_key(result.config) == config_key(lucky):
                    latencies = (1.0,) * 3 if seen else (1e-9,) * 3
                    seen.append(1)
                    yield type(result)(result.config, "ok", latencies, "", 0.0)
                else:
                    yield result

    summary = tune(TASKS[:1], TARGET, store, Noisy(), options(trials=1000, finalists=1))
    assert len(seen) == 2
    assert summary.states[0].best_config is not None
    assert config_key(summary.states[0].best_config) != config_key(lucky)
    best = store.best(TASKS[0].name, TARGET.key, "synthetic", 1)
    assert best is not None
    assert config_key(best.config) == config_key(summary.states[0].best_config)


def test_control_c_keeps_everything(store: RecordStore) -> None:
    measurer = SyntheticMeasurer(before=lambda count: signal.raise_signal(signal.SIGINT) if count == 21 else None)
    summary = tune(TASKS, TARGET, store, measurer, options(finalists=3))
    assert summary.stopped == INTERRUPTED
    assert summary.trials == len(RecordStore(store.directory).records()) == 21


class CancelledElsewhere(Listener):
    """Lets another thread cancel the search after `count` trials, then continues."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.left = count

    def tell(self, event: Event) -> None:
        self.left -= isinstance(event, TrialDone)
        if not self.left and not self.cancelled:
            other = threading.Thread(target=self.cancel)
            other.start()
            other.join()


def test_a_listener_cancels_from_another_thread(store: RecordStore) -> None:
    measurer = SyntheticMeasurer()
    summary = tune(TASKS, TARGET, store, measurer, options(), CancelledElsewhere(13))
    assert summary.stopped == INTERRUPTED
    assert summary.trials == 13
    kept = known(store)
    assert kept == [(name, config_key(config)) for name, config in measurer.measured[:13]]
    again = SyntheticMeasurer()
    summary = tune(TASKS, TARGET, RecordStore(store.directory, "model"), again, options())
    assert (summary.stopped, summary.trials) == ("trials", 60)
    assert known(RecordStore(store.directory))[:13] == kept
    assert not {(name, config_key(config)) for name, config in again.measured} & set(kept)


def test_a_listener_that_was_cancelled_before_lets_nothing_begin(store: RecordStore) -> None:
    listener, measurer = Listener(), SyntheticMeasurer()
    listener.cancel()
    assert tune(TASKS, TARGET, store, measurer, options(), listener).stopped == INTERRUPTED
    assert measurer.measured == []


def test_events_tell_the_whole_story(store: RecordStore) -> None:
    events: list[Event] = []
    summary = tune(
        TASKS,
        TARGET,
        store,
        SyntheticMeasurer(),
        options(template_of=synthetic.tiny_template_of),
        Listener(events.append),
    )
    assert isinstance(events[0], RunStarted)
    assert [state.task for state in events[0].states] == list(TASKS)
    started = [event.state.task.name for event in events if isinstance(event, TaskStarted)]
    assert sorted(started) == sorted(task.name for task in TASKS)
    done = [event for event in events if isinstance(event, TrialDone)]
    assert len(done) == summary.trials
    for task, state in zip(TASKS, summary.states, strict=True):
        own = [event.state for event in done if event.state.task == task]
        assert [item.trials for item in own] == list(range(1, len(own) + 1))
        bests = [item.best_gflops or 0.0 for item in own]
        assert bests == sorted(bests)
        assert own[-1].best_s == state.best_s
    assert [event.state.ended for event in events if isinstance(event, TaskEnded)] == ["all configs measured"] * 3


@pytest.mark.parametrize("tuner", TUNERS)
def test_every_tuner_finds_the_best_of_a_small_space(store: RecordStore, tuner: str) -> None:
    changes = options(tuner=tuner, trials=10_000, template_of=synthetic.tiny_template_of)
    summary = tune(TASKS, TARGET, store, SyntheticMeasurer(), changes)
    for state in summary.states:
        space = synthetic.TinyTemplate().space(state.task.workload, TARGET)
        assert state.best_s == pytest.approx(min(synthetic.latency_s(state.task.workload, c) for c in space))


def test_the_same_seed_gives_the_same_run(tmp_path: Path) -> None:
    runs = []
    for name in ("one", "two"):
        measurer = SyntheticMeasurer()
        tune(TASKS, TARGET, RecordStore(tmp_path / name), measurer, options(trials=100, seed=5))
        runs.append(measurer.measured)
    assert runs[0] == runs[1]


def test_no_tasks(store: RecordStore) -> None:
    summary = tune((), TARGET, store, SyntheticMeasurer(), options())
    assert (summary.trials, summary.stopped, summary.before_s) == (0, "all tasks ended", 0.0)


def test_a_corrupt_log_stops_before_measuring(store: RecordStore) -> None:
    path = store.log(TARGET.key)
    path.parent.mkdir()
    path.write_text("nonsense\n")
    measurer = SyntheticMeasurer()
    with pytest.raises(InputFileError, match=r"model\.jsonl:1: not a record"):
        tune(TASKS, TARGET, store, measurer, options())
    assert measurer.measured == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": -1}, "trials must be at least 0, got -1"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"early_stopping": 0}, "early_stopping must be at least 1"),
        ({"finalists": -1}, "finalists must be at least 0"),
        ({"time_limit_s": 0.0}, "time_limit_s must be above 0"),
        ({"tuner": "rnadom"}, "unknown tuner 'rnadom'; did you mean random"),
    ],
)
def test_impossible_options(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        options(**changes)


KILLED = """
import sys, time
from pathlib import Path
from tvmopt.pipeline.records.store import RecordStore
from tvmopt.pipeline.tuning.search import TuneOptions, tune
from tests.pipeline.tuning import synthetic

def before(count):
    print(count, flush=True)
    time.sleep(0.002)

options = TuneOptions(trials=100_000, template_of=synthetic.template_of)
tune((synthetic.task(32), synthetic.task(64)), synthetic.TARGET, RecordStore(Path(sys.argv[1]), "model"),
     synthetic.SyntheticMeasurer(before), options)
"""


def test_kill_9_loses_the_running_trial_at_most(tmp_path: Path, repository: Path) -> None:
    total = 0
    for trials in (5, 30):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path)],
            cwd=repository,
            env={**os.environ, "PYTHONPATH": str(repository)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        begun = -1
        while begun < trials:
            begun = int(process.stdout.readline())
        process.kill()
        begun = int((process.stdout.read().split() or [begun])[-1])
        process.wait()
        process.stdout.close()
        # When trial n starts, all earlier trials are on disk.
        records = RecordStore(tmp_path).records()
        assert begun <= len(records) - total <= begun + 1
        total = len(records)
    keys = [(record.workload_key, config_key(record.config)) for record in RecordStore(tmp_path).records()]
    assert len(set(keys)) == len(keys)


def test_the_summary_of_a_task_without_success() -> None:
    class Hopeless(SyntheticMeasurer):
        def measure(self, task, configs):  # type: ignore[no-untyped-def] # as its base
            for result in super().measure(task, configs):
                yield type(result)(result.config, "wrong", (), "differs", 0.0)

    class Nowhere(RecordStore):
        def append(self, record: object) -> None:
            """Discards the record."""

    store = Nowhere(Path("nowhere-at-all"))
    summary: TuneSummary = tune(TASKS[:1], TARGET, store, Hopeless(), options(trials=20, finalists=3))
    (state,) = summary.states
    assert (state.best_s, state.best_gflops, state.best_config, state.rejected) == (None, None, None, 20)
    assert (summary.before_s, summary.compared) == (0.0, ())
