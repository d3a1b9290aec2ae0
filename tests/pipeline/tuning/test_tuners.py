"""The tuners, on a small, fully known space."""

from __future__ import annotations

import itertools
import statistics

import pytest

from tests.pipeline.tuning import synthetic
from tvmopt.pipeline.errors import UsageError
from tvmopt.pipeline.tuning.candidates import Candidates
from tvmopt.pipeline.tuning.measurer import Trial
from tvmopt.pipeline.tuning.tuners import TUNERS, make_tuner
from tvmopt.pipeline.tuning.tuners.base import Tuner
from tvmopt.schedules.space import Config, Knob, config_key

WORKLOAD = synthetic.convolution()


@pytest.fixture(name="candidates")
def _candidates() -> Candidates:
    return Candidates.of(synthetic.SyntheticTemplate(), WORKLOAD, synthetic.TARGET)


def run(tuner: Tuner, trials: int, batch: int = 8) -> list[Trial]:
    """The first `trials` trials of a tuner, or fewer if it ends."""
    done: list[Trial] = []
    while len(done) < trials:
        proposed = tuner.propose(min(batch, trials - len(done)))
        if not proposed:
            break
        results = [synthetic.trial(WORKLOAD, config) for config in proposed]
        tuner.learn(results)
        done += results
    return done


def best_s(trials: list[Trial]) -> float:
    return min(statistics.median(trial.latency_s) for trial in trials if trial.latency_s)


@pytest.mark.parametrize("name", TUNERS)
@pytest.mark.parametrize("batch", [1, 5, 64])
def test_measures_every_config_once_and_then_ends(name: str, batch: int) -> None:
    candidates = Candidates.of(synthetic.TinyTemplate(), WORKLOAD, synthetic.TARGET)
    tuner = make_tuner(name, candidates, seed=1)
    trials = run(tuner, trials=1000, batch=batch)
    keys = [config_key(trial.config) for trial in trials]
    assert sorted(keys) == sorted(config_key(config) for config in candidates.configs)
    assert tuner.propose(4) == []


@pytest.mark.parametrize("name", TUNERS)
def test_begins_with_the_default(name: str, candidates: Candidates) -> None:
    default = synthetic.SyntheticTemplate().default(WORKLOAD, synthetic.TARGET)
    assert config_key(make_tuner(name, candidates, seed=3).propose(4)[0]) == config_key(default)


@pytest.mark.parametrize("name", TUNERS)
def test_the_same_seed_gives_the_same_trials(name: str, candidates: Candidates) -> None:
    first, second = (run(make_tuner(name, candidates, seed=7), 60) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("name", ["xgb", "ga", "random"])
def test_another_seed_gives_other_trials(name: str, candidates: Candidates) -> None:
    first, second = (run(make_tuner(name, candidates, seed), 60) for seed in (1, 2))
    assert first != second


def test_grid_goes_in_order(candidates: Candidates) -> None:
    found = [trial.config for trial in run(make_tuner("grid", candidates, seed=0), 20)][1:]
    default = config_key(synthetic.SyntheticTemplate().default(WORKLOAD, synthetic.TARGET))
    expected = [config for config in candidates.configs if config_key(config) != default]
    assert found == expected[: len(found)]


@pytest.mark.parametrize("name", TUNERS)
def test_learned_configs_are_not_proposed(name: str, candidates: Candidates) -> None:
    known = list(candidates.configs)[::2]
    tuner = make_tuner(name, candidates, seed=0)
    tuner.learn([synthetic.trial(WORKLOAD, config) for config in known])
    new = {config_key(trial.config) for trial in run(tuner, 10_000, batch=32)}
    assert new == {config_key(config) for config in candidates.configs} - {config_key(config) for config in known}


@pytest.mark.parametrize("name", TUNERS)
def test_results_of_other_configs_do_no_harm(name: str, candidates: Candidates) -> None:
    tuner = make_tuner(name, candidates, seed=0)
    strange: Config = {"tile": 5}
    tuner.learn([Trial(strange, "ok", (1.0,), "", 0.0)])
    assert strange not in tuner.propose(20)


@pytest.mark.parametrize("name", TUNERS)
def test_goes_on_when_everything_fails(name: str, candidates: Candidates) -> None:
    tuner = make_tuner(name, candidates, seed=0)
    for _ in range(6):
        tuner.learn([Trial(config, "crash", (), "gone", 0.0) for config in tuner.propose(8)])
    assert tuner.propose(8)


@pytest.mark.parametrize("name", ["xgb", "ga"])
def test_learning_beats_chance(name: str, candidates: Candidates) -> None:
    """After a tenth of the space, the median over ten seeds is closer to the best than that of random search."""
    trials = len(candidates) // 10
    optimum = min(synthetic.latency_s(WORKLOAD, config) for config in candidates.configs)
    scores = {
        tuner: statistics.median(
            best_s(run(make_tuner(tuner, candidates, seed), trials)) / optimum for seed in range(10)
        )
        for tuner in (name, "random")
    }
    assert scores[name] < scores["random"]


def test_a_space_of_one_config() -> None:
    candidates = Candidates(({},), (), 0, lambda config: ())
    for name in TUNERS:
        tuner = make_tuner(name, candidates, seed=0)
        assert tuner.propose(8) == [{}]
        tuner.learn([Trial({}, "ok", (1.0,), "", 0.0)])
        assert tuner.propose(8) == []


def test_a_default_outside_of_the_space_is_a_candidate_too() -> None:
    class Outside(synthetic.TinyTemplate):
        def default(self, workload: object, target: object) -> Config:
            return {"rows": 9, "columns": 9, "vectors": 9, "unroll": 1, "rows_outer": 0}

    candidates = Candidates.of(Outside(), WORKLOAD, synthetic.TARGET)
    assert len(candidates) == 13
    for name in TUNERS:
        tuner = make_tuner(name, candidates, seed=0)
        assert tuner.propose(1)[0]["rows"] == 9
        assert len(run(tuner, 100)) == 12


def test_genetic_children_differ_little_from_good_parents() -> None:
    knobs = tuple(Knob(name, tuple(range(8))) for name in "abcd")
    configs: tuple[Config, ...] = tuple(
        dict(zip("abcd", values, strict=True)) for values in itertools.product(range(8), repeat=4)
    )
    tuner = make_tuner("ga", Candidates(configs, knobs, None, lambda config: ()), seed=0)
    parents: list[Config] = [{"a": 4, "b": 4, "c": 4, "d": d} for d in range(8)]
    tuner.learn([Trial(parent, "ok", (1.0,), "", 0.0) for parent in parents])
    children = tuner.propose(8)
    assert all(abs(child[name] - 4) <= 1 for child in children for name in "abc")


def test_an_unknown_tuner(candidates: Candidates) -> None:
    with pytest.raises(UsageError, match="unknown tuner 'xgboots'"):
        make_tuner("xgboots", candidates, seed=0)


def test_an_empty_space() -> None:
    with pytest.raises(ValueError, match="empty"):
        Candidates((), (), None, lambda config: ())
