"""Models without their weights, and the same models with the weights in a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tvmopt.pipeline.support import onnxruntime as running
from tvmopt.pipeline.support.onnxruntime import run_model
from tvmopt.pipeline.support.weights.light_model import (
    WEIGHTS,
    copy_without,
    serialized,
    weights_nbytes,
    with_stand_ins,
    without_weights,
)


def model() -> onnx.ModelProto:
    made = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 18], producer_name: "test">
        two (float[2,70] x) => (float[2,30] y) <float[1] small = {0.5}> {
            a = MatMul (x, first)
            b = MatMul (a, second)
            y = Mul (b, small)
        }"""
    )
    random = np.random.default_rng(0)
    for name, shape in (("first", (70, 50)), ("second", (50, 30))):
        array = random.standard_normal(shape, np.float32)
        made.graph.initializer.append(numpy_helper.from_array(array, name))
    return made


def test_only_large_weights_are_left_out() -> None:
    given = model()
    before = given.SerializeToString(deterministic=True)
    light = without_weights(given)
    assert given.SerializeToString(deterministic=True) == before
    assert light.producer_name == "test"
    assert list(light.graph.node) == list(given.graph.node)
    kept = {tensor.name: len(tensor.raw_data) for tensor in light.graph.initializer}
    assert kept["first"] == kept["second"] == 0
    assert [list(tensor.dims) for tensor in light.graph.initializer] == [[1], [70, 50], [50, 30]]
    assert light.ByteSize() < 2000 < given.ByteSize()


def test_the_checker_takes_stand_ins() -> None:
    given = model()
    before = given.SerializeToString(deterministic=True)
    light = with_stand_ins(given)
    assert given.SerializeToString(deterministic=True) == before
    assert light.ByteSize() < 2000
    onnx.checker.check_model(light)
    light.graph.node[0].input.append("third")
    with pytest.raises(onnx.checker.ValidationError):
        onnx.checker.check_model(light)


def test_what_the_checker_says_of_a_weight() -> None:
    given = model()
    given.graph.initializer[1].data_type = onnx.TensorProto.STRING  # whose elements are not in raw data
    with pytest.raises(onnx.checker.ValidationError, match="STRING"):
        onnx.checker.check_model(with_stand_ins(given))


def test_copies_without_some_fields() -> None:
    given = model()
    copy = copy_without(given, ("node", "initializer"))
    assert not copy.graph.node
    assert not copy.graph.initializer
    copy.graph.node.extend(given.graph.node)
    copy.graph.initializer.extend(given.graph.initializer)
    assert copy.SerializeToString(deterministic=True) == given.SerializeToString(deterministic=True)


@pytest.mark.parametrize("size", [1, 126, 127, 128, 1 << 14, (1 << 21) + 3])
def test_pieces_are_the_serialised_model(size: int) -> None:
    given = model()
    given.graph.initializer.append(numpy_helper.from_array(np.zeros(size, np.uint8), "sized"))
    given.graph.doc_string, given.graph.initializer[0].doc_string = "graph", "weight"
    given.metadata_props.add(key="key", value="value")
    given.functions.add(name="f", domain="d", opset_import=given.opset_import)
    assert b"".join(serialized(given)) == given.SerializeToString(deterministic=True)
    assert b"".join(serialized(onnx.ModelProto(ir_version=3))) == onnx.ModelProto(ir_version=3).SerializeToString()
    assert b"".join(serialized(onnx.ModelProto(graph=onnx.GraphProto()))) == b"\x3a\x00"


def test_bytes_of_weights() -> None:
    assert weights_nbytes(model()) == 4 * (70 * 50 + 50 * 30 + 1)


def test_the_file_has_the_rest(tmp_path: Path) -> None:
    given = model()
    light = without_weights(given, tmp_path / WEIGHTS)
    onnx.save(light, tmp_path / "model.onnx")
    found = onnx.load(tmp_path / "model.onnx").graph.initializer
    for loaded, wanted in zip(found, given.graph.initializer, strict=True):
        np.testing.assert_array_equal(numpy_helper.to_array(loaded), numpy_helper.to_array(wanted))


def test_large_models_are_given_as_files() -> None:
    x = {"x": np.linspace(-1, 1, 140, dtype=np.float32).reshape(2, 70)}
    wanted = run_model(model(), x)["y"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "_LARGE_BYTES", 1)
        np.testing.assert_allclose(run_model(model(), x)["y"], wanted, rtol=1e-5, atol=1e-5)
