"""Attention in every form, from the graph through TVM to numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.pipeline.conftest import run_whole
from tests.pipeline.graph.attention.forms import FORMS, HEADS, KEYS, PROJECTED, QUERIES
from tvmopt.pipeline.graph.optimize import optimize
from tvmopt.pipeline.support.onnxruntime import run_model
from tvmopt.schedules.target import parse_target

HOST = parse_target("llvm", 2)


@pytest.mark.sweep
@pytest.mark.parametrize("name", FORMS)
def test_every_form_compiles(model_from: Any, check_whole: Any, name: str) -> None:
    model = model_from(FORMS[name])
    # The importer moves the heads of the timm form before it divides them; whatever it writes is recognised.
    assert sum(node.op == "attention" for node in optimize(model, HOST).graph.nodes) == 1
    check_whole(model, HOST)


@pytest.mark.parametrize("name", ["sdpa, mask from outside", "causal"])
def test_queries_without_keys_are_as_in_onnxruntime(model_from: Any, monkeypatch: Any, name: str) -> None:
    parts = FORMS[name]
    random = np.random.default_rng(0)
    mask = np.where(random.random((1, 1, QUERIES, KEYS)) < 0.5, -np.inf, 0).astype(np.float32)
    mask[..., 2, :] = -np.inf
    inputs = {key: random.standard_normal(shape, np.float32) for key, shape in PROJECTED.items()}
    if name == "causal":
        model = model_from({**parts, "constants": {**parts["constants"], "mask": mask}})
    else:
        model, inputs = model_from(parts), {**inputs, "mask": mask}
    monkeypatch.setattr("tests.pipeline.conftest.example_inputs", lambda _: inputs)
    (made,) = run_whole(model, HOST, {}).values()
    (expected,) = run_model(model.original, inputs).values()
    alone = made.reshape(QUERIES, HEADS, -1)[2]
    assert np.isnan(alone).all() if name == "causal" else not alone.any()
    np.testing.assert_allclose(made, expected, rtol=2e-5, atol=2e-6)
