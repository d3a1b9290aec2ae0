from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.graph.passes.find_copies import find_copies
from tvmopt.pipeline.graph.passes.merge_reshapes import merge_reshapes
from tvmopt.pipeline.graph.passes.plan_layout import plan_layout
from tvmopt.pipeline.graph.recognize import recognize
from tvmopt.schedules.target import parse_target

TARGET = parse_target("x86-64-v3", 2)
PASSES = (recognize, merge_reshapes, find_copies)
LAID_OUT = (*PASSES, lambda graph: plan_layout(graph, TARGET))


def whole(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@pytest.mark.parametrize(
    ("node", "shape"),
    [
        (("Transpose", "x", "y", {"perm": [0, 2, 1]}), (2, 3, 5)),
        (("Transpose", "x", "y"), (2, 3, 5)),
        (("Slice", "x starts ends axes steps", "y"), (7, 5, 6)),
        (("Slice", "x starts ends axes", "y"), (7, 5, 6)),
        (("Slice", "x starts back axes backwards", "y"), (7, 5, 6)),
        (("Expand", "x wide", "y"), (5, 1)),
        (("Tile", "x repeats", "y"), (2, 5)),
        (("SpaceToDepth", "x", "y", {"blocksize": 2}), (2, 3, 4, 6)),
        (("Concat", "x x", "y", {"axis": -1}), (3, 5)),
        (("Concat", "x c x", "y", {"axis": 0}), (3, 5)),
    ],
)
def test_operators_that_move_data(through: Any, node: Any, shape: Any) -> None:
    constants = {"starts": whole(-2, 1), "ends": whole(100, 4), "axes": whole(0, -1), "steps": whole(1, 2)}
    constants |= {"back": whole(-100, 0), "backwards": whole(-1, -2), "wide": whole(2, 5, 4), "repeats": whole(3, 2)}
    constants["c"] = np.arange(10, dtype=np.float32).reshape(2, 5)
    done = through(node, passes=PASSES, inputs={"x": shape}, outputs="y", **constants)
    assert done.ops() == ["concat" if node[0] == "Concat" else "copy"]
    done.check()


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_each_part_of_a_split_is_a_copy(through: Any, axis: int) -> None:
    node = ("Split", "x", "a b c", {"axis": axis, "num_outputs": 3})
    done = through(node, passes=PASSES, inputs={"x": (7, 8, 9)}, outputs="a b c")
    assert done.ops() == ["copy"] * 3
    done.check()


def test_moves_that_follow_each_other_are_one_copy(through: Any) -> None:
    """Queries, keys and values of one product, each cut into heads: three copies in place of one and three slices."""
    done = through(
        ("Relu", "x", "m"),
        ("Reshape", "m shape", "q"),
        ("Transpose", "q", "t", {"perm": [2, 0, 3, 1, 4]}),
        ("Split", "t", "a b c", {"axis": 0, "num_outputs": 3}),
        ("Squeeze", "a zero", "a1"),
        ("Squeeze", "b zero", "b1"),
        ("Squeeze", "c zero", "c1"),
        ("Transpose", "b1", "bt", {"perm": [0, 1, 3, 2]}),
        passes=PASSES,
        inputs={"x": (2, 5, 36)},
        outputs="a1 bt c1",
        shape=whole(2, 5, 3, 3, 4),
        zero=whole(0),
    )
    copies = [node for node in done.graph.nodes if node.op == "copy"]
    assert [node.inputs for node in copies] == [("q",)] * 3
    done.check()


def test_windows_are_one_copy(through: Any) -> None:
    """Swin's windows: a reshape, a transpose and a reshape that no stride expresses."""
    done = through(
        ("Reshape", "x apart", "a"),
        ("Transpose", "a", "t", {"perm": [0, 1, 3, 2, 4, 5]}),
        ("Reshape", "t windows", "w"),
        ("Transpose", "w", "y", {"perm": [0, 2, 1]}),
        passes=PASSES,
        inputs={"x": (1, 8, 6, 5)},
        outputs="y",
        apart=whole(1, 4, 2, 3, 2, 5),
        windows=whole(12, 4, 5),
    )
    done.check()


def test_what_others_read_is_made_once(through: Any) -> None:
    done = through(
        ("Transpose", "x", "t"),
        ("Relu", "t", "r"),
        ("Slice", "t one two", "s"),
        passes=PASSES,
        inputs={"x": (5, 6)},
        outputs="r s",
        one=whole(1),
        two=whole(3),
    )
    assert [node.inputs for node in done.graph.nodes if node.op == "copy"] == [("x",), ("t",)]
    done.check()


@pytest.mark.parametrize("dtype", ["int64", "int32", "float64"])
def test_whole_numbers_are_moved_too(through: Any, dtype: str) -> None:
    done = through(("Transpose", "x", "y"), passes=PASSES, inputs={"x": (dtype, 2, 3)}, outputs="y")
    assert done.ops() == ["copy"]
    done.check()


@pytest.mark.parametrize("dtype", ["bool", "float16"])
def test_other_types_are_left(through: Any, dtype: str) -> None:
    done = through(("Transpose", "x", "y"), passes=PASSES, inputs={"x": (dtype, 2, 3)}, outputs="y")
    assert done.ops() == ["Transpose"]


def test_parameters_that_are_computed_are_left(through: Any) -> None:
    inputs = {"x": (5, 6), "e": ("int64", 1)}
    node = ("Slice", "x zero e", "y")
    with pytest.raises(Exception, match="static shape"):
        through(node, passes=PASSES, inputs=inputs, outputs="y", zero=whole(0))


@pytest.mark.parametrize(
    "moves",
    [
        [("Transpose", "c", "y", {"perm": [0, 2, 3, 1]})],
        [("Reshape", "c flat", "f"), ("Transpose", "f", "y", {"perm": [0, 2, 1]})],
        [("Slice", "c eight end one", "y")],
        [("Slice", "c two four three", "y")],
    ],
)
@pytest.mark.parametrize("padded", [False, True])
def test_maps_in_blocks_are_read_where_they_are(through: Any, weights: Any, moves: Any, padded: bool) -> None:
    """Without a change of layout before the copy, whatever halo another reader asks for."""
    more = [("Conv", "c v", "z", {"pads": [1] * 4})] if padded else []
    done = through(
        ("Conv", "x w", "c"),
        *moves,
        *more,
        passes=LAID_OUT,
        inputs={"x": (2, 3, 5, 6)},
        outputs="y z" if padded else "y",
        w=weights(16, 3, 1, 1),
        v=weights(8, 16, 3, 3),
        flat=whole(2, 16, 30),
        **{name: whole(value) for value, name in enumerate(("zero", "one", "two", "three", "four"))},
        eight=whole(8),
        end=whole(16),
    )
    (copy,) = [node for node in done.graph.nodes if node.op == "copy"]
    if moves[0][0] != "Reshape":
        assert copy.inputs == ("c",)
    done.check()


def test_channels_that_cut_a_block_change_layout_first(through: Any, weights: Any) -> None:
    done = through(
        ("Conv", "x w", "c"),
        ("Slice", "c first last one", "y"),
        passes=LAID_OUT,
        inputs={"x": (1, 3, 5, 6)},
        outputs="y",
        w=weights(16, 3, 1, 1),
        first=whole(3),
        last=whole(11),
        one=whole(1),
    )
    assert done.ops() == ["conv2d", "relayout", "copy"]
    done.check()


@pytest.mark.parametrize("channels", [2, 15, 34, 48])
@pytest.mark.parametrize("reader", ["", "Conv"])
def test_rows_of_any_number_of_channels_are_read_in_blocks(
    through: Any, weights: Any, channels: int, reader: str
) -> None:
    """As in a detector's heads: a map's anchors and classes, pixel by pixel. A halo for another reader is skipped."""
    parts = 2 if channels % 2 == 0 else 1
    other = [("Conv", "c v", "z", {"pads": [1, 1, 1, 1]})] if reader else []
    done = through(
        ("Conv", "x w", "c"),
        ("Reshape", "c anchors", "a"),
        ("Transpose", "a", "t", {"perm": [0, 3, 4, 1, 2]}),
        ("Reshape", "t rows", "y"),
        *other,
        passes=LAID_OUT,
        inputs={"x": (2, 3, 5, 6)},
        outputs="y z" if reader else "y",
        w=weights(channels, 3, 1, 1),
        anchors=whole(2, parts, channels // parts, 5, 6),
        rows=whole(2, 30 * parts, channels // parts),
        **({"v": weights(2, channels, 3, 3)} if reader else {}),
    )
    kernels = [op for op in done.ops() if op not in ("reshape", "relayout")]
    assert kernels == (["conv2d", "copy", "conv2d"] if reader else ["conv2d", "copy"])
    (copy,) = [node for node in done.graph.nodes if node.op == "copy"]
    assert not done.graph.tensor(copy.inputs[0]).plain
    done.check()


PADS = [
    ([0, 0, 1, 2, 0, 0, 3, 0], {}, True),
    ([0, -1, 1, -2, 0, 0, 3, 0], {}, True),
    ([0, 0, 3, 4, 0, 0, 3, 0], {"mode": "reflect"}, True),
    ([0, 1, 1, 2, 2, 0, 3, 0], {"mode": "edge"}, True),
    ([0, 1, 1, 9, 2, 0, 9, 0], {"mode": "wrap"}, True),
    ([0, 0, 1, -2, 0, 0, 3, 0], {"mode": "edge"}, False),
]


@pytest.mark.parametrize(("amounts", "attributes", "own"), PADS)
@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_padding(through: Any, amounts: Any, attributes: Any, own: bool, dtype: str) -> None:
    constants = {"p": np.array(amounts), "f": np.array(-3, dtype)}
    inputs = {"x": (dtype, 2, 3, 4, 5)}
    node = ("Pad", "x p f" if not attributes else "x p", "y", attributes)
    done = through(node, passes=(find_copies,), inputs=inputs, outputs="y", opset=19, **constants)
    assert done.ops() == ["pad" if own else "Pad"]
    done.check(0)


@pytest.mark.parametrize(("dtype", "fill"), [("float32", np.nan), ("int64", 2**53 + 1), ("int8", 1)])
def test_padding_that_a_workload_cannot_name_is_left(through: Any, dtype: str, fill: float) -> None:
    constants = {"p": np.array([1, 0]), "f": np.array(fill, dtype)}
    done = through(("Pad", "x p f", "y"), passes=(find_copies,), inputs={"x": (dtype, 4)}, outputs="y", **constants)
    assert done.ops() == ["Pad"]


TAKEN = [
    ("Gather", (5, 4), (3,), {}),
    ("Gather", (2, 5, 4), (2, 3), {"axis": 1}),
    ("Gather", (2, 3, 5), (4,), {"axis": -1}),
    ("Gather", (5, 4), (), {}),
    ("GatherND", (3, 5, 4), (2, 2), {}),
    ("GatherND", (3, 5, 4), (7, 3), {}),
    ("GatherND", (2, 3, 5, 4), (2, 6, 1), {"batch_dims": 1}),
    ("GatherND", (2, 3, 5, 4), (2, 3, 2, 2), {"batch_dims": 2}),
]


@pytest.mark.parametrize(("kind", "shape", "places", "attributes"), TAKEN)
@pytest.mark.parametrize("dtype", ["float32", "int64", "float16"])
@pytest.mark.parametrize("known", [False, True])
def test_rows_by_places(
    through: Any, kind: str, shape: Any, places: Any, attributes: Any, dtype: str, known: bool
) -> None:
    """Constant ones may count from the end; for others, that is checked before."""
    array = -np.random.default_rng(0).integers(0, 3, places) if known else None
    inputs = {"x": (dtype, *shape), **({} if known else {"i": ("int64", *places)})}
    constants = {"i": array} if known else {}
    done = through((kind, "x i", "y", attributes), passes=(find_copies,), inputs=inputs, outputs="y", **constants)
    assert done.ops() == ["take"]
    done.check(0)


def test_rows_of_a_constant_table(through: Any, weights: Any) -> None:
    node = ("Gather", "w i", "y")
    done = through(node, passes=(find_copies,), inputs={"i": ("int32", 2, 3)}, outputs="y", w=weights(9, 20))
    assert done.ops() == ["take"]
    done.check(0)


def test_rows_of_other_types_are_left(through: Any) -> None:
    inputs = {"x": ("bool", 5, 4), "i": ("int64", 3)}
    assert through(("Gather", "x i", "y"), passes=(find_copies,), inputs=inputs, outputs="y").ops() == ["Gather"]
