from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.graph.recognize import recognize
from tvmopt.pipeline.graph.recognize.shape import keeps_order, view_of_axes

PASSES = (recognize,)


def whole(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@pytest.mark.parametrize(
    ("node", "constants"),
    [
        (("Reshape", "x s", "y"), {"s": whole(0, -1)}),
        (("Flatten", "x", "y", {"axis": 2}), {}),
        (("Unsqueeze", "x s", "y"), {"s": whole(0, 4)}),
        (("Squeeze", "x s", "y"), {"s": whole(1)}),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_reshapes(through: Any, node: Any, constants: Any, dtype: str) -> None:
    done = through(node, passes=PASSES, inputs={"x": (dtype, 2, 1, 3, 4)}, outputs="y", **constants)
    assert done.ops() == ["reshape"]
    assert done.node("reshape").inputs == ("x",)
    done.check()


def test_reshapes_of_constants_are_left(through: Any, weights: Any) -> None:
    done = through(
        ("Reshape", "c s", "r"),
        ("Add", "x r", "y"),
        passes=PASSES,
        inputs={"x": (6,)},
        outputs="y",
        c=weights(2, 3),
        s=whole(6),
    )
    assert done.ops() == ["Reshape", "pointwise"]


def test_nodes_without_effect_are_removed(through: Any) -> None:
    done = through(
        ("Identity", "x", "u"),
        ("Dropout", "u", "v"),
        ("Relu", "v", "w"),
        ("Identity", "w", "y"),
        passes=PASSES,
        inputs={"x": (4,)},
        outputs="y",
    )
    assert done.ops() == ["pointwise", "reshape"]
    assert done.graph.nodes[0].inputs == ("x",)
    done.check()


def test_an_output_that_is_an_input_is_a_value_of_its_own(through: Any) -> None:
    done = through(("Identity", "x", "y"), ("Neg", "x", "z"), passes=PASSES, inputs={"x": (4,)}, outputs="y z")
    assert done.graph.outputs == ("y", "z")
    done.check()


@pytest.mark.parametrize(("axis", "op"), [(1, "concat"), (-3, "concat"), (0, "Concat"), (2, "Concat"), (3, "Concat")])
def test_concat_of_images(through: Any, axis: int, op: str) -> None:
    inputs = {"a": (1, 3, 4, 4), "b": (1, 3, 4, 4)}
    done = through(("Concat", "a b a", "y", {"axis": axis}), passes=PASSES, inputs=inputs, outputs="y")
    assert done.ops() == [op]
    done.check()


def test_other_concats_are_left(through: Any, weights: Any) -> None:
    rows = through(("Concat", "a a", "y", {"axis": 1}), passes=PASSES, inputs={"a": (2, 3)}, outputs="y")
    assert rows.ops() == ["Concat"]
    constant = through(
        ("Concat", "a c", "y", {"axis": 1}),
        passes=PASSES,
        inputs={"a": (1, 3, 2, 2)},
        outputs="y",
        c=weights(1, 1, 2, 2),
    )
    assert constant.ops() == ["Concat"]


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("opset", [11, 13])
def test_softmax(through: Any, axis: int, opset: int) -> None:
    node = ("Softmax", "x", "y", {"axis": axis})
    done = through(node, passes=PASSES, inputs={"x": (2, 3, 4)}, outputs="y", opset=opset)
    assert done.ops() == ["softmax"]
    done.check()


@pytest.mark.parametrize("opset", [11, 13])
def test_softmax_without_axis(through: Any, opset: int) -> None:
    done = through(("Softmax", "x", "y"), passes=PASSES, inputs={"x": (2, 3, 4)}, outputs="y", opset=opset)
    done.check()


def test_softmax_of_other_dtypes_is_left(through: Any) -> None:
    done = through(("Softmax", "x", "y"), passes=PASSES, inputs={"x": ("float64", 2, 3)}, outputs="y")
    assert done.ops() == ["Softmax"]


@pytest.mark.parametrize("operator", ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"])
@pytest.mark.parametrize("axes", [(0,), (1, 2), (-1,), (0, 1, 2, 3), (1,), (2, 1)])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_reductions(through: Any, operator: str, axes: tuple[int, ...], keepdims: int) -> None:
    node = (operator, "x a", "y", {"keepdims": keepdims})
    done = through(node, passes=PASSES, inputs={"x": (2, 3, 4, 5)}, outputs="y", a=whole(*axes))
    assert done.ops() == ["reduce"]
    done.check()


def test_reductions_of_everything(through: Any) -> None:
    done = through(("ReduceMean", "x", "y", {"keepdims": 0}), passes=PASSES, inputs={"x": (2, 3)}, outputs="y")
    assert done.ops() == ["reduce"]
    assert done.tensor("reduce").shape == ()
    done.check()


def test_reductions_with_axes_as_attribute(through: Any) -> None:
    node = ("ReduceMax", "x", "y", {"axes": [1]})
    done = through(node, passes=PASSES, inputs={"x": (2, 3)}, outputs="y", opset=13)
    assert done.ops() == ["reduce"]
    done.check()


@pytest.mark.parametrize("operator", ["ReduceMean", "ReduceMax"])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_reductions_of_maps_are_pooling(through: Any, operator: str, keepdims: int) -> None:
    node = (operator, "x a", "y", {"keepdims": keepdims})
    done = through(node, passes=PASSES, inputs={"x": (2, 3, 4, 5)}, outputs="y", a=whole(3, 2))
    assert done.ops() == (["pool2d"] if keepdims else ["pool2d", "reshape"])
    done.check()


@pytest.mark.parametrize(
    ("node", "inputs"),
    [
        (("ReduceSum", "x two", "y"), {"x": (2, 3, 4)}),
        (("ReduceSum", "x", "y", {"noop_with_empty_axes": 1}), {"x": (2, 3)}),
        (("ReduceSum", "x one", "y"), {"x": ("int64", 2, 3)}),
        (("ReduceL2", "x one", "y"), {"x": (2, 3)}),
    ],
    ids=["axes apart", "of nothing", "dtype", "kind"],
)
def test_other_reductions_are_left(through: Any, node: Any, inputs: Any) -> None:
    done = through(node, passes=PASSES, inputs=inputs, outputs="y", two=whole(0, 2), one=whole(1))
    assert done.ops() == [node[0]]


@pytest.mark.parametrize(
    ("shape", "axes", "view"),
    [
        ((2, 3, 4), (1,), (2, 3, 4)),
        ((2, 3, 4), (1, 2), (2, 12, 1)),
        ((2, 3, 4), (0,), (1, 2, 12)),
        ((2, 3, 4), (0, 1, 2), (1, 24, 1)),
    ],
)
def test_axes_seen_as_one(shape: Any, axes: Any, view: Any) -> None:
    assert view_of_axes(shape, axes) == view


@pytest.mark.parametrize(
    ("shape", "axes", "keeps"),
    [
        ((3, 1, 4), (1, 0, 2), True),
        ((3, 2, 4), (1, 0, 2), False),
        ((1, 5, 1), (2, 1, 0), True),
        ((1, 1), (1, 0), True),
        ((2, 3), (0, 1), True),
        ((2, 3), (1, 0), False),
    ],
)
def test_transposes_that_keep_the_order(shape: tuple[int, ...], axes: tuple[int, ...], keeps: bool) -> None:
    array = np.arange(np.prod(shape)).reshape(shape)
    assert keeps_order(shape, axes) is keeps
    assert np.array_equal(array.transpose(axes).ravel(), array.ravel()) is keeps


@pytest.mark.parametrize(("shape", "kind"), [((4, 1, 5), "reshape"), ((4, 2, 5), "Transpose")])
@pytest.mark.parametrize("attributes", [{"perm": [1, 0, 2]}, {}])
def test_transposes(through: Any, shape: Any, kind: str, attributes: Any) -> None:
    done = through(("Transpose", "x", "y", attributes), passes=PASSES, inputs={"x": shape}, outputs="y")
    assert done.ops() == [kind if attributes else "Transpose"]
    done.check()


@pytest.mark.parametrize(("axis", "place"), [(1, -1), (1, 0), (-1, 2), (0, 1)])
def test_gathering_one_element_is_a_slice(through: Any, axis: int, place: int) -> None:
    done = through(
        ("Gather", "x i", "y", {"axis": axis}),
        passes=PASSES,
        inputs={"x": (2, 3, 4)},
        outputs="y",
        i=np.array(place, np.int64),
    )
    assert done.ops() == ["Slice", "reshape"]
    done.check()


def test_gathering_the_only_element_of_an_axis_is_a_reshape(through: Any) -> None:
    index = np.array(-1, np.int64)
    done = through(("Gather", "x i", "y", {"axis": 1}), passes=PASSES, inputs={"x": (2, 1, 4)}, outputs="y", i=index)
    assert done.ops() == ["reshape"]
    done.check()


@pytest.mark.parametrize("constants", ["x", ""])
def test_other_gathers_are_left(through: Any, weights: Any, constants: str) -> None:
    arrays = {"i": np.array([1], np.int64)} if not constants else {"x": weights(3, 4)}
    inputs = {"x": (3, 4)} if not constants else {"i": ("int64",)}
    assert through(("Gather", "x i", "y"), passes=PASSES, inputs=inputs, outputs="y", **arrays).ops() == ["Gather"]
