"""The reasons why records apply or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.tuning import synthetic
from tvmopt.pipeline.records.explain import explain
from tvmopt.pipeline.records.record import Record, target_facts
from tvmopt.pipeline.records.store import RecordStore
from tvmopt.schedules.host import host_cpu
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.target import parse_target
from tvmopt.schedules.workload import Tensor, Workload

WORKLOAD = synthetic.convolution()
CONFIG = synthetic.configs()[3]
OTHER = parse_target("x86-64-v4", threads=8)


def record(**changes: Any) -> Record:
    return synthetic.record(WORKLOAD, CONFIG, **{"cpu": host_cpu(), **changes})


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ([], "no record of this workload, nor of one like it"),
        (
            [synthetic.record(synthetic.convolution(128), CONFIG)],
            "no record of this workload; a search would learn from 1 like it, the nearest conv2d-",
        ),
        (
            [record(target_key=OTHER.key, target=target_facts(OTHER))] * 2,
            "x86_64-avx512-8t, 2 records: another target: instruction set avx512, here avx2; threads 8, here 2",
        ),
        ([record(target_key="unheard-of", target={})], "another target: unheard-of, here x86_64-avx2-2t"),
        ([record(template="older")], "made with template older, but synthetic now computes this workload"),
        ([record(template_version=3)], "made with synthetic version 3, this release has 1"),
        (
            [record(status="wrong", latency_s=(), error="x"), record(status="crash", latency_s=(), error="x")],
            "no trial succeeded: 1 wrong, 1 crash",
        ),
        (
            [synthetic.record(WORKLOAD, {**CONFIG, "unroll": 32}, cpu=host_cpu(), status="ok", latency_s=(1e-3,))],
            "unroll 32, rows_outer 1 is no longer in the space of synthetic; tune again",
        ),
    ],
)
def test_records_that_do_not_apply_say_why(tmp_path: Path, records: list[Record], reason: str) -> None:
    store = RecordStore(tmp_path)
    for item in records:
        store.append(item)
    told = explain(store, WORKLOAD, synthetic.TARGET, synthetic.SyntheticTemplate())
    assert told.record is None
    assert len(told.reasons) == 1
    assert reason in told.reasons[0]


def test_applied_records_are_explained(tmp_path: Path) -> None:
    store = RecordStore(tmp_path)
    store.append(record(template_version=2))
    store.append(record(latency_s=(1.25e-3,)))
    told = explain(store, WORKLOAD, synthetic.TARGET, synthetic.SyntheticTemplate())
    assert told.record is not None
    assert told.record.median_s == 1.25e-3
    assert "version 2" in told.reasons[0]
    assert told.reasons[1].startswith("x86_64-avx2-2t, 1 record: applies, 1.25 ms with rows 1, columns 1")
    assert "measured on" not in told.reasons[1]


def test_records_of_another_processor_are_named(tmp_path: Path) -> None:
    store = RecordStore(tmp_path)
    store.append(record(cpu="a board"))
    told = explain(store, WORKLOAD, synthetic.TARGET, synthetic.SyntheticTemplate())
    assert told.record is not None
    assert told.reasons[0].endswith("measured on a board")


def test_suggestions_of_related_records_are_named(tmp_path: Path) -> None:
    store = RecordStore(tmp_path)
    template = synthetic.SyntheticTemplate()
    for channels in (32, 48, 96, 128):
        relative = synthetic.convolution(channels)
        for config in (template.default(relative, synthetic.TARGET), *synthetic.configs()[::12]):
            store.append(synthetic.record(relative, config, cpu=host_cpu()))
    told = explain(store, WORKLOAD, synthetic.TARGET, template)
    assert told.record is None
    assert told.predicted is not None
    assert told.reasons[0].startswith("no record of this workload; a search would learn from 4 like it")
    assert told.reasons[1].startswith("by transfer: rows ")
    assert told.reasons[1].endswith(
        "× the default's speed, from 4 like it, the nearest " + synthetic.convolution(48).key
    )


def test_a_kernel_without_choices_needs_no_record(tmp_path: Path) -> None:
    workload = Workload("relayout", (Tensor((1, 16, 4, 5)),), Tensor((1, 16, 4, 5), block=16))
    target = parse_target("llvm", 1)
    told = explain(RecordStore(tmp_path), workload, target, template_for(workload, target))
    assert told.reasons == ("needs no record: the template has no choice here",)
