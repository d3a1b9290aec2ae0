"""MobileNetV2 from five sources: the files hold the same network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tvmopt.benchmarks.suite.literature.dli import ALLOWED, five_sources, outputs_of
from tvmopt.pipeline.devices.environments.places import find_python, missing
from tvmopt.pipeline.devices.environments.registry import find_environment
from tvmopt.pipeline.importers.load import load_onnx
from tvmopt.pipeline.support.numeric_error import numeric_error

pytestmark = pytest.mark.slow

PARAMETERS = 3_504_872


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """PyTorch's outputs, of which no two are the same."""
    with five_sources() as written:
        found = outputs_of(written.save(tmp_path_factory.mktemp("pytorch"), "pytorch"))
    assert len(np.unique(found)) > 990
    return found


@pytest.mark.parametrize("source", ["onnx", "mxnet", "tensorflow", "tflite"])
def test_outputs_agree(source: str, expected: np.ndarray, tmp_path: Path) -> None:
    environment = find_environment("tensorflow")
    if source in ("tensorflow", "tflite") and find_python(environment) is None:
        pytest.skip(str(missing(environment)))
    with five_sources() as written:
        spec = written.save(tmp_path, source)
    found = outputs_of(spec)
    assert found.shape == expected.shape == (1, 1000)
    assert numeric_error(expected, found).relative <= ALLOWED


def test_weights_are_those_of_the_network(tmp_path: Path) -> None:
    with five_sources() as written:
        units, arrays = written.network()
        model, _ = load_onnx(written.save(tmp_path, "onnx"))
    learnt = [array for name, array in arrays.items() if not name.endswith(("/mean", "/variance"))]
    assert sum(array.size for array in learnt) == PARAMETERS
    assert sum(bool(unit.shortcut) for unit in units) == 10
    assert len(units) == sum(node.op_type == "Conv" for node in model.graph.node) == 52
