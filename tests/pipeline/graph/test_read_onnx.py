from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.graph.ir import ONNX
from tvmopt.pipeline.graph.read_onnx import read_onnx
from tvmopt.pipeline.importers.onnx_form.layer_names import LAYER_KEY
from tvmopt.schedules.workload import Tensor


def test_nodes_values_and_constants(onnx_model: Any) -> None:
    model = onnx_model(
        ("Add", "x w", "s"),
        ("Clip", "s . high", "y"),
        inputs={"x": (2, 3)},
        outputs="y s",
        w=np.ones(3, np.float32),
        high=np.float32(6),
    )
    graph = read_onnx(model)
    assert [(node.op, node.kind, node.inputs, node.outputs) for node in graph.nodes] == [
        (ONNX, "Add", ("x", "w"), ("s",)),
        (ONNX, "Clip", ("s", "", "high"), ("y",)),
    ]
    assert graph.values == {name: Tensor((2, 3)) for name in "xsy"}
    assert graph.inputs == ("x",)
    assert graph.outputs == ("y", "s")
    assert graph.opset == 18
    assert graph.constants["high"].shape == ()


def test_dtypes_are_numpys(onnx_model: Any) -> None:
    model = onnx_model(("Cast", "x", "y", {"to": onnx.TensorProto.BOOL}), inputs={"x": ("int64", 4)}, outputs="y")
    graph = read_onnx(model)
    assert (graph.values["x"].dtype, graph.values["y"].dtype) == ("int64", "bool")


def test_absent_outputs_are_left_out(onnx_model: Any) -> None:
    model = onnx_model(("TopK", "x k", ". places"), inputs={"x": (2, 8)}, outputs="places", k=np.array([3]))
    assert read_onnx(model).nodes[0].outputs == ("places",)


def test_nodes_are_called_as_the_users_layers_are(onnx_model: Any) -> None:
    model = onnx_model(("Relu", "x", "u"), ("Neg", "u", "v"), ("Abs", "v", "y"), inputs={"x": (4,)}, outputs="y")
    model.graph.node[0].metadata_props.add(key=LAYER_KEY, value="block/activation")
    model.graph.node[2].name = ""
    assert [node.layers for node in read_onnx(model).nodes] == [("block/activation",), ("Neg1",), ("Abs_2",)]


def test_values_without_static_shape_are_refused(onnx_model: Any) -> None:
    model = onnx_model(("Relu", "x", "y"), inputs={"x": (2, 3)}, outputs="y")
    del model.graph.value_info[:]
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "n"
    with pytest.raises(UnsupportedModelError, match=r"layer 'Relu0' \(Relu\): its output 'y' has no static shape"):
        read_onnx(model)


def test_subgraphs_are_refused(onnx_model: Any) -> None:
    branch = onnx.parser.parse_graph("b () => (float[4] z) { z = Identity(x) }")
    model = onnx_model(
        ("If", "c", "y", {"then_branch": branch, "else_branch": branch}),
        inputs={"x": (4,), "c": ("bool",)},
        outputs="y",
    )
    with pytest.raises(UnsupportedModelError, match=r"layer 'If0' \(If\): it chooses at run time"):
        read_onnx(model)
