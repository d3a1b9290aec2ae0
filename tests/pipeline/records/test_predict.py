"""Configs for tasks without measurements."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.tuning import synthetic
from tvmopt.pipeline.records.predict import Prediction, Predictor
from tvmopt.pipeline.records.store import RecordStore
from tvmopt.schedules.space import Config, config_key
from tvmopt.schedules.target import Target, parse_target
from tvmopt.schedules.workload import Workload

TEMPLATE = synthetic.SyntheticTemplate()
WORKLOAD = synthetic.convolution()
DEFAULT = TEMPLATE.default(WORKLOAD, synthetic.TARGET)
CONFIGS = synthetic.configs()


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> RecordStore:
    return RecordStore(tmp_path)


def fill(store: RecordStore, channels: tuple[int, ...], configs: list[Config], cpu: str = synthetic.CPU) -> None:
    for count in channels:
        for config in configs:
            store.append(synthetic.record(synthetic.convolution(count), config, cpu=cpu))


def predict(store: RecordStore) -> Prediction | None:
    return Predictor(store, synthetic.TARGET, synthetic.CPU).predict(WORKLOAD, TEMPLATE, DEFAULT)


def test_relatives_suggest_what_is_faster(store: RecordStore) -> None:
    fill(store, (32, 48, 96, 128), [DEFAULT, *CONFIGS[::12]])
    found = predict(store)
    assert found is not None
    assert found.relatives == 4
    assert found.nearest == synthetic.convolution(48).key
    gained = synthetic.latency_s(WORKLOAD, DEFAULT) / synthetic.latency_s(WORKLOAD, found.config)
    assert gained > 1.2
    assert found.speedup > 1.0
    assert TEMPLATE.space(WORKLOAD, synthetic.TARGET).contains(found.config)


def test_the_same_records_suggest_the_same(store: RecordStore) -> None:
    fill(store, (32, 128), [DEFAULT, *CONFIGS[::12]])
    first, again = predict(store), predict(RecordStore(store.directory))
    assert first == again
    assert first is not None


class TemplateThatAlsoSaysTheSameOfAll(synthetic.SyntheticTemplate):
    """Its last feature is large and constant, except for rounding."""

    def features(self, workload: Workload, target: Target, config: Config) -> tuple[float, ...]:
        own = super().features(workload, target, config)
        return (*own, 1e4 + 1e-9 * config["unroll"])


def test_constant_features_carry_no_information(store: RecordStore) -> None:
    fill(store, (32, 48, 96, 128), [DEFAULT, *CONFIGS[::12]])
    known = predict(store)
    found = Predictor(store, synthetic.TARGET, synthetic.CPU).predict(
        WORKLOAD, TemplateThatAlsoSaysTheSameOfAll(), DEFAULT
    )
    assert known is not None
    assert found is not None
    assert found.config == known.config
    assert found.speedup == pytest.approx(known.speedup, rel=1e-6)


class TemplateThatEstimates(synthetic.SyntheticTemplate):
    """Says that every config but the default takes `ratio` times as long."""

    ratio = 1.0

    def cycles(self, workload: Workload, target: Target, config: Config) -> float:
        return 1000.0 if config == DEFAULT else 1000.0 * self.ratio


@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.02, 2.0])
def test_the_templates_estimate_counts_against_records(store: RecordStore, ratio: float) -> None:
    fill(store, (32, 48, 96, 128), [DEFAULT, *CONFIGS[::12]])
    template = TemplateThatEstimates()
    template.ratio = ratio
    found = Predictor(store, synthetic.TARGET, synthetic.CPU).predict(WORKLOAD, template, DEFAULT)
    assert found == (predict(store) if ratio < 2 else None)


def test_the_same_workload_for_other_threads_is_the_nearest(store: RecordStore) -> None:
    fill(store, (128,), [DEFAULT, *CONFIGS[::12]])
    other = parse_target("x86-64-v3", 1)
    for config in (DEFAULT, *CONFIGS[::12]):
        store.append(synthetic.record(WORKLOAD, config, target_key=other.key, target={**other.to_json()}))
    found = predict(store)
    assert found is not None
    assert found.nearest == WORKLOAD.key


def test_no_prediction_when_nothing_beats_the_default(store: RecordStore) -> None:
    best = min(CONFIGS, key=lambda config: synthetic.latency_s(WORKLOAD, config))
    for count in (32, 48, 96, 128):
        relative = synthetic.convolution(count)
        for place, config in enumerate([best, *(c for c in CONFIGS[::12] if config_key(c) != config_key(best))]):
            store.append(synthetic.record(relative, config, status="ok", latency_s=(1e-3 * (1 + 0.1 * place),)))
    assert Predictor(store, synthetic.TARGET, synthetic.CPU).predict(WORKLOAD, TEMPLATE, best) is None


def test_a_single_config_of_a_relative_is_no_evidence(store: RecordStore) -> None:
    fill(store, (32, 48, 128), [CONFIGS[100]])
    assert predict(store) is None


def test_the_task_itself_is_not_asked(store: RecordStore) -> None:
    fill(store, (WORKLOAD.output.shape[1],), [DEFAULT, *CONFIGS[::12]])
    assert predict(store) is None


def test_other_instruction_sets_and_failures_say_nothing(store: RecordStore) -> None:
    other = parse_target("x86-64-v4", 2)
    for config in (DEFAULT, *CONFIGS[::12]):
        relative = synthetic.convolution(128)
        store.append(synthetic.record(relative, config, target_key=other.key, target=other.to_json()))
        store.append(synthetic.record(relative, config, status="wrong", latency_s=(), error="relative error 1"))
    assert predict(store) is None


def test_configs_that_left_the_space_are_passed_over(store: RecordStore) -> None:
    fill(store, (48, 128), [DEFAULT, *CONFIGS[::12]])
    expected = predict(store)
    gone = {**CONFIGS[0], "unroll": 64}
    store.append(synthetic.record(synthetic.convolution(48), gone, status="ok", latency_s=(1e-9,)))
    assert predict(store) == expected


def test_this_processors_records_come_first(store: RecordStore) -> None:
    fill(store, (48,), [DEFAULT, *CONFIGS[::12]], cpu="another processor")
    fill(store, (32,), [DEFAULT, *CONFIGS[::12]])
    found = Predictor(store, synthetic.TARGET, "another processor").predict(WORKLOAD, TEMPLATE, DEFAULT)
    assert found is not None
    assert found.nearest == synthetic.convolution(48).key


def test_a_template_without_choices(store: RecordStore) -> None:
    fill(store, (48, 128), [DEFAULT, *CONFIGS[::12]])
    nothing: Config = {}
    assert Predictor(store, synthetic.TARGET).predict(WORKLOAD, _NoKnobs(), nothing) is None


class _NoKnobs(synthetic.SyntheticTemplate):
    """Another template, without records."""

    name = "without knobs"
