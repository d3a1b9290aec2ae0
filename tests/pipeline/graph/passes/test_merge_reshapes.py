from __future__ import annotations

from typing import Any

import numpy as np

from tvmopt.pipeline.graph.passes.merge_reshapes import merge_reshapes
from tvmopt.pipeline.graph.recognize import recognize

PASSES = (recognize, merge_reshapes)


def shape(*sizes: int) -> np.ndarray:
    return np.array(sizes, np.int64)


def test_a_chain_becomes_one(through: Any) -> None:
    done = through(
        ("Reshape", "x a", "u"),
        ("Reshape", "u b", "v"),
        ("Reshape", "v c", "y"),
        passes=PASSES,
        inputs={"x": (2, 12)},
        outputs="y",
        a=shape(24),
        b=shape(4, 6),
        c=shape(3, 8),
    )
    assert done.ops() == ["reshape"]
    assert done.node("reshape").inputs == ("x",)
    done.check()


def test_values_with_other_readers_stay(through: Any) -> None:
    done = through(
        ("Reshape", "x a", "u"),
        ("Reshape", "u b", "y"),
        ("Relu", "u", "z"),
        passes=PASSES,
        inputs={"x": (2, 12)},
        outputs="y z",
        a=shape(24),
        b=shape(4, 6),
    )
    assert done.ops() == ["reshape", "reshape", "pointwise"]
    assert [node.inputs for node in done.graph.nodes] == [("x",), ("x",), ("u",)]
    done.check()


def test_a_reshape_and_its_inverse_are_removed(through: Any) -> None:
    done = through(
        ("Relu", "x", "t"),
        ("Reshape", "t a", "u"),
        ("Reshape", "u b", "v"),
        ("Softmax", "v", "y"),
        passes=PASSES,
        inputs={"x": (2, 12)},
        outputs="y",
        a=shape(24),
        b=shape(2, 12),
    )
    assert done.ops() == ["pointwise", "softmax"]
    done.check()


def test_a_graph_output_keeps_its_reshape(through: Any) -> None:
    done = through(
        ("Reshape", "x a", "u"),
        ("Reshape", "u b", "y"),
        passes=PASSES,
        inputs={"x": (2, 12)},
        outputs="y",
        a=shape(24),
        b=shape(2, 12),
    )
    assert done.ops() == ["reshape"]
    assert done.graph.outputs == ("y",)
    done.check()
