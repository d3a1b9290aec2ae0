"""What a report says of several cells and of searches for parameters."""

from __future__ import annotations

from dataclasses import replace

from tvmopt.benchmarks.measurements.search import Search, Trial
from tvmopt.benchmarks.measurements.types import Comparison, Latency, Measurement
from tvmopt.benchmarks.report.markdown import render_markdown
from tvmopt.benchmarks.report.overview import view_sweep
from tvmopt.benchmarks.report.page import render_page
from tvmopt.benchmarks.report.searches import view_searches


def row(runtime: str, batch: int, threads: int, median_s: float | None) -> Measurement:
    if median_s is None:
        return Measurement(runtime, "FP32", batch, threads, "failed", "no luck")
    samples = (median_s,) * 5
    latency = Latency(*(median_s,) * 5, stdev=0.0, interval=(median_s, median_s), samples=samples, turns=(1,) * 5)
    return Measurement(runtime, "FP32", batch, threads, "ok", latency_s=latency)


def with_rows(comparison: Comparison, *rows: Measurement) -> Comparison:
    return replace(comparison, measurements=rows, verdicts=())


def test_several_cells_end_in_one_table(comparison: Comparison) -> None:
    swept = with_rows(
        comparison,
        row("onnxruntime", 1, 1, 0.010),
        row("openvino", 1, 1, 0.020),
        row("onnxruntime", 4, 2, 0.050),
        row("openvino", 4, 2, 0.010),
        row("mnn", 1, 1, 0.5),
        row("mnn", 4, 2, None),
        row("ncnn", 1, 1, None),
        row("ncnn", 4, 2, None),
    )
    sweep = view_sweep(swept)
    assert sweep is not None
    assert sweep.columns == ("batch 1, 1 thread", "batch 4, 2 threads")
    assert sweep.lines == (
        ("ONNX Runtime", ("10.0 (100)", "50.0 (80.0)"), "batch 1, 1 thread"),
        ("OpenVINO", ("20.0 (50.0)", "10.0 (400)"), "batch 4, 2 threads"),
        ("MNN", ("500 (2.00)", "–"), "batch 1, 1 thread"),
    )
    heading = "All batch sizes and thread counts"
    assert heading in render_markdown([swept])
    assert heading in render_page([swept])


def test_one_cell_has_no_such_table(comparison: Comparison) -> None:
    assert view_sweep(with_rows(comparison, row("onnxruntime", 1, 1, 0.01), row("mnn", 1, 1, 0.02))) is None


def test_what_searches_found(comparison: Comparison) -> None:
    taken = Trial("threads", "1", "taken", 0.5, (0.4, 0.6))
    broken = Trial("fusion", "off", "failed", message="wrong outputs: relative error 1, above 0.001 for FP32")
    searches = {
        "onnxruntime": Search({"threads": "1"}, 0.5, (0.4, 0.625), True, (taken, broken), 9, 12.0),
        "openvino": Search({}, 1.01, (0.9, 1.1), False, (taken,), 9, 12.0),
        "mnn": Search({}, None, None, False, (broken,), 9, 12.0),
        "litert": Search({}, None, None, False, (taken,), 9, 12.0, "load failed: no luck"),
    }
    rows = [replace(row(name, 1, 2, 0.01), search=search) for name, search in searches.items()]
    searched = with_rows(comparison, *rows, row("ncnn", 1, 2, 0.01))
    protocol = {**comparison.protocol, "search": {"seconds": 20.0, "least_gain": 0.01}}
    searched = replace(searched, protocol=protocol)
    (view,) = view_searches(searched)
    assert view.where == "batch 1, 2 threads"
    failed = "fusion: off (wrong outputs: relative error 1, above 0.001 for FP32)"
    assert view.lines == (
        ("ONNX Runtime", "threads: 1", "2.00×", "1.60–2.50", f"2, of them failed: {failed}"),
        ("OpenVINO", "its defaults; threads: 1 was not confirmed", "0.99×", "0.91–1.11", "1"),
        ("MNN", "its defaults", "–", "", f"1, of them failed: {failed}"),
        ("LiteRT", "its defaults; threads: 1 was not confirmed (load failed: no luck)", "–", "", "1"),
    )
    for text in (render_markdown([searched]), render_page([searched])):
        assert "threads: 1 was not confirmed" in text
        assert "searched for about 20 s of turns each" in text


def test_without_a_search_there_is_no_word_of_it(comparison: Comparison) -> None:
    assert view_searches(comparison) == []
    assert "search" not in render_markdown([comparison]).casefold()
