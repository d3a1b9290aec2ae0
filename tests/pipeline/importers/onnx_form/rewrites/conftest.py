"""Models with their operators written out, compared with onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import pytest

from tests.onnx_models import OnnxModel
from tvmopt.pipeline.importers.onnx_form.layer_names import name_nodes
from tvmopt.pipeline.importers.onnx_form.normalize import normalize
from tvmopt.pipeline.support.onnxruntime import run_model

WrittenOut = Callable[..., list[str]]


@pytest.fixture
def written_out(onnx_model: OnnxModel) -> WrittenOut:
    """Normalises a model, which must then be without some operator and compute the same on given arrays.

    Returns the operators that are left.
    """

    def check(*nodes: Any, feeds: Mapping[str, np.ndarray], without: str, outputs: str = "y", **rest: Any) -> list[str]:
        inputs = {name: (str(array.dtype), *array.shape) for name, array in feeds.items()}
        model = onnx_model(*nodes, inputs=inputs, outputs=outputs, **rest)
        name_nodes(model.graph.node)
        result = normalize(model)
        onnx.checker.check_model(result, full_check=True)
        kinds = [node.op_type for node in result.graph.node]
        assert without not in kinds
        computed = run_model(result, feeds)
        for name, wanted in run_model(model, feeds).items():
            assert computed[name].dtype == wanted.dtype
            assert computed[name].shape == wanted.shape
            exact = wanted.dtype.kind != "f"
            np.testing.assert_allclose(computed[name], wanted, rtol=0 if exact else 2e-5, atol=0 if exact else 1e-5)
        return kinds

    return check
