from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.graph.passes.fuse_epilogue import fuse_epilogue
from tvmopt.pipeline.graph.recognize import recognize

PASSES = (recognize,)


@pytest.mark.parametrize(("shape", "axis"), [((4, 7), -1), ((2, 3, 5), 1), ((6,), 0), ((2, 3, 4, 5), -2)])
@pytest.mark.parametrize("operands", ["x s", "x s b"])
def test_layer_normalisation(through: Any, weights: Any, shape: Any, axis: int, operands: str) -> None:
    row = shape[axis:]
    done = through(
        ("LayerNormalization", operands, "y", {"axis": axis, "epsilon": 1e-3}),
        passes=PASSES,
        inputs={"x": shape},
        outputs="y",
        s=weights(*row),
        b=weights(*row),
    )
    assert done.ops() == ["row_norm"]
    done.check()


def test_factors_without_effect_are_dropped(through: Any) -> None:
    ones, zeros = np.ones(5, np.float32), np.zeros(5, np.float32)
    nodes = ("LayerNormalization", "x s b", "y")
    done = through(nodes, passes=PASSES, inputs={"x": (3, 5)}, outputs="y", s=ones, b=zeros)
    assert done.node("row_norm").inputs == ("x",)
    done.check()


def test_factors_that_are_computed(through: Any) -> None:
    inputs = {"x": (3, 5), "s": (5,), "b": (5,)}
    done = through(("LayerNormalization", "x s b", "y"), passes=PASSES, inputs=inputs, outputs="y")
    assert done.node("row_norm").inputs == ("x", "s", "b")
    done.check()


@pytest.mark.parametrize("outputs", ["y m i", "y . i", "y m"])
def test_mean_and_inverse_deviation(through: Any, weights: Any, outputs: str) -> None:
    names = outputs.replace(" .", "")
    node = ("LayerNormalization", "x s", outputs, {"axis": 1})
    done = through(node, passes=PASSES, inputs={"x": (3, 5, 4)}, outputs=names, s=weights(5, 4))
    done.check()


@pytest.mark.parametrize("shape", [(2, 6, 4, 5), (2, 6, 9), (1, 6, 2, 3, 4)])
def test_instance_normalisation(through: Any, weights: Any, shape: tuple[int, ...]) -> None:
    node = ("InstanceNormalization", "x s b", "y", {"epsilon": 1e-3})
    done = through(node, passes=PASSES, inputs={"x": shape}, outputs="y", s=weights(6), b=weights(6))
    assert done.node("map_norm").attrs["groups"] == 6
    assert ("reshape" in done.ops()) == (len(shape) != 4)
    done.check()


def test_operators_behind_it_join_it(through: Any, weights: Any) -> None:
    done = through(
        ("LayerNormalization", "x s", "n"),
        ("Add", "n z", "a"),
        ("Mul", "a w", "m"),
        ("Sigmoid", "m", "y"),
        passes=(recognize, fuse_epilogue),
        inputs={"x": (2, 3, 5), "z": (2, 3, 5)},
        outputs="y",
        s=weights(3, 5)[0],
        w=weights(5),
    )
    assert done.ops() == ["row_norm"]
    done.check()


def test_a_vector_joins_rows_of_several_dimensions(through: Any, weights: Any) -> None:
    done = through(
        ("LayerNormalization", "x s", "n", {"axis": 1}),
        ("Add", "n w", "y"),
        passes=(recognize, fuse_epilogue),
        inputs={"x": (2, 3, 5)},
        outputs="y",
        s=weights(3, 5),
        w=weights(5),
    )
    assert done.ops() == ["row_norm"]
    done.check()


@pytest.mark.parametrize(("other", "joins"), [((1, 6, 1, 1), True), ((2, 1, 4, 5), True), ((1, 1, 1, 5), False)])
def test_operands_that_join_normalised_maps(through: Any, weights: Any, other: Any, joins: bool) -> None:
    done = through(
        ("InstanceNormalization", "x s b", "n"),
        ("Add", "n z", "y"),
        passes=(recognize, fuse_epilogue),
        inputs={"x": (2, 6, 4, 5), "z": other},
        outputs="y",
        s=weights(6),
        b=weights(6),
    )
    assert done.ops() == (["map_norm"] if joins else ["map_norm", "pointwise"])
    done.check()


def test_other_types_are_left(through: Any) -> None:
    node = ("LayerNormalization", "x s", "y")
    done = through(node, passes=PASSES, inputs={"x": ("float16", 3, 5), "s": ("float16", 5)}, outputs="y")
    assert done.ops() == ["LayerNormalization"]


def test_local_response_normalisation(through: Any) -> None:
    node = ("LRN", "x", "y", {"size": 5, "alpha": 0.5, "bias": 2.0})
    done = through(node, passes=PASSES, inputs={"x": (2, 6, 4, 5)}, outputs="y")
    assert dict(done.node("lrn").attrs) == {"size": 5, "alpha": 0.5, "beta": 0.75, "bias": 2.0}
    done.check()


def test_a_window_that_no_kernel_has_is_left_to_tvm(through: Any) -> None:
    done = through(("LRN", "x", "y", {"size": 11}), passes=PASSES, inputs={"x": (1, 20, 3, 3)}, outputs="y")
    assert done.ops() == ["LRN"]
    done.check()
