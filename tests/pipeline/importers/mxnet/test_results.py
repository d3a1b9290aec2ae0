"""Operators beside MXNet 1.9.1: what it computed, kept in a file, and what it computes where it is installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.pipeline.importers.mxnet.cases import CASES, Case
from tests.pipeline.importers.mxnet.files import params_bytes
from tests.pipeline.importers.mxnet.reference import RESULTS, by_mxnet
from tvmopt.pipeline.importers.mxnet.build import import_mxnet
from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest
from tvmopt.pipeline.support.onnxruntime import run_model


@pytest.fixture(scope="module")
def results() -> Mapping[str, np.ndarray]:
    with np.load(RESULTS) as file:
        return dict(file)


def outputs_of(case: Case, results: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    places = sorted(name for name in results if name.startswith(f"{case.name}/output"))
    return [results[name] for name in places]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_operator_computes_what_mxnet_does(case: Case, results: Mapping[str, np.ndarray], tmp_path: Path) -> None:
    arrays = case.arrays()
    inputs = {name: array for name, array in arrays.items() if name.startswith("data")}
    (tmp_path / "net-symbol.json").write_bytes(results[f"{case.name}/symbol"].tobytes())
    stored = {f"arg:{name}": array for name, array in arrays.items() if name not in inputs}
    (tmp_path / "net-0000.params").write_bytes(params_bytes(stored))
    request = ShapeRequest({name: array.shape for name, array in inputs.items()})
    model = import_mxnet(tmp_path / "net-symbol.json", request)
    onnx.checker.check_model(model, full_check=True)
    used = {value.name for value in model.graph.input}
    found = run_model(model, {name: array for name, array in inputs.items() if name in used})
    expected = outputs_of(case, results)
    assert len(found) == len(expected)
    for value, right in zip(found.values(), expected, strict=True):
        assert value.shape == right.shape
        np.testing.assert_allclose(value, right, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_kept_results_are_those_of_mxnet(case: Case, results: Mapping[str, np.ndarray]) -> None:
    pytest.importorskip("mxnet", reason="MXNet is not installed: the kept results stand for it")
    found = by_mxnet(case)
    for place, right in enumerate(outputs_of(case, results)):
        np.testing.assert_allclose(found[f"output{place}"], right, rtol=1e-4, atol=2e-5)
