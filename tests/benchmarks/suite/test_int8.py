"""The table of networks in INT8."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.benchmarks.suite.suite_runs import with_medians
from tvmopt.benchmarks.measurements.files import read_comparisons
from tvmopt.benchmarks.measurements.types import Comparison
from tvmopt.benchmarks.suite import networks as suite
from tvmopt.benchmarks.suite.int8.networks import NETWORKS, int8_peers
from tvmopt.benchmarks.suite.int8.table import Int8Line, float_limit, passes_int8, render_int8, summarize_int8
from tvmopt.benchmarks.suite.regressions import compare_runs


def int8(comparison: Comparison, **seconds: float) -> Comparison:
    """`with_medians`, where rows in INT8 say so, and those whose names end so saturate."""
    measured = with_medians(comparison, **seconds)
    rows = [
        replace(
            row,
            variant="INT8" if "int8" in row.runtime else "FP32",
            settings={"saturates": "much"} if row.runtime.endswith("saturating") else {},
        )
        for row in measured.measurements
    ]
    return replace(measured, measurements=tuple(rows))


def test_ours_against_the_best_peer_that_does_not_saturate(comparison: Comparison) -> None:
    times = {"onnxruntime_int8": 2.0, "onnxruntime_int8_saturating": 0.5, "openvino_int8": 1.5, "onnxruntime": 0.1}
    (line,) = summarize_int8(int8(comparison, **times, tvmopt_int8_transfer=1.0, tvmopt_transfer=3.0))
    assert (line.peer, line.peer_s, line.ours_s, line.float_s) == ("openvino-int8", 1.5, 1.0, 3.0)
    assert (line.speed, line.gain) == (pytest.approx(1.5), pytest.approx(3.0))
    assert line.note == "onnxruntime-int8-saturating saturates: 500 ms"
    assert line.error == line.peer_error is not None


def test_what_is_missing_passes_nothing(comparison: Comparison) -> None:
    (line,) = summarize_int8(int8(comparison, onnxruntime_int8=2.0))
    assert (line.speed, line.gain, line.ours_s) == (None, None, None)
    assert not passes_int8([line], 1.0)
    assert not passes_int8([], 1.0)
    assert "Nothing was measured." in render_int8([line], 2.2)


def test_totals_and_limits() -> None:
    one = Int8Line("net", 1, 1, 4e-3, 1e-3, "openvino-int8", 2e-3, 2.0, (1.9, 2.1), 4.0, 0.1, 0.2)
    two = Int8Line("net", 1, 2, 1e-3, 1e-3, "onnxruntime-int8", 9.8e-4, 0.98, (0.9, 1.0), 1.0, 0.1, 0.2, "a note")
    lines = render_int8([one, two], 2.2).splitlines()
    assert lines[2] == "| net | 1 | 1 | 4 | 1 | openvino-int8 | 2 | 2.00 | 1.90–2.10 | 4.00 | 1.0e-01 | 2.0e-01 |  |"
    assert "| **0.98** | 0.90–1.00 | 1.00 | 1.0e-01 | 2.0e-01 | a note |" in lines[3]
    assert lines[5:] == [
        "Best INT8 peer / tvmopt INT8, geometric mean (≥ 1.35): 1.400.",
        "Worst (≥ 1): **0.98** (net, batch 1, threads 2).",
        "tvmopt FP32 / tvmopt INT8, geometric mean (≥ 2.2): **2.000**.",
        "On 1 thread: 2.000.",
        "On 2 threads: 0.980.",
    ]
    assert passes_int8([one], 2.2)
    assert not passes_int8([one, two], 1.0)


def test_the_limit_over_ours_depends_on_the_machine() -> None:
    assert float_limit(["avx2", "avx512f", "avx512_vnni"]) == 2.2
    assert float_limit(["avx2", "avx512f"]) == float_limit([]) == 1.6


def test_slower_int8_is_found_by_the_peer_in_int8(comparison: Comparison) -> None:
    then, now = (int8(comparison, onnxruntime_int8=2.0, tvmopt_int8_transfer=s) for s in (1.0, 1.2))
    (change,) = compare_runs([then], [now])
    assert (change.runtime, change.outcome) == ("tvmopt-int8-transfer", "slower")


def test_the_networks_are_known_and_eleven() -> None:
    assert len(set(NETWORKS)) == 11
    assert all(suite.model_of(name) for name in NETWORKS)
    assert {"onnxruntime-int8", "openvino-int8"} <= set(int8_peers())
    assert not any("saturating" in name or "tvmopt" in name for name in int8_peers())


@pytest.mark.parametrize("other", ["--short", "--networks"])
def test_int8_goes_alone(other: str) -> None:
    done = CliRunner().invoke(suite.main, ["--int8", other])
    assert done.exit_code == 2
    assert "--int8 with either" in done.output


@pytest.mark.slow
def test_a_small_run(tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    arguments = ["--int8", "--network", "m5_audio", "--peer", "onnxruntime-int8", "--threads", "1", "--rounds", "5"]
    done = CliRunner().invoke(suite.main, [*arguments, "--processor-time", "--results", str(tmp_path)])
    assert done.exit_code == 0, done.output
    (file,) = tmp_path.glob("*-int8.json")
    (comparison,) = read_comparisons(file)
    assert [(row.runtime, row.status) for row in comparison.measurements] == [
        ("onnxruntime-int8", "ok"),
        ("tvmopt-int8-transfer", "ok"),
        ("tvmopt-transfer", "ok"),
    ]
    assert comparison.protocol["clock"] == "processor"
    assert "Best INT8 peer / tvmopt INT8" in file.with_suffix(".md").read_text()
