"""Which two 1×1 convolutions become one, and that the result stays the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tvmopt.pipeline.graph.maps.compose_mixers import compose_mixers
from tvmopt.pipeline.graph.passes.fuse_epilogue import fuse_epilogue
from tvmopt.pipeline.graph.recognize import recognize
from tvmopt.schedules.target import Target, parse_target

TARGET = parse_target("x86-64-v3", 2)


def passes(target: Target = TARGET) -> Any:
    return (recognize, lambda graph: compose_mixers(graph, target), fuse_epilogue)


@pytest.mark.parametrize("inner", ["x v a", "x v"])
@pytest.mark.parametrize("outer", ["m w b", "m w"])
def test_widening_and_mixing(through: Any, weights: Any, inner: str, outer: str) -> None:
    done = through(
        ("Conv", inner, "m"),
        ("Conv", outer, "c"),
        ("Relu", "c", "y"),
        inputs={"x": (2, 3, 5, 7)},
        outputs="y",
        passes=passes(),
        v=weights(17, 3, 1, 1),
        a=weights(17),
        w=weights(5, 17, 1, 1),
        b=weights(5),
    )
    assert done.ops() == ["conv2d"]
    assert done.node("conv2d").layers == ("Conv0", "Conv1", "Relu2")
    done.check()


def test_three_in_a_row(through: Any, weights: Any) -> None:
    done = through(
        ("Conv", "x u a", "k"),
        ("Conv", "k v", "m"),
        ("Conv", "m w b", "y"),
        inputs={"x": (1, 3, 5, 7)},
        outputs="y",
        passes=passes(),
        u=weights(16, 3, 1, 1),
        a=weights(16),
        v=weights(17, 16, 1, 1),
        w=weights(5, 17, 1, 1),
        b=weights(5),
    )
    assert done.ops() == ["conv2d"]
    done.check()


@pytest.mark.parametrize(
    ("middle", "kernel", "attributes", "between", "outputs"),
    [
        pytest.param(2, 1, {}, "Identity", "y", id="a bottleneck"),
        pytest.param(17, 2, {}, "Identity", "y", id="pixels combined"),
        pytest.param(17, 1, {"strides": [2, 2]}, "Identity", "y", id="pixels left out"),
        pytest.param(17, 1, {"pads": [0, 1, 0, 0]}, "Identity", "y", id="padding"),
        pytest.param(17, 1, {}, "Relu", "y", id="an activation between"),
        pytest.param(17, 1, {}, "Identity", "y n", id="the middle is read"),
    ],
)
def test_others_stay(
    through: Any, weights: Any, middle: int, kernel: int, attributes: Any, between: str, outputs: str
) -> None:
    done = through(
        ("Conv", "x v a", "m"),
        (between, "m", "n"),
        ("Conv", "n w", "y", attributes),
        inputs={"x": (1, 5, 6, 7)},
        outputs=outputs,
        passes=passes(),
        v=weights(middle, 5, 1, 1),
        a=weights(middle),
        w=weights(6, middle, kernel, kernel),
    )
    assert done.ops().count("conv2d") == 2
    done.check()


def test_where_nan_matters_both_stay(through: Any, weights: Any) -> None:
    done = through(
        ("Conv", "x v", "m"),
        ("Conv", "m w", "y"),
        inputs={"x": (1, 3, 5, 7)},
        outputs="y",
        passes=passes(replace(TARGET, strict_nan=True)),
        v=weights(17, 3, 1, 1),
        w=weights(5, 17, 1, 1),
    )
    assert done.ops() == ["conv2d", "conv2d"]
