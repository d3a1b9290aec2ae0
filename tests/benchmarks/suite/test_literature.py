"""The tables of the literature's networks."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.benchmarks.suite.suite_runs import with_medians
from tvmopt.benchmarks.measurements.types import Comparison
from tvmopt.benchmarks.suite.literature.dli import Source, render_sources
from tvmopt.benchmarks.suite.literature.sets import BEST, CALLS, SETS, Entry, main, render
from tvmopt.pipeline.support.shipped import shipped


@pytest.mark.parametrize("name", SETS)
def test_every_network_has_its_factory(name: str) -> None:
    for entry in SETS[name]:
        file, _, factory = entry.model.partition(":")
        tree = ast.parse((shipped("models") / file).read_text())
        made = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        made |= {target.id for node in tree.body if isinstance(node, ast.Assign) for target in _names(node)}
        assert factory in made, entry.model


def _names(node: ast.Assign) -> list[ast.Name]:
    return [target for target in node.targets if isinstance(target, ast.Name)]


def test_limits_are_checked_against_the_runtime_that_they_name(comparison: Comparison) -> None:
    measured = {"net": with_medians(comparison, pytorch=5.0, onnxruntime=2.2, openvino=2.0, tvmopt_transfer=1.0)}
    entry = Entry("net", "", {"pytorch": 6.0, BEST: 2.0, "mxnet": 3.0})
    row = render([entry], measured, None).splitlines()[2]
    assert row.startswith("| net | 1000 | 5000 | openvino | 2000 | 5.00 | 2.00 |")
    assert "**pytorch ≥ 6: 5.00**; best peer ≥ 2: 2.00; mxnet ≥ 3: not measured" in row


def test_calls_from_python_have_their_own_rows(comparison: Comparison) -> None:
    measured = {"net": with_medians(comparison, pytorch=30.0, tvmopt_transfer=1.0, tvmopt_called=2.5)}
    calls = {"tvmopt-called": "called", "tvmopt-bound": "bound"}
    rows = render([Entry("net", "", {"pytorch": 15.0}, calls)], measured, None).splitlines()[2:]
    assert rows[0].startswith("| net | 1000 | 3e+04 | pytorch | 3e+04 | 30.00 | 30.00 | pytorch ≥ 15: 30.00 |")
    assert rows[1].startswith("| net, called | 2500 | 3e+04 | – | – | 12.00 | – | **pytorch ≥ 15: 12.00** |")
    assert rows[2].startswith("| net, bound | failed |")


def test_the_mean_and_what_was_not_measured(comparison: Comparison) -> None:
    entries = [Entry(name, "", {BEST: 0.95}) for name in ("a", "b", "c")]
    measured = {
        "a": with_medians(comparison, onnxruntime=2.0, tvmopt_transfer=1.0),
        "b": with_medians(comparison, onnxruntime=0.5, tvmopt_transfer=1.0),
    }
    text = render(entries, measured, 1.15)
    assert "Geometric mean over the best peers (≥ 1.15): **1.000**; worst 0.50." in text
    assert "| c | not measured |" in text


@pytest.mark.slow
def test_a_small_run(tmp_path: Path) -> None:
    arguments = ["renault", "--network", "fc_dnn", "--peer", "onnxruntime", "--results", str(tmp_path)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    written = (tmp_path / "renault.md").read_text()
    assert all(f"| fc_dnn{call} |" in written for call in ("", *(f", {title}" for title in CALLS.values())))
    assert "failed" not in written


def test_sources_beside_each_other_and_why_one_is_missing(comparison: Comparison) -> None:
    sources = [
        Source("onnx", with_medians(comparison, onnxruntime=2e-3, tvmopt_transfer=1e-3), 3e-6),
        Source("mxnet", with_medians(comparison, tvmopt_transfer=1e-3), 2e-4),
        Source("tensorflow", reason="tensorflow-cpu not installed"),
    ]
    lines = render_sources(sources).splitlines()
    assert lines[2].startswith("| onnx | ONNX Runtime | 2 | 500.0 | 1 | 1000.0 | 2.00 |")
    assert lines[2].endswith("| 3.0e-06 |")
    assert lines[3].startswith("| mxnet | MXNet | – | – | 1 | 1000.0 | – |")
    assert lines[3].endswith("| **2.0e-04** |")
    assert lines[6:] == ["- mxnet: it was not measured with mxnet", "- tensorflow: tensorflow-cpu not installed"]


@pytest.mark.slow
def test_a_small_run_of_one_source(tmp_path: Path) -> None:
    arguments = ["dli", "--network", "onnx", "--rounds", "5", "--iterations", "5", "--results", str(tmp_path)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert "| onnx | ONNX Runtime |" in (tmp_path / "dli.md").read_text()
