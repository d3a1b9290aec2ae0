"""The pairs of runtimes that get a verdict."""

from __future__ import annotations

from dataclasses import replace

from tvmopt.benchmarks.measurements.statistics import summarize
from tvmopt.benchmarks.measurements.types import Measurement
from tvmopt.benchmarks.measurements.verdicts import judge_rows


def row(runtime: str, latency_s: float, status: str = "ok") -> Measurement:
    return Measurement(runtime, "FP32", 1, 2, status, latency_s=summarize([[latency_s, latency_s * 1.01]] * 6))


def test_ours_against_all_and_all_against_the_reference() -> None:
    rows = [row("pytorch", 8.0), row("openvino", 4.0), row("tvmopt-untuned", 4.4), row("tvmopt", 4.0)]
    verdicts = {(verdict.runtime, verdict.against): verdict for verdict in judge_rows(rows, "pytorch")}
    assert set(verdicts) == {
        ("tvmopt", "pytorch"),
        ("tvmopt", "openvino"),
        ("tvmopt", "tvmopt-untuned"),
        ("tvmopt-untuned", "pytorch"),
        ("tvmopt-untuned", "openvino"),
        ("openvino", "pytorch"),
    }
    assert verdicts["tvmopt", "pytorch"].ratio == 0.5
    assert verdicts["tvmopt", "pytorch"].outcome == "faster"
    assert verdicts["tvmopt", "openvino"].outcome == "no difference"
    assert verdicts["tvmopt-untuned", "openvino"].outcome == "slower"
    assert (verdicts["tvmopt", "openvino"].batch, verdicts["tvmopt", "openvino"].threads) == (1, 2)


def test_int8_is_judged_among_itself() -> None:
    rows = [
        row("onnxruntime", 8.0),
        row("openvino-int8", 4.0),
        row("tvmopt-int8-untuned", 2.0),
        row("tvmopt-int8", 1.0),
    ]
    rows = [replace(one, variant="INT8" if "int8" in one.runtime else "FP32") for one in rows]
    verdicts = {(v.runtime, v.against): v.ratio for v in judge_rows(rows, "onnxruntime")}
    assert verdicts["tvmopt-int8", "openvino-int8"] == 0.25
    assert ("tvmopt-int8-untuned", "openvino-int8") not in verdicts
    assert ("tvmopt-int8", "onnxruntime") in verdicts


def test_wrong_outputs_win_nothing() -> None:
    rows = [row("pytorch", 8.0), row("openvino", 0.1, "wrong"), row("tvmopt", 4.0)]
    assert [(v.runtime, v.against) for v in judge_rows(rows, "pytorch")] == [("tvmopt", "pytorch")]


def test_missing_rows_are_left_out() -> None:
    missing = Measurement("tvmopt", "FP32", 1, 2, "unavailable", "no records")
    assert judge_rows([row("onnxruntime", 1.0), missing], "onnxruntime") == []
    assert judge_rows([row("openvino", 1.0)], "pytorch") == []
