"""Learning from the records of other tasks."""

from __future__ import annotations

import dataclasses
import statistics
from pathlib import Path

import pytest

from tests.pipeline.tuning import synthetic
from tvmopt.pipeline.records.record import target_facts
from tvmopt.pipeline.records.related import TransferQuery, distance, nearest
from tvmopt.pipeline.records.store import RecordStore
from tvmopt.pipeline.tuning.candidates import Candidates
from tvmopt.pipeline.tuning.related_samples import RelatedSamples
from tvmopt.pipeline.tuning.tuners import make_tuner
from tvmopt.schedules.target import parse_target

SUBJECT = TransferQuery(synthetic.convolution(), synthetic.TARGET, synthetic.SyntheticTemplate(), synthetic.CPU)
CONFIGS = synthetic.configs()


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> RecordStore:
    return RecordStore(tmp_path)


def test_nearest_first_and_never_the_subject_itself(store: RecordStore) -> None:
    for channels in (512, 64, 128):
        store.append(synthetic.record(synthetic.convolution(channels), CONFIGS[5]))
    found = [relative.records[0].workload.output.shape[1] for relative in nearest(store, SUBJECT)]
    assert found == [128, 512]


def test_the_same_workload_on_another_processor_is_related(store: RecordStore) -> None:
    store.append(synthetic.record(SUBJECT.workload, CONFIGS[5]))
    store.append(synthetic.record(SUBJECT.workload, CONFIGS[6], cpu="another processor"))
    (relative,) = nearest(store, SUBJECT)
    assert relative.distance == 0.0
    assert [record.cpu for record in relative.records] == ["another processor"]


def test_other_threads_are_related_and_other_instruction_sets_are_not(store: RecordStore) -> None:
    for name, threads in (("x86-64-v3", 8), ("x86-64-v4", 2), ("aarch64", 2)):
        target = parse_target(name, threads)
        changes = {"target_key": target.key, "target": target_facts(target)}
        store.append(synthetic.record(SUBJECT.workload, CONFIGS[5], **changes))
    (relative,) = nearest(store, SUBJECT)
    assert relative.records[0].target["threads"] == 8
    assert relative.distance == 2.0


def test_other_template_versions_and_failures_teach_nothing(store: RecordStore) -> None:
    store.append(synthetic.record(synthetic.convolution(128), CONFIGS[5], template_version=2))
    failed = next(c for c in CONFIGS if synthetic.trial(SUBJECT.workload, c).status != "ok")
    store.append(synthetic.record(synthetic.convolution(128), failed))
    assert nearest(store, SUBJECT) == []


def test_another_operator_or_rank_is_no_relative() -> None:
    record = synthetic.record(synthetic.convolution(128), CONFIGS[5])
    other = dataclasses.replace(record.workload, op="depthwise_conv2d")
    assert distance(dataclasses.replace(record, workload=other), SUBJECT) is None
    assert distance(record, SUBJECT) == pytest.approx(4.0)  # data, weights twice, output


def test_samples_are_few_and_cover_fast_and_slow(store: RecordStore) -> None:
    workload = synthetic.convolution(128)
    synthetic.write_table(store.directory, workload)
    candidates = Candidates.of(SUBJECT.template, SUBJECT.workload, SUBJECT.target)
    (samples,) = RelatedSamples(store, SUBJECT, candidates)()
    latencies = [synthetic.latency_s(workload, c) for c in CONFIGS if synthetic.trial(workload, c).latency_s]
    assert samples.features.shape == (64, candidates.features.shape[1])
    assert samples.speed.max() == pytest.approx(1 / min(latencies))
    assert samples.speed.min() == pytest.approx(1 / max(latencies))
    assert 0 < samples.weight < 1


def test_related_records_make_the_first_trials_better(store: RecordStore) -> None:
    for channels in (32, 128):
        synthetic.write_table(store.directory / str(channels), synthetic.convolution(channels))
        for record in RecordStore(store.directory / str(channels)).records()[::4]:
            store.append(record)
    candidates = dataclasses.replace(Candidates.of(SUBJECT.template, SUBJECT.workload, SUBJECT.target), default=None)
    related = RelatedSamples(store, SUBJECT, candidates)
    first = {
        name: [
            min(synthetic.latency_s(SUBJECT.workload, config) for config in tuner.propose(8))
            for tuner in (make_tuner("xgb", candidates, seed, source) for seed in range(9))
        ]
        for name, source in (("cold", tuple), ("warm", related))
    }
    assert statistics.median(first["warm"]) < 0.9 * statistics.median(first["cold"])
