from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from tvmopt.pipeline.errors import WrongResultError
from tvmopt.pipeline.importers.check.normalized import agrees, check_normalized, first_wrong
from tvmopt.pipeline.importers.onnx_form.layer_names import name_nodes
from tvmopt.pipeline.importers.onnx_form.normalize import normalize

Parse = Callable[..., onnx.ModelProto]


def test_integers_must_be_equal() -> None:
    assert agrees(np.arange(3), np.arange(3))
    assert not agrees(np.arange(3), np.array([0, 1, 3]))
    assert not agrees(np.arange(3), np.arange(3, dtype=np.int32))


def test_half_precision_may_round() -> None:
    assert agrees(np.float16([1.0]), np.float16([1.002]))
    assert not agrees(np.float32([1.0]), np.float32([1.002]))


def test_a_missing_value_is_wrong() -> None:
    assert first_wrong({"a": np.ones(1)}, {}) == "a"
    assert first_wrong({"a": np.ones(1)}, {"a": np.ones(1)}) is None


def test_the_first_layer_that_differs_is_named(parse: Parse, normal: Callable[..., np.ndarray]) -> None:
    original = parse(
        "g (float[1,6] x) => (float[1,6] y) { a=MatMul(x,u) b=Tanh(a) c=MatMul(b,v) d=Relu(c) y=MatMul(d,w) }",
        u=normal(6, 6),
        v=normal(6, 6),
        w=normal(6, 6),
    )
    name_nodes(original.graph.node)
    normalized = normalize(original)
    inputs = {"x": normal(1, 6)}
    check_normalized(original, normalized, inputs)
    broken = next(tensor for tensor in normalized.graph.initializer if tensor.name == "v")
    broken.CopyFrom(onnx.numpy_helper.from_array(normal(6, 6), "v"))
    with pytest.raises(WrongResultError, match=r"output 'y' by .* from layer 'MatMul_c' on; at most 0.0001"):
        check_normalized(original, normalized, inputs)
