"""The table of the project's performance limits, and a small run of the suite."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.benchmarks.suite.suite_runs import with_medians
from tvmopt.benchmarks.measurements.files import read_comparisons, to_document, to_suite, write_document
from tvmopt.benchmarks.measurements.types import Comparison, Measurement
from tvmopt.benchmarks.suite import networks as suite
from tvmopt.benchmarks.suite.network_table import (
    Line,
    mean_speed,
    passes,
    render_settings,
    render_table,
    summarize_comparison,
)
from tvmopt.pipeline.support.shipped import shipped


def test_the_best_peer_over_ours(comparison: Comparison) -> None:
    measured = with_medians(comparison, onnxruntime=2.0, openvino=1.6, mnn=1.8, tvmopt_untuned=2.4, tvmopt=1.25)
    (line,) = summarize_comparison(measured)
    assert (line.peer, line.peer_s, line.runtime) == ("openvino", 1.6, "tvmopt")
    assert (line.ours_s, line.untuned_s) == (1.25, 2.4)
    assert line.speed == pytest.approx(1.28)
    assert line.interval == pytest.approx((1.28, 1.28))
    assert line.memory == pytest.approx(0.8)
    assert line.passes


def test_int8_is_no_peer(comparison: Comparison) -> None:
    measured = with_medians(comparison, onnxruntime=2.0, onnxruntime_int8=1.0, tvmopt=1.0)
    (line,) = summarize_comparison(measured)
    assert line.peer == "onnxruntime"


def test_untuned_stands_in_where_there_are_no_records(comparison: Comparison) -> None:
    absent = Measurement("tvmopt", "FP32", 1, 1, "unavailable", "no records")
    measured = with_medians(comparison, onnxruntime=2.0, tvmopt_untuned=2.5)
    (line,) = summarize_comparison(replace(measured, measurements=(*measured.measurements, absent)))
    assert line.runtime == "tvmopt-untuned"
    assert line.speed == pytest.approx(0.8)
    assert line.note == "tvmopt: no records"
    assert not line.passes
    assert "2500 (untuned)" in render_table([line])


def test_unmeasured_lines_do_not_pass(comparison: Comparison) -> None:
    (line,) = summarize_comparison(with_medians(comparison, onnxruntime=2.0))
    assert line.speed is None
    assert not line.passes
    assert not passes([line])
    assert mean_speed([line]) is None
    assert "Nothing was measured." in render_table([line])


def test_table_marks_what_misses_its_limit() -> None:
    good = Line("net", 1, 1, "tvmopt", 1e-3, 2e-3, "mnn", 1.6e-3, 1.6, (1.5, 1.7), 0.75, 1e-6)
    bad = Line("net", 4, 2, "tvmopt", 1e-3, None, "ncnn", 9e-4, 0.9, (0.88, 0.93), 1.25, 2e-4, "litert: not installed")
    table = render_table([good, bad]).splitlines()
    assert table[2] == "| net | 1 | 1 | 2 | 1 | mnn | 1.6 | 1.60 | 1.50–1.70 | 0.75 | 1.0e-06 |  |"
    assert table[3] == (
        "| net | 4 | 2 | – | 1 | ncnn | 0.9 | **0.90** | 0.88–0.93 | **1.25** | **2.0e-04** | litert: not installed |"
    )
    assert table[5:] == [
        "Geometric mean (≥ 1.2): 1.200.",
        "Worst (≥ 1): **0.90** (net, batch 4, threads 2).",
        "On 1 thread: 1.600.",
        "On 2 threads: 0.900.",
        "Most memory over onnxruntime's (≤ 1): **1.25** (net).",
    ]
    assert [line.passes for line in (good, bad)] == [True, False]
    assert passes([good])
    assert not passes([replace(good, speed=1.1)])


def test_settings_are_listed_once_for_each_runtime(comparison: Comparison) -> None:
    told = render_settings([comparison, comparison]).splitlines()[2:]
    names = {row.runtime for row in comparison.measurements if row.settings}
    assert len(told) == len(names)
    assert any(line.startswith("- **onnxruntime**: provider: CPUExecutionProvider; ") for line in told)


def test_every_network_has_its_file() -> None:
    assert all((shipped("models") / f"{name}.py").is_file() for name in suite.NETWORKS)
    assert set(suite.SHORT_NETWORKS) | set(suite.BATCHED) <= set(suite.NETWORKS)


@pytest.mark.slow
def test_a_small_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "TUNED", "tvmopt-untuned")
    arguments = ["--network", "fc_dnn", "--peer", "onnxruntime", "--threads", "1", "--rounds", "5"]
    done = CliRunner().invoke(suite.main, [*arguments, "--results", str(tmp_path)])
    assert done.exit_code == 0, done.output
    (file,) = tmp_path.glob("*.json")
    (comparison,) = read_comparisons(file)
    assert [row.status for row in comparison.measurements] == ["ok", "ok"]
    assert "| fc_dnn | 1 | 1 |" in file.with_suffix(".md").read_text()


def test_a_slowdown_fails_the_check(comparison: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    then = with_medians(comparison, onnxruntime=2.0, tvmopt=1.0)
    now = with_medians(comparison, onnxruntime=2.0, tvmopt=1.1)
    write_document(to_suite([to_document(then)]), tmp_path / "then.json")
    monkeypatch.setattr(suite, "run_comparison", lambda *_: to_document(now))
    arguments = [
        "--network",
        "mobilenet_v2",
        "--results",
        str(tmp_path / "now"),
        "--against",
        str(tmp_path / "then.json"),
    ]
    done = CliRunner().invoke(suite.main, arguments)
    assert done.exit_code == 0, done.output
    assert "| tvmopt | 0.500 (0.500–0.500) | 0.550 (0.550–0.550) | +10% | **slower** |" in done.output
    assert CliRunner().invoke(suite.main, [*arguments, "--check"]).exit_code == 1


def test_a_missing_file_of_results_ends_the_run_before_it_begins(tmp_path: Path) -> None:
    done = CliRunner().invoke(suite.main, ["--against", str(tmp_path / "none.json")])
    assert done.exit_code == 1
    assert "none.json: cannot be read" in done.output
