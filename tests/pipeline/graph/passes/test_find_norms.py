from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.graph.passes.find_group_norms import find_group_norms
from tvmopt.pipeline.graph.passes.find_norms import find_norms
from tvmopt.pipeline.graph.passes.fuse_epilogue import fuse_epilogue
from tvmopt.pipeline.graph.passes.merge_reshapes import merge_reshapes
from tvmopt.pipeline.graph.recognize import recognize

PASSES = (find_norms, recognize, merge_reshapes, find_group_norms, fuse_epilogue)
ONE = np.float32(1)


def axes(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def layer_norm(square: str, root: str) -> list[tuple[Any, ...]]:
    """Layer normalisation over `a`, written out."""
    squares = {"Mul": ("Mul", "d d", "q"), "Pow": ("Pow", "d two", "q")}
    roots = {
        "Div": [("Sqrt", "v", "s"), ("Div", "d s", "n")],
        "Reciprocal": [("Sqrt", "v", "s"), ("Reciprocal", "s", "r"), ("Mul", "d r", "n")],
        "1/": [("Sqrt", "v", "s"), ("Div", "one s", "r"), ("Mul", "r d", "n")],
        "Pow": [("Pow", "v half", "s"), ("Div", "d s", "n")],
        "-Pow": [("Pow", "v minus", "r"), ("Mul", "d r", "n")],
    }
    mean = [("ReduceMean", "x a", "m"), ("Sub", "x m", "d"), squares[square], ("ReduceMean", "q a", "w")]
    return [*mean, ("Add", "eps w", "v"), *roots[root]]


CONSTANTS = {"two": np.float32(2), "half": np.float32(0.5), "minus": np.float32(-0.5), "one": ONE}
CONSTANTS |= {"eps": np.float32(1e-3)}


@pytest.mark.parametrize("square", ["Mul", "Pow"])
@pytest.mark.parametrize("root", ["Div", "Reciprocal", "1/", "Pow", "-Pow"])
def test_layer_normalisation_written_out(through: Any, weights: Any, square: str, root: str) -> None:
    done = through(
        *layer_norm(square, root),
        ("Mul", "n scale", "p"),
        ("Add", "p bias", "y"),
        passes=PASSES,
        inputs={"x": (2, 5, 7)},
        outputs="y",
        a=axes(-1),
        scale=weights(7),
        bias=weights(7),
        **CONSTANTS,
    )
    assert done.ops() == ["row_norm"]
    assert dict(done.node("row_norm").attrs)["kind"] == "standard"
    assert dict(done.node("row_norm").attrs)["epsilon"] == pytest.approx(1e-3)
    done.check()


@pytest.mark.parametrize("square", [("Mul", "x x", "q"), ("Pow", "x two", "q")])
@pytest.mark.parametrize("last", [("Mul", "x r", "n"), ("Mul", "r x", "n")])
def test_rms_normalisation_written_out(through: Any, weights: Any, square: Any, last: Any) -> None:
    done = through(
        square,
        ("ReduceMean", "q a", "w"),
        ("Add", "w eps", "v"),
        ("Sqrt", "v", "s"),
        ("Reciprocal", "s", "r"),
        last,
        ("Mul", "scale n", "y"),
        passes=PASSES,
        inputs={"x": (3, 11)},
        outputs="y",
        a=axes(1),
        scale=weights(11),
        **CONSTANTS,
    )
    assert done.ops() == ["row_norm"]
    assert dict(done.node("row_norm").attrs)["kind"] == "rms"
    done.check()


@pytest.mark.parametrize(
    ("shape", "over", "op"),
    [((2, 3, 4, 5), (2, 3), "map_norm"), ((2, 3, 4), (1, 2), "row_norm"), ((4, 3), (0, 1), "row_norm")],
)
def test_axes_that_are_rows_or_maps(through: Any, shape: Any, over: Any, op: str) -> None:
    done = through(
        *layer_norm("Mul", "Div"), passes=PASSES, inputs={"x": shape}, outputs="n", a=axes(*over), **CONSTANTS
    )
    assert done.ops() == [op]
    done.check()


def test_other_axes_are_left(through: Any) -> None:
    nodes = layer_norm("Mul", "Div")
    done = through(*nodes, passes=PASSES, inputs={"x": (2, 3, 4, 5)}, outputs="n", a=axes(1), **CONSTANTS)
    assert "row_norm" not in done.ops()
    done.check()


def test_other_formulas_are_left(through: Any) -> None:
    """The deviation of another value, and a mean over other axes than those of the squares."""
    nodes = layer_norm("Mul", "Div")
    for change in (("Div", "z s", "n"), ("ReduceMean", "q b", "w")):
        changed = [change if node[-1] == change[-1] else node for node in nodes]
        inputs = {"x": (3, 3, 3), "z": (3, 3, 3)}
        done = through(*changed, passes=PASSES, inputs=inputs, outputs="n", a=axes(2), b=axes(1), **CONSTANTS)
        assert "row_norm" not in done.ops()
        done.check()


def test_a_mean_that_another_layer_reads_stays(through: Any) -> None:
    nodes = layer_norm("Mul", "Div")
    done = through(*nodes, passes=PASSES, inputs={"x": (3, 5)}, outputs="n m", a=axes(1), **CONSTANTS)
    assert sorted(done.ops()) == ["reduce", "row_norm"]
    done.check()


@pytest.mark.parametrize("shape", [(2, 6, 4, 5), (1, 6, 9), (1, 6, 2, 3, 4)])
def test_group_normalisation_by_instance_normalisation(through: Any, weights: Any, shape: tuple[int, ...]) -> None:
    done = through(
        ("Reshape", "x grouped", "g"),
        ("InstanceNormalization", "g by_group bias_by_group", "n"),
        ("Reshape", "n back", "b"),
        ("Mul", "b scale", "p"),
        ("Add", "p bias", "q"),
        ("Relu", "q", "y"),
        passes=PASSES,
        inputs={"x": shape},
        outputs="y",
        grouped=axes(shape[0], 3, -1),
        back=axes(*shape),
        by_group=weights(3),
        bias_by_group=weights(3),
        scale=weights(6, *[1] * (len(shape) - 2)),
        bias=weights(6, *[1] * (len(shape) - 2)),
    )
    assert done.node("map_norm").attrs["groups"] == 3
    if len(shape) == 4:
        assert done.ops() == ["map_norm"]
    done.check()


def test_group_normalisation_as_onnx_defines_it(through: Any, weights: Any) -> None:
    done = through(
        ("Reshape", "x grouped", "g"),
        ("ReduceMean", "g a", "m"),
        ("Mul", "g g", "q"),
        ("ReduceMean", "q a", "w"),
        ("Mul", "m m", "u"),
        ("Sub", "w u", "t"),
        ("Add", "t eps", "v"),
        ("Sqrt", "v", "s"),
        ("Sub", "g m", "d"),
        ("Div", "d s", "n"),
        ("Reshape", "n back", "b"),
        ("Mul", "b scale", "y"),
        passes=PASSES,
        inputs={"x": (2, 6, 4, 5)},
        outputs="y",
        grouped=axes(2, 2, -1),
        back=axes(2, 6, 4, 5),
        a=axes(2),
        scale=weights(6, 1, 1),
        **CONSTANTS,
    )
    assert done.ops() == ["map_norm"]
    assert done.node("map_norm").attrs["groups"] == 2
    done.check()


def test_reshapes_that_mix_channels_are_left(through: Any) -> None:
    done = through(
        ("Reshape", "x grouped", "g"),
        ("InstanceNormalization", "g one2 zero2", "n"),
        ("Reshape", "n back", "y"),
        passes=PASSES,
        inputs={"x": (2, 3, 4, 5)},
        outputs="y",
        grouped=axes(2, 2, -1),
        back=axes(2, 3, 4, 5),
        one2=np.ones(2, np.float32),
        zero2=np.zeros(2, np.float32),
    )
    assert done.ops() == ["reshape", "map_norm", "reshape"]
    done.check()
