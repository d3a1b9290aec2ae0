"""Regressions since earlier results."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.benchmarks.suite.suite_runs import with_medians
from tvmopt.benchmarks.measurements.types import Comparison
from tvmopt.benchmarks.suite.regressions import compare_runs, regressions, render_changes
from tvmopt.pipeline.errors import UsageError


def test_slower_than_onnxruntime_of_the_same_run(comparison: Comparison) -> None:
    then = with_medians(comparison, onnxruntime=2.0, tvmopt_untuned=1.5, tvmopt=1.0)
    now = with_medians(comparison, onnxruntime=2.0, tvmopt_untuned=1.2, tvmopt=1.1)
    changes = compare_runs([then], [now])
    assert [(change.runtime, change.outcome) for change in changes] == [
        ("tvmopt", "slower"),
        ("tvmopt-untuned", "faster"),
    ]
    assert [change.runtime for change in regressions(changes)] == ["tvmopt"]
    told = render_changes(changes, "results.json").splitlines()
    assert told[0] == "Latency over onnxruntime's, against results.json: 0 of 2 without a difference."
    assert told[4].endswith("| 0.500 (0.500–0.500) | 0.550 (0.550–0.550) | +10% | **slower** |")


def test_a_slower_day_is_no_regression(comparison: Comparison) -> None:
    then = with_medians(comparison, onnxruntime=2.0, tvmopt=1.0)
    now = with_medians(comparison, onnxruntime=3.0, tvmopt=1.5)
    assert regressions(compare_runs([then], [now])) == []


def test_intervals_that_meet_are_no_regression(comparison: Comparison) -> None:
    then = with_medians(comparison, onnxruntime=2.0, tvmopt=(1.0, 1.0, 1.1, 1.3, 1.4))
    now = with_medians(comparison, onnxruntime=2.0, tvmopt=(1.1, 1.2, 1.3, 1.4, 1.4))
    (change,) = compare_runs([then], [now])
    assert change.outcome == "no difference"
    assert render_changes([change], "x").splitlines() == [
        "Latency over onnxruntime's, against x: 1 of 1 without a difference."
    ]


def test_a_small_difference_is_no_regression(comparison: Comparison) -> None:
    then = with_medians(comparison, onnxruntime=2.0, tvmopt=1.0)
    now = with_medians(comparison, onnxruntime=2.0, tvmopt=1.02)
    assert regressions(compare_runs([then], [now])) == []


def test_unlike_machines_are_refused(comparison: Comparison) -> None:
    now = with_medians(comparison, onnxruntime=2.0, tvmopt=1.0)
    then = replace(now, environment={**now.environment, "cpu": "Another CPU"})
    with pytest.raises(UsageError, match="the same machine: their cpu is Another CPU, this one's "):
        compare_runs([then], [now])


def test_nothing_in_common_is_refused(comparison: Comparison) -> None:
    now = with_medians(comparison, onnxruntime=2.0, tvmopt=1.0)
    then = replace(now, model={**now.model, "name": "another"})
    with pytest.raises(UsageError, match="no network, batch size and thread count in common"):
        compare_runs([then], [now])
