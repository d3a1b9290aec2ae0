from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.compiler import check_layers as checking
from tvmopt.pipeline.compiler.check_layers import distinct_layers
from tvmopt.pipeline.compiler.kernels.forge import Forge
from tvmopt.pipeline.compiler.kernels.layer_inputs import HURTFUL, inputs_of
from tvmopt.pipeline.compiler.tvm_layer import dynamic_inputs, import_layer, node_model
from tvmopt.pipeline.errors import BuildError, WrongResultError
from tvmopt.pipeline.graph.optimize import OptimizedModel, optimize
from tvmopt.pipeline.graph.read_onnx import read_onnx
from tvmopt.pipeline.support.onnxruntime import run_model
from tvmopt.pipeline.types import ImportedModel, ModelSource
from tvmopt.schedules.target import parse_target

Random = Callable[..., np.ndarray]


def check_layers(model: OptimizedModel) -> None:
    with Forge() as forge:
        checking.check_layers(model, forge)


@pytest.fixture
def optimized(onnx_model: Any, imported: Any) -> Callable[..., OptimizedModel]:
    """A model from its nodes, imported and optimised."""
    return lambda *nodes, **options: optimize(imported(onnx_model(*nodes, **options)), parse_target("x86-64-v3", 1))


@pytest.fixture
def as_written(onnx_model: Any) -> Callable[..., OptimizedModel]:
    """A model from its nodes, all of them left to TVM: neither the importer nor a pass mends what TVM gets wrong."""

    def make(*nodes: Any, **options: Any) -> OptimizedModel:
        model = onnx_model(*nodes, **options)
        source = ModelSource("model.onnx", "onnx", Path("model.onnx"))
        imported = ImportedModel("model", source, model, model, (), (), "")
        return OptimizedModel(imported, parse_target("x86-64-v3", 1), read_onnx(model))

    return make


def test_correct_layers_pass(optimized: Any, weights: Random) -> None:
    check_layers(
        optimized(
            ("Transpose", "x", "t"),
            ("Cos", "t", "c"),
            ("TopK", "c k", "v i"),
            ("Gather", "w j", "g"),
            ("IsInf", "x", "y"),
            ("IsNaN", "x", "n"),
            ("Round", "x", "r"),
            ("Div", "j j", "d"),
            ("Mod", "j j", "m"),
            ("BitShift", "u u", "b", {"direction": "RIGHT"}),
            inputs={"x": (3, 5), "j": ("int64", 4), "u": ("uint8", 4)},
            outputs="v i g y n r d m b",
            k=np.array([2]),
            w=weights(9, 4),
        )
    )


@pytest.mark.parametrize("attributes", [{"detect_negative": 0}, {"detect_positive": 0}])
def test_infinities_of_one_sign_are_refused(as_written: Any, attributes: dict[str, int]) -> None:
    given = as_written(("IsInf", "x", "y", attributes), inputs={"x": (30,)}, outputs="y")
    with pytest.raises(WrongResultError, match=r"layer 'IsInf0' \(IsInf\): TVM's importer lowers it to a wrong result"):
        check_layers(given)


def test_integers_that_change_their_dtype_are_refused(as_written: Any) -> None:
    given = as_written(("ReduceMean", "x", "y", {"keepdims": 1}), inputs={"x": ("int32", 2, 3)}, outputs="y")
    with pytest.raises((BuildError, WrongResultError), match=r"layer 'ReduceMean0' \(ReduceMean\)"):
        check_layers(given)


def test_the_second_inputs_are_negative_tie_and_reach_both_ends(onnx_model: Any) -> None:
    model = onnx_model(("GatherElements", "x i", "y"), inputs={"x": (20, 30), "i": ("int64", 50, 30)}, outputs="y")
    first, second, _ = inputs_of(model)
    assert set(np.unique(second["x"])) == set(HURTFUL)
    assert len(np.unique(first["x"])) == first["x"].size
    assert second["i"].max() == 19
    assert run_model(model, second)["y"].shape == (50, 30)


