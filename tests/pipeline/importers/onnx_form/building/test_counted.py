"""Which layers take a value whose size depends on data; what they make of it is tested compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.importers.onnx_form.layer_names import layer_of, name_nodes
from tvmopt.pipeline.importers.onnx_form.normalize import normalize


@pytest.mark.parametrize(
    "layer",
    [
        ("ReduceSum", "chosen axis", "y", {"keepdims": 0}),
        ("Softmax", "chosen", "y", {"axis": 0}),
        ("Concat", "chosen chosen", "y", {"axis": 0}),
        ("Add", "chosen wide", "y"),
        ("Gather", "chosen axis", "y", {"axis": 0}),
        ("Slice", "chosen last end axis", "y"),
        ("Reshape", "chosen flat", "y"),
        ("TopK", "chosen one", "best y", {"axis": 0}),
        ("MatMul", "left chosen", "y"),
        ("Expand", "chosen shape", "y"),
        ("NonZero", "chosen", "y"),
        ("Squeeze", "chosen", "y"),
        ("Transpose", "chosen", "turned", {"perm": [1, 0]}),
    ],
)
def test_what_is_behind_a_value_must_not_reach_it(onnx_model: Any, layer: tuple[Any, ...]) -> None:
    nodes = [("Compress", "x condition", "chosen", {"axis": 0}), layer]
    if layer[0] == "Transpose":  # it takes the value, but then the axis is another one
        nodes.append(("ReduceMean", "turned one", "y"))
    model = onnx_model(
        *nodes,
        inputs={"x": (6, 2), "condition": ("bool", 6)},
        outputs="y",
        axis=np.array([0]),
        wide=np.ones((6, 2), np.float32),
        last=np.array([-2]),
        end=np.array([9]),
        flat=np.array([2, -1]),
        one=np.array([1]),
        left=np.ones((3, 6), np.float32),
        shape=np.array([4, 1, 1]),
    )
    name_nodes(model.graph.node)
    with pytest.raises(UnsupportedModelError, match="depends on the data, which it does not take") as raised:
        normalize(model)
    assert model.graph.node[-1].name in str(raised.value)


def test_layers_keep_their_names(onnx_model: Any) -> None:
    model = onnx_model(("NonZero", "x", "places"), ("Neg", "places", "y"), inputs={"x": (3, 4)}, outputs="y")
    name_nodes(model.graph.node)
    layers = {layer_of(node): node.op_type for node in normalize(model).graph.node}
    assert list(layers) == [node.name for node in model.graph.node]
    assert layers[model.graph.node[1].name] == "Neg"


def test_a_number_of_boxes_that_is_not_known_is_refused(onnx_model: Any) -> None:
    model = onnx_model(
        ("NonMaxSuppression", "boxes scores most", "y"),
        inputs={"boxes": (1, 9, 4), "scores": (1, 2, 9), "most": ("int64", 1)},
        outputs="y",
    )
    name_nodes(model.graph.node)
    with pytest.raises(UnsupportedModelError, match=r"\(NonMaxSuppression\).* depends on the data"):
        normalize(model)
