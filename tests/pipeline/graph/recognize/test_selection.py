from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.graph.recognize import recognize

PASSES = (recognize,)


@pytest.mark.parametrize("dtype", ["float32", "int64", "float64"])
@pytest.mark.parametrize(
    ("attributes", "shape"),
    [({}, (2, 3, 9)), ({"axis": 1}, (2, 5, 3)), ({"axis": -3, "largest": 0}, (6, 2, 3)), ({"sorted": 1}, (4,))],
)
def test_both_results_of_a_top_k(through: Any, dtype: str, attributes: Any, shape: Any) -> None:
    inputs = {"x": (dtype, *shape)}
    done = through(("TopK", "x k", "v i", attributes), passes=PASSES, inputs=inputs, outputs="v i", k=np.array([4]))
    assert done.ops() == ["top_k", "pick"]
    done.check(0)


def test_elements_that_nobody_reads_are_not_chosen(through: Any) -> None:
    for outputs in (". i", "v i"):
        node = ("TopK", "x k", outputs)
        done = through(node, passes=PASSES, inputs={"x": (2, 8)}, outputs="i", k=np.array([3]))
        assert done.ops() == ["top_k"]


def test_elements_alone(through: Any) -> None:
    for outputs in ("v .", "v i"):
        node = ("TopK", "x k", outputs)
        done = through(node, passes=PASSES, inputs={"x": (2, 8)}, outputs="v", k=np.array([3]))
        assert done.ops() == ["top_k", "pick"]
    done.check(0)


def test_a_computed_count_is_left(through: Any) -> None:
    nodes = (("TopK", "x k", "v i"), ("ReduceSum", "v", "y", {"keepdims": 0}))
    with pytest.raises(Exception, match="no static shape"):
        through(*nodes, passes=PASSES, inputs={"x": (2, 8), "k": ("int64", 1)}, outputs="y")


def test_whole_rows_are_gathered(through: Any) -> None:
    inputs = {"x": (3, 4, 5), "i": ("int64", 3, 2, 5)}
    done = through(("GatherElements", "x i", "y", {"axis": 1}), passes=PASSES, inputs=inputs, outputs="y")
    assert done.ops() == ["pick"]
    done.check(0)


@pytest.mark.parametrize("inputs", [{"x": (3, 4), "i": ("int64", 2, 4)}, {"x": (3, 4)}])
def test_parts_of_rows_and_constant_places_are_left(through: Any, inputs: Any) -> None:
    constants = {} if "i" in inputs else {"i": np.array([[1, -1, 0, 2]] * 3)}
    node = ("GatherElements", "x i", "y", {"axis": 1})
    done = through(node, passes=PASSES, inputs=inputs, outputs="y", **constants)
    assert done.ops() == ["GatherElements"]


@pytest.mark.parametrize("kind", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize(("dtype", "axis", "keepdims"), [("float32", 1, 1), ("int64", -1, 0), ("float32", 0, 0)])
def test_the_place_of_an_extreme(through: Any, kind: str, dtype: str, axis: int, keepdims: int) -> None:
    attributes = {"axis": axis, "keepdims": keepdims}
    done = through((kind, "x", "y", attributes), passes=PASSES, inputs={"x": (dtype, 3, 7, 5)}, outputs="y")
    negated = ["pointwise"] if (kind, dtype) == ("ArgMin", "float32") else []
    assert done.ops() == [*negated, "top_k", *([] if keepdims else ["reshape"])]
    done.check(0)


def test_the_last_place_and_other_types_are_left(through: Any) -> None:
    for kind, dtype, attributes in (("ArgMax", "float32", {"select_last_index": 1}), ("ArgMin", "float64", {})):
        done = through((kind, "x", "y", attributes), passes=PASSES, inputs={"x": (dtype, 3, 7)}, outputs="y")
        assert done.ops()[-1] in ("ArgMax", "ArgMin")
        done.check(0)


def scattered(through: Any, shape: tuple[int, ...], places: Any, **options: Any) -> Any:
    """ScatterND, or ScatterElements if there are attributes, of `u` to constant places of `x`."""
    attributes, fixed = options.get("attributes"), options.get("fixed", False)
    array = np.array(places)
    written = array.shape if attributes else (*array.shape[:-1], *shape[array.shape[-1] :])
    data = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return through(
        ("ScatterElements" if attributes else "ScatterND", "x i u", "y", attributes or {}),
        passes=PASSES,
        inputs={"u": written} if fixed else {"x": shape, "u": written},
        outputs="y",
        opset=18,
        i=array,
        **({"x": data} if fixed else {}),
    )


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize(
    ("shape", "places", "parts"),
    [
        ((5, 3), [[4], [1]], 4),
        ((5, 3), [[-1], [0], [1]], 3),
        ((4, 3), [[0], [1], [2], [3]], 1),
        ((2, 5, 3), [[[0, 2], [0, 3]], [[1, -5], [1, 1]]], 5),
        ((7,), [[3], [3]], 3),
        ((2, 3, 4), [[0, 1, 2], [1, 2, 0]], 5),
        ((40, 2), [[2 * i] for i in range(20)], None),
    ],
)
def test_writing_to_constant_places_is_a_copy(through: Any, fixed: bool, shape: Any, places: Any, parts: Any) -> None:
    done = scattered(through, shape, places, fixed=fixed)
    concat = next(node for node in done.graph.nodes if node.kind == "Concat")
    assert ("Gather" in done.ops()) == (parts is None)
    assert len(concat.inputs) == (parts or 2)
    done.check(0)


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_writing_elements_along_an_axis_is_a_copy(through: Any, fixed: bool, axis: int) -> None:
    done = scattered(through, (4, 5), [[2, 0, 1], [-1, 3, 0]], attributes={"axis": axis}, fixed=fixed)
    assert "ScatterElements" not in done.ops()
    done.check(0)


def test_sums_at_places_are_left(through: Any) -> None:
    nodes = ("ScatterND", "x i u", "y", {"reduction": "add"})
    places = np.array([[1], [1]])
    done = through(nodes, passes=PASSES, inputs={"x": (3, 2), "u": (2, 2)}, outputs="y", opset=18, i=places)
    assert done.ops() == ["ScatterND"]
    done.check()
