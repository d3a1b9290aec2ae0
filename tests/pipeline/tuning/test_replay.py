"""Replaying exhaustive tables, and comparing tuners on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.tuning import synthetic
from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.records.store import RecordStore, read_records
from tvmopt.pipeline.tuning.replay import ReplayMeasurer, Table, compare_tuners, read_table
from tvmopt.pipeline.tuning.search import TuneOptions, tune
from tvmopt.pipeline.types import Task
from tvmopt.schedules.space import config_key

FRACTIONS = (0.05, 0.15, 0.5, 1.0)


@pytest.fixture(name="table", params=[(64, 28), (256, 14), (512, 7)], ids=str)
def _table(request: pytest.FixtureRequest, tmp_path: Path) -> Table:
    path = synthetic.write_table(tmp_path, synthetic.convolution(*request.param))
    return read_table(path, synthetic.TARGET, synthetic.template_of)


def test_the_model_is_within_five_percent_after_15_percent_and_ahead_of_random(table: Table) -> None:
    scores = compare_tuners(table, ("xgb", "random"), seeds=range(10), fractions=(0.05, 0.15, 0.3))
    assert scores["xgb"].median(0.15) <= 1.05
    mean = {name: np.mean(score.ratios, axis=0) for name, score in scores.items()}
    for column in (1, 2):
        assert mean["xgb"][column] - 1 < 0.5 * (mean["random"][column] - 1)


def test_scores_never_get_worse_and_the_whole_space_is_perfect(table: Table) -> None:
    for score in compare_tuners(table, ("ga", "random", "grid"), seeds=range(3), fractions=FRACTIONS).values():
        assert all(list(row) == sorted(row, reverse=True) for row in score.ratios)
        assert all(row[-1] == 1.0 for row in score.ratios)


def test_the_default_can_be_given_away(table: Table) -> None:
    (score,) = compare_tuners(table, ("grid",), seeds=(0,), fractions=(0.0,), from_default=True).values()
    default = synthetic.SyntheticTemplate().default(table.workload, synthetic.TARGET)
    assert score.median(0.0) == pytest.approx(synthetic.latency_s(table.workload, default) / table.best_s)


def test_a_table_has_its_knobs_from_its_configs(table: Table) -> None:
    assert {knob.name: knob.values for knob in table.candidates.knobs}["columns"] == (1, 2, 3, 4, 6, 7, 8, 14)
    assert table.candidates.features.shape == (len(table.records), 5 + 3)


def test_a_search_on_a_replay_finds_the_best_of_the_table(table: Table, tmp_path: Path) -> None:
    task = Task(table.workload.key, table.workload, 1, ("layer",))
    measurer = ReplayMeasurer(table.records)
    options = TuneOptions(trials=10_000, template_of=synthetic.template_of)
    summary = tune((task,), synthetic.TARGET, RecordStore(tmp_path / "found"), measurer, options)
    assert summary.states[0].best_s == pytest.approx(table.best_s)
    assert summary.stopped == "all tasks ended"


def test_a_config_that_is_not_in_the_table(table: Table) -> None:
    task = Task(table.workload.key, table.workload, 1, ("layer",))
    with pytest.raises(KeyError):
        list(ReplayMeasurer(table.records).measure(task, [{"rows": 99}]))


def test_of_equal_configs_the_last_counts(tmp_path: Path) -> None:
    store = RecordStore(tmp_path)
    config = synthetic.configs()[0]
    for latency_s in (1.0, 2.0):
        store.append(synthetic.record(synthetic.convolution(), config, latency_s=(latency_s,)))
    table = read_table(store.log(synthetic.TARGET.key), synthetic.TARGET, synthetic.template_of)
    assert [record.median_s for record in table.records] == [2.0]
    assert config_key(table.candidates.configs[0]) == config_key(config)


def test_a_table_of_two_workloads_or_none(tmp_path: Path) -> None:
    store = RecordStore(tmp_path)
    for channels in (64, 128):
        store.append(synthetic.record(synthetic.convolution(channels), synthetic.configs()[0]))
    path = store.log(synthetic.TARGET.key)
    assert len(list(read_records(path))) == 2
    with pytest.raises(InputFileError, match="got 2 workloads"):
        read_table(path, synthetic.TARGET, synthetic.template_of)
    path.write_text("")
    with pytest.raises(InputFileError, match="got 0 workloads"):
        read_table(path, synthetic.TARGET, synthetic.template_of)
