"""The tables of the literature's networks."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from tests.benchmarks.suite.suite_runs import with_medians
from tvmopt.benchmarks.measurements.files import to_document
from tvmopt.benchmarks.measurements.types import Comparison, Measurement
from tvmopt.benchmarks.suite.literature import dli
from tvmopt.benchmarks.suite.literature.dli import Source, measure_sources, render_sources
from tvmopt.benchmarks.suite.literature.sets import BEST, CALLS, SETS, Entry, main, render
from tvmopt.pipeline.devices.environments.run_script import ScriptError
from tvmopt.pipeline.errors import UnsupportedModelError
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
    folder = tmp_path / "of" / "tables"  # which it makes
    arguments = ["renault", "--network", "fc_dnn", "--peer", "onnxruntime", "--results", str(folder)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    written = (folder / "renault.md").read_text()
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


def test_why_a_runtime_of_a_limit_is_missing(comparison: Comparison) -> None:
    absent = Measurement("mxnet", "FP32", 1, 1, "unavailable", "mxnet not installed")
    found = with_medians(comparison, onnxruntime=2.0, tvmopt_transfer=1.0)
    measured = {"net": replace(found, measurements=(*found.measurements, absent))}
    entries = [Entry("net", "", {"mxnet": 3.0, "mxnet-hybrid": 3.0, BEST: 1.1}), Entry("other", "", {})]
    lines = render(entries, measured, None, {"other": "no such file"}).splitlines()
    assert "mxnet ≥ 3: not measured; mxnet-hybrid ≥ 3: not measured; best peer ≥ 1.1: 2.00" in lines[2]
    assert lines[3].startswith("| other | not measured |")
    assert lines[4:] == [
        "",
        "- other: no such file",
        "- net: mxnet unavailable: mxnet not installed",
        "- net: it was not measured with mxnet-hybrid",
    ]


def test_an_unknown_network() -> None:
    done = CliRunner().invoke(main, ["renault", "--network", "fc_dn"])
    assert done.exit_code == 2
    assert "unknown network 'fc_dn'; did you mean fc_dnn" in done.output


TROUBLE: dict[str, Exception] = {
    "tensorflow": ScriptError("no luck", 1),
    "tflite": UnsupportedModelError("no such operator"),
    "onnx": ValueError("too many values\nto unpack"),
}


def pretend(monkeypatch: pytest.MonkeyPatch, comparison: Comparison, trouble: dict[str, Exception]) -> None:
    """Sources that are not written, of which those in `trouble` fail."""

    def save(folder: Path, source: str) -> str:
        if source in trouble:
            raise trouble[source]
        return f"{folder}/{source}.onnx"

    @contextmanager
    def sources() -> Iterator[Any]:
        yield SimpleNamespace(save=save)

    monkeypatch.setattr(dli, "five_sources", sources)
    monkeypatch.setattr(dli, "outputs_of", lambda spec: np.ones(3, np.float32))
    monkeypatch.setattr(dli, "run_comparison", lambda *_: to_document(comparison))


def test_a_source_that_fails_ends_no_other(monkeypatch: pytest.MonkeyPatch, comparison: Comparison) -> None:
    pretend(monkeypatch, comparison, TROUBLE)
    found = {source.name: source for source in measure_sources((), 1, 5, 5)}
    assert {name: source.reason for name, source in found.items()} == {
        "tensorflow": "no luck",
        "tflite": "no such operator",
        "mxnet": "",
        "onnx": "ValueError: too many values to unpack",
        "pytorch": "",
    }
    assert [name for name, source in found.items() if source.comparison] == ["mxnet", "pytorch"]
    assert (found["mxnet"].apart, found["tflite"].apart) == (0.0, None)


def test_without_pytorch_the_others_are_measured(monkeypatch: pytest.MonkeyPatch, comparison: Comparison) -> None:
    pretend(monkeypatch, comparison, {"pytorch": ModuleNotFoundError("No module named 'torch'")})
    found = measure_sources(("onnx", "pytorch"), 1, 5, 5)
    said = "ModuleNotFoundError: No module named 'torch'"
    assert [source.reason for source in found] == [f"there are no outputs of PyTorch to compare with: {said}", said]
    assert found[0].comparison is not None
    assert found[0].apart is None
