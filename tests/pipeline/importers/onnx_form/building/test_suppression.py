from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from tests.workloads.boxes import boxes_that_hurt, scores_that_hurt
from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.importers.onnx_form.building.suppression import SELECTED_BOXES
from tvmopt.pipeline.importers.onnx_form.layer_names import layer_of, name_nodes
from tvmopt.pipeline.importers.onnx_form.normalize import normalize
from tvmopt.pipeline.support.onnxruntime import run_model

SUPPRESSION = ("NonMaxSuppression", "b c most overlap limit", "s")
WRITE = ("ScatterND", "d s v", "y")
SHAPE = (2, 3, 19)


def model_of(onnx_model: Any, *nodes: Any, outputs: str = "y", **constants: np.ndarray) -> onnx.ModelProto:
    given = {
        "most": np.array([5]),
        "overlap": np.array([0.5], np.float32),
        "limit": np.array([0.1], np.float32),
        "one": np.float32(1),
        "zero": np.array([0]),
        "first": np.array(0),
        "end": np.array([1]),
    }
    inputs = {"b": (2, 19, 4), "c": SHAPE, "d": SHAPE}
    model: onnx.ModelProto = onnx_model(SUPPRESSION, *nodes, inputs=inputs, outputs=outputs, **{**given, **constants})
    name_nodes(model.graph.node)
    return model


FORMS = {
    "slice": (("Shape", "s", "z"), ("Slice", "z zero end", "n"), ("Expand", "one n", "v"), WRITE),
    "slice of an axis": (("Shape", "s", "z"), ("Slice", "z zero end zero", "n"), ("Expand", "one n", "v"), WRITE),
    "gather": (("Shape", "s", "z"), ("Gather", "z zero", "n"), ("Expand", "one n", "v"), WRITE),
    "unsqueeze": (
        *(("Shape", "s", "z"), ("Gather", "z first", "i"), ("Unsqueeze", "i zero", "n")),
        *(("Expand", "one n", "v"), WRITE),
    ),
    "constant of shape": (
        ("Shape", "s", "n", {"end": 1}),
        ("ConstantOfShape", "n", "v", {"value": onnx.helper.make_tensor("", onnx.TensorProto.FLOAT, [1], [-2.5])}),
        WRITE,
    ),
    "two arrays": (
        *(("Shape", "s", "n", {"end": 1}), ("Expand", "one n", "v")),
        *(("ScatterND", "d s v", "p"), ("ScatterND", "c s v", "q"), ("Add", "p q", "y")),
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_boxes_that_are_marked(onnx_model: Any, form: str) -> None:
    model = model_of(onnx_model, *FORMS[form])
    result = normalize(model)
    onnx.checker.check_model(result, full_check=True)
    (made,) = [node for node in result.graph.node if node.op_type == SELECTED_BOXES]
    assert layer_of(made) == "NonMaxSuppression0"
    assert "ScatterND" not in {node.op_type for node in result.graph.node}
    data = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    feeds = {"b": boxes_that_hurt(2, 19), "c": scores_that_hurt(*SHAPE), "d": data}
    np.testing.assert_array_equal(run_model(result, feeds)["y"], run_model(model, feeds)["y"])


COUNT = (("Shape", "s", "z"), ("Slice", "z zero end", "n"))
OTHERS = {
    "selection as output": (*COUNT, ("Expand", "one n", "v"), WRITE, ("Identity", "s", "x")),
    "order matters": (*COUNT, ("Cast", "s", "f", {"to": 1}), ("ReduceSum", "f end", "v", {"keepdims": 0}), WRITE),
    "added": (*COUNT, ("Expand", "one n", "v"), (*WRITE, {"reduction": "add"})),
    "count is read": (*COUNT, ("Expand", "one n", "v"), WRITE, ("Cast", "n", "x", {"to": 1})),
    "larger array": (
        *COUNT,
        ("Expand", "one n", "v"),
        ("Concat", "d d", "e", {"axis": 2}),
        ("ScatterND", "e s v", "y"),
    ),
}


@pytest.mark.parametrize("form", OTHERS)
def test_other_uses_are_refused(onnx_model: Any, form: str) -> None:
    outputs = "y x" if form in ("selection as output", "count is read") else "y"
    with pytest.raises(UnsupportedModelError, match=r"(ScatterND|Expand|ReduceSum)\).* depends on the data"):
        normalize(model_of(onnx_model, *OTHERS[form], outputs=outputs))


def test_an_overlap_that_onnx_forbids_is_refused(onnx_model: Any) -> None:
    with pytest.raises(UnsupportedModelError, match="depends on the data"):
        normalize(model_of(onnx_model, *FORMS["slice"], overlap=np.array([1.5], np.float32)))


def test_limits_that_are_inputs_are_refused(onnx_model: Any) -> None:
    nodes = (("NonMaxSuppression", "b c k", "t"), ("Shape", "t", "m", {"end": 1}), ("Expand", "one m", "u"))
    model = onnx_model(
        *nodes,
        ("ScatterND", "c t u", "y"),
        inputs={"b": (2, 19, 4), "c": SHAPE, "k": ("int64", 1)},
        outputs="y",
        one=np.float32(1),
    )
    name_nodes(model.graph.node)
    with pytest.raises(UnsupportedModelError, match="depends on the data"):
        normalize(model)
