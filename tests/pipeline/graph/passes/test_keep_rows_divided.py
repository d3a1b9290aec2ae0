from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.graph.passes.fuse_epilogue import fuse_epilogue
from tvmopt.pipeline.graph.passes.keep_rows_divided import keep_rows_divided
from tvmopt.pipeline.graph.recognize import recognize

ROWS = {"x": (2, 7, 5)}
FLATTEN, DIVIDE = ("Reshape", "x flat", "a"), ("Reshape", "b parts", "c")
SHAPES = {"flat": np.array([14, 5]), "parts": np.array([2, 7, 3])}


@pytest.fixture
def kept(through: Any, weights: Any) -> Any:
    """Nodes after the pass; the values are right."""

    def send(*nodes: Any, outputs: str = "y", fuse: bool = False, inputs: Any = ROWS, **constants: Any) -> Any:
        known = {"w": weights(5, 3), "bias": weights(3), **SHAPES, **constants}
        used = {name for node in nodes for name in node[1].split()}
        passes = (recognize, keep_rows_divided, *((fuse_epilogue,) if fuse else ()))
        chosen = {name: array for name, array in known.items() if name in used}
        done = through(*nodes, inputs=inputs, outputs=outputs, passes=passes, **chosen)
        done.check()
        return done

    return send


def test_reshapes_around_a_product_vanish(kept: Any) -> None:
    done = kept(FLATTEN, ("Gemm", "a w bias", "b"), DIVIDE, ("Relu", "c", "y"))
    assert done.ops() == ["dense", "pointwise"]
    assert done.tensor("dense").shape == (2, 7, 3)
    assert done.node("dense").layers == ("Gemm1", "Reshape2")


@pytest.mark.parametrize("reshapes", [1, 2])
def test_what_a_product_takes_from_another_is_there(kept: Any, weights: Any, reshapes: int) -> None:
    between = [("Reshape", "m flat3", "d"), ("Reshape", "d parts", "e"), ("Reshape", "e flat3", "f")]
    between = between[: 2 * reshapes - 1]
    nodes = [("MatMul", "x w", "m"), *between, ("Gemm", f"{between[-1][2]} v bias", "y")]
    done = kept(*nodes, v=weights(3, 3), flat3=np.array([14, 3]))
    assert done.ops().count("dense") == 2
    assert done.ops()[0] == "dense"


def test_what_follows_becomes_the_epilogue(kept: Any) -> None:
    inputs = {**ROWS, "z": (2, 7, 3)}
    done = kept(FLATTEN, ("Gemm", "a w bias", "b"), DIVIDE, ("Add", "c z", "y"), inputs=inputs, fuse=True)
    assert done.ops() == ["dense"]


def test_a_chain_of_products_needs_none(kept: Any, weights: Any) -> None:
    nodes = [FLATTEN, ("Gemm", "a w bias", "b"), DIVIDE, ("Relu", "c", "d"), ("Reshape", "d flat3", "e")]
    done = kept(*nodes, ("Gemm", "e u", "y"), flat3=np.array([14, 3]), u=weights(3, 4))
    assert done.ops() == ["dense", "pointwise", "dense"]
    assert done.graph.tensor("y").shape == (14, 4)


LEFT_ALONE = {
    "columns divided": ((2, 35), ("Reshape", "x flat", "a"), {"flat": np.array([14, 5])}, 1),
    "no rows": ((5,), ("Reshape", "x flat", "a"), {"flat": np.array([1, 5])}, 1),
}


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_other_reshapes_before_it_stay(kept: Any, name: str) -> None:
    shape, node, constants, count = LEFT_ALONE[name]
    done = kept(node, ("Gemm", "a w bias", "y"), inputs={"x": shape}, **constants)
    assert done.ops().count("reshape") == count


def test_a_result_that_is_read_twice_stays(kept: Any) -> None:
    done = kept(FLATTEN, ("Gemm", "a w bias", "b"), DIVIDE, ("Relu", "c", "y"), ("Relu", "b", "z"), outputs="y z")
    assert done.ops() == ["dense", "reshape", "pointwise", "pointwise"]


def test_a_result_whose_columns_are_divided_stays(kept: Any) -> None:
    done = kept(FLATTEN, ("Gemm", "a w bias", "b"), ("Reshape", "b parts", "y"), parts=np.array([7, 6]))
    assert done.ops() == ["dense", "reshape"]


def test_products_of_two_computed_operands_keep_their_batches(kept: Any) -> None:
    nodes = [("Reshape", "x one", "a"), ("MatMul", "a z", "y")]
    done = kept(*nodes, inputs={"x": (2, 7, 5), "z": (1, 5, 4)}, one=np.array([1, 14, 5]))
    assert done.ops() == ["reshape", "dense"]
