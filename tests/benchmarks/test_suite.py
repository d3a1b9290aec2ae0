"""The table of what this project is held to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.measurement import Comparison, Measurement
from benchmarks.statistics import summarize
from benchmarks.suite import Line, render_table, summarize_comparison


def with_medians(comparison: Comparison, **seconds: float) -> Comparison:
    """`comparison` with one cell and these medians; dashes of runtimes' names are written as underscores."""
    template = comparison.measurements[0]
    error = comparison.measurements[2].output_error
    rows = [
        replace(template, runtime=name.replace("_", "-"), latency_s=summarize([[s]] * 5), output_error=error)
        for name, s in seconds.items()
    ]
    return replace(comparison, measurements=tuple(rows), verdicts=())


def test_ratios(comparison: Comparison) -> None:
    measured = with_medians(comparison, onnxruntime=2.0, openvino=1.6, tvmopt_untuned=2.4, tvmopt=1.76)
    (line,) = summarize_comparison(measured)
    assert line.untuned == pytest.approx(1.2)
    assert line.tuned == pytest.approx(1.1)
    assert line.passes


def test_missing_rows_do_not_pass(comparison: Comparison) -> None:
    absent = Measurement("tvmopt", "FP32", 1, 1, "unavailable", "no records")
    measured = with_medians(comparison, onnxruntime=2.0, tvmopt_untuned=2.4)
    (line,) = summarize_comparison(replace(measured, measurements=(*measured.measurements, absent)))
    assert line.tuned is None
    assert line.note == "tvmopt: no records"
    assert not line.passes


def test_table_marks_what_misses_its_limit() -> None:
    lines = [Line("net", 1, 1.2, 1.05, 1e-6, ""), Line("net", 2, 1.6, None, 2e-4, "tvmopt: no records")]
    table = render_table(lines).splitlines()
    assert table[2] == "| net | 1 | 1.20 | 1.05 | 1.0e-06 |  |"
    assert table[3] == "| net | 2 | **1.60** | – | **2.0e-04** | tvmopt: no records |"
    assert [line.passes for line in lines] == [True, False]