def test_smoothing_is_refused(as_written: Any) -> None:
    given = as_written(
        ("Resize", "x . s", "y", {"mode": "linear", "antialias": 1}),
        inputs={"x": (1, 2, 8, 8)},
        outputs="y",
        s=np.array([1, 1, 0.5, 0.5], np.float32),
    )
    with pytest.raises(WrongResultError, match=r"layer 'Resize0' \(Resize\).*differs from onnxruntime's by 0\.\d+ of"):
        check_layers(given)


def test_outputs_that_are_dropped_are_refused(as_written: Any, weights: Random) -> None:
    given = as_written(
        ("LayerNormalization", "x g b", "y mean"), inputs={"x": (3, 5)}, outputs="y mean", g=weights(5), b=weights(5)
    )
    with pytest.raises(BuildError, match=r"outputs float32\[3, 5\], .*where ONNX has float32\[3, 5\], float32\[3, 1\]"):
        check_layers(given)


def test_layers_that_cannot_be_compiled_are_named(as_written: Any) -> None:
    given = as_written(("Pow", "i i", "y"), inputs={"i": ("int32", 4)}, outputs="y")
    with pytest.raises(BuildError, match=r"layer 'Pow0' \(Pow\) cannot be compiled: .*power only applies to float"):
        check_layers(given)


def test_layers_that_the_importer_refuses_are_named(as_written: Any) -> None:
    given = as_written(("Pow", "x i", "y"), inputs={"x": (3, 5), "i": ("int64", 5)}, outputs="y")
    with pytest.raises(BuildError, match=r"layer 'Pow0' \(Pow\): TVM's importer refuses it: .*same datatype") as raised:
        check_layers(given)
    assert "\n" not in str(raised.value)


def test_layers_that_differ_in_weights_alone_are_checked_once(onnx_model: Any, weights: Random) -> None:
    norm = ("LayerNormalization", {"axis": -1})
    model = onnx_model(
        (norm[0], "x a", "u", norm[1]),
        (norm[0], "u b", "v", norm[1]),
        (norm[0], "v b", "w", {"axis": -1, "epsilon": 0.1}),
        ("Gather", "w i", "y", {"axis": 1}),
        ("Gather", "w j", "z", {"axis": 1}),
        ("Transpose", "x", "t"),
        ("Transpose", "w", "s"),
        inputs={"x": (2, 3, 70)},
        outputs="y z t s",
        a=weights(70),
        b=weights(70),
        i=np.array([0]),
        j=np.array([1]),
    )
    layers = [node.layers[0] for node in distinct_layers(read_onnx(model))]
    assert layers == [f"{norm[0]}0", f"{norm[0]}2", "Gather3", "Gather4", "Transpose5"]


def test_a_model_of_one_node(onnx_model: Any, weights: Random) -> None:
    model = onnx_model(
        ("Add", "x c", "u"), ("Where", "m u x", "y"), inputs={"x": (3, 5), "m": ("bool", 5)}, outputs="y", c=weights(5)
    )
    graph = read_onnx(model)
    first, second = (node_model(graph, node) for node in graph.nodes)
    assert [value.name for value in first.graph.input] == ["x"]
    assert [tensor.name for tensor in first.graph.initializer] == ["c"]
    assert dynamic_inputs(graph, graph.nodes[1]) == [value.name for value in second.graph.input] == ["m", "u", "x"]


def test_an_operand_read_twice_is_one_parameter(onnx_model: Any) -> None:
    graph = read_onnx(onnx_model(("Mul", "x x", "y"), inputs={"x": (3, 5)}, outputs="y"))
    layer = import_layer(graph, graph.nodes[0])
    assert len(layer.function.params) == 1
    assert layer.dtypes == ("float32",)


def test_absent_outputs_keep_their_place(onnx_model: Any) -> None:
    graph = read_onnx(onnx_model(("TopK", "x k", ". i"), inputs={"x": (2, 8)}, outputs="i", k=np.array([3])))
    (node,) = graph.nodes
    assert list(node_model(graph, node).graph.node[0].output) == ["", "i"]
