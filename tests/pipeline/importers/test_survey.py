"""A survey lists all problems of a model at once; it refuses nothing and runs nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from tvmopt.pipeline.errors import InputFileError, UnsupportedModelError
from tvmopt.pipeline.importers import load_model, survey_model
from tvmopt.pipeline.importers.load import surveyed_model
from tvmopt.pipeline.importers.onnx.read_file import read_onnx
from tvmopt.pipeline.importers.onnx_form.operators import FOREIGN_DOMAIN, with_foreign_domain

SaveOnnx = Callable[..., str]


def test_a_supported_model(save_onnx: SaveOnnx) -> None:
    path = save_onnx("g (float[1,4] x) => (float[1,4] y) { a = Identity(x) y = Relu(a) }")
    source, found = survey_model(path)
    assert found.accepted
    assert found.simplified is not None
    assert [node.op_type for node in found.simplified.graph.node] == ["Relu"]
    assert surveyed_model(source, found) == load_model(path)


def test_all_unsupported_operators_are_listed(save_onnx: SaveOnnx) -> None:
    path = save_onnx(
        "g (float[1,4,4] x) => (float[1,4,4] y)"
        " { a = RandomUniformLike(x) b = my.ops.Foo(a) c = Frobnicate(b)"
        " d = RandomNormalLike(x) e = RandomNormalLike(x) y = Add(d,c) }"
    )
    _, found = survey_model(path)
    assert [(item.operator, item.domain, item.count) for item in found.operators] == [
        ("RandomUniformLike", "", 1),
        ("Foo", "my.ops", 1),
        ("Frobnicate", "", 1),
        ("RandomNormalLike", "", 2),
    ]
    assert not found.static
    assert "onnxruntime refuses" in found.refusal
    assert [node.op_type for node in found.original.graph.node][2] == "Frobnicate"
    with pytest.raises(UnsupportedModelError, match="Frobnicate"):
        load_model(path)


def test_operators_that_only_we_lack_leave_the_normal_form(save_onnx: SaveOnnx) -> None:
    _, found = survey_model(save_onnx("g (float[1,4,4] x) => (float[1,4,4] y) { d = RandomNormalLike(x) y = Relu(d) }"))
    assert found.static
    assert not found.accepted
    assert found.refusal == ""


def test_all_unsupported_values_are_listed(save_onnx: SaveOnnx) -> None:
    path = save_onnx(
        "g (int64[1] x) => (float[n] y, float[m] z) { y = ConstantOfShape(x) a = Abs(x) z = ConstantOfShape(a) }"
    )
    _, found = survey_model(path)
    assert [layer for layer, _ in found.values] == [
        "'ConstantOfShape_y' (ConstantOfShape)",
        "'ConstantOfShape_z' (ConstantOfShape)",
    ]
    assert all("depends on the data" in fault for _, fault in found.values)
    assert found.simplified is not None
    assert not found.static


def test_layers_that_do_not_fit(save_onnx: SaveOnnx) -> None:
    _, found = survey_model(save_onnx("g (float[2,3] x, float[2,3] w) => (float[a,b] y) { y = MatMul(x,w) }"))
    assert found.operators == ()
    assert "ncompatible dimensions" in found.refusal


def test_a_file_that_is_no_valid_model_stays_one(save_onnx: SaveOnnx) -> None:
    path = save_onnx("g (float[1,4] x) => (float[1,4] y) { a = Frobnicate(x) y = Relu(b) }")
    with pytest.raises(InputFileError, match="not a valid ONNX model"):
        survey_model(path)


def test_the_foreign_domain_is_only_for_what_onnx_lacks(save_onnx: SaveOnnx) -> None:
    path = Path(save_onnx("g (float[1,4] x) => (float[1,4] y) { a = Frobnicate(x) y = Relu(a) }"))
    model = read_onnx(path, any_operator=True)
    assert [node.domain for node in with_foreign_domain(model).graph.node] == [FOREIGN_DOMAIN, ""]
    assert [node.domain for node in model.graph.node] == ["", ""]
    del model.graph.node[0]
    assert with_foreign_domain(model) is model


@pytest.mark.parametrize("wrapped", ["x", "(x, x + 1)", "{'mask': x, 'sum': (x, x)}"])
def test_a_module_is_traced_and_not_run(save_python: Callable[..., str], wrapped: str) -> None:
    spec = save_python(
        f"""class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 4)

    def forward(self, x):
        if not torch.compiler.is_compiling():
            raise RuntimeError("this model was run")
        x = self.linear(x)
        return {wrapped}

def build():
    return Net(), (torch.zeros(2, 3),)"""
    )
    _, found = survey_model(spec)
    assert found.accepted
    with pytest.raises(UnsupportedModelError, match="this model was run"):
        load_model(spec)


def test_names_and_bytes_are_those_of_an_import(save_python: Callable[..., str]) -> None:
    spec = save_python("def build():\n torch.manual_seed(0)\n return nn.Linear(3, 4), (torch.zeros(2, 3),)")
    source, found = survey_model(spec)
    model, loaded = surveyed_model(source, found), load_model(spec)
    assert (model.sha256, model.outputs) == (loaded.sha256, loaded.outputs)


def test_shapes_can_be_given(save_onnx: SaveOnnx) -> None:
    path = save_onnx("g (float[N,4] x) => (float[M,4] y) { y = Relu(x) }")
    _, found = survey_model(path, {"x": (3, 4)})
    assert [dim.dim_value for dim in found.original.graph.input[0].type.tensor_type.shape.dim] == [3, 4]
    with pytest.raises(UnsupportedModelError, match="--input-shape x:1,4"):
        survey_model(path)


def test_weights_of_four_bits_are_listed(save_onnx: SaveOnnx) -> None:
    graph = "g (float[2,4] x, float s) => (float[2,4] y) { d = DequantizeLinear(w,s) y = MatMul(x,d) }"
    path = save_onnx(graph, opset=21)
    model = onnx.load(path)
    model.graph.initializer.append(onnx.helper.make_tensor("w", onnx.TensorProto.INT4, [4, 4], [1] * 16))
    onnx.save(model, path)
    _, found = survey_model(path)
    assert [fault for _, fault in found.values if "'w' has element type int4" in fault]
