"""Sums of convolutions of one map: which become one convolution, and that the result stays the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.graph.maps.merge_branches import merge_branches
from tvmopt.pipeline.graph.passes.fold_batchnorm import fold_batchnorm
from tvmopt.pipeline.graph.recognize import recognize

PASSES = (fold_batchnorm, recognize, merge_branches)
PADDED = {"pads": [1, 1, 1, 1]}


def normalisation(weights: Any, channels: int) -> dict[str, np.ndarray]:
    values = {name: weights(channels) for name in ("scale", "bias", "mean")}
    return {**values, "variance": np.abs(weights(channels)) + 0.5}


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_a_block_with_three_branches(through: Any, weights: Any, groups: int) -> None:
    """RepVGG's, MobileOne's if each channel has its own kernel."""
    done = through(
        ("Conv", "x v a", "c", {**PADDED, "group": groups}),
        ("Conv", "x w", "d", {"group": groups}),
        ("Add", "c d", "e"),
        ("BatchNormalization", "x scale bias mean variance", "n"),
        ("Add", "n e", "f"),
        ("Relu", "f", "y"),
        inputs={"x": (2, 6, 5, 7)},
        outputs="y",
        passes=PASSES,
        v=weights(6, 6 // groups, 3, 3),
        a=weights(6),
        w=weights(6, 6 // groups, 1, 1),
        **normalisation(weights, 6),
    )
    done.check()
    assert done.ops() == ["depthwise_conv2d" if groups == 6 else "conv2d", "pointwise"]
    layers = {layer for node in done.graph.nodes for layer in node.layers}
    assert layers == {node.name for node in done.model.graph.node}


@pytest.mark.parametrize("order", ["c x", "x c"])
def test_a_map_and_its_convolution(through: Any, weights: Any, order: str) -> None:
    done = through(
        ("Conv", "x v", "c", {"pads": [2, 2, 2, 2], "dilations": [2, 2], "group": 6}),
        ("Add", order, "y"),
        inputs={"x": (1, 6, 5, 7)},
        outputs="y",
        passes=PASSES,
        v=weights(6, 1, 3, 3),
    )
    done.check()
    assert done.ops() == ["depthwise_conv2d"]


def test_strides(through: Any, weights: Any) -> None:
    done = through(
        ("Conv", "x v", "c", {**PADDED, "strides": [2, 2]}),
        ("Conv", "x w", "d", {"strides": [2, 2]}),
        ("Add", "c d", "y"),
        inputs={"x": (1, 6, 5, 7)},
        outputs="y",
        passes=PASSES,
        v=weights(4, 6, 3, 3),
        w=weights(4, 6, 1, 1),
    )
    done.check()
    assert done.ops() == ["conv2d"]


@pytest.mark.parametrize(
    "kind", ["read elsewhere", "other map", "other places", "no square", "other groups", "broadcast", "twice"]
)
def test_what_is_left_alone(through: Any, weights: Any, kind: str) -> None:
    second = {"other map": "z w", "twice": "x v"}.get(kind, "x w")
    how = {"other places": {"pads": [0, 2, 2, 0]}, "other groups": {"group": 3}}.get(kind, {})
    kernel = {"other places": (6, 6, 3, 3), "no square": (6, 6, 1, 3), "other groups": (6, 2, 1, 1)}
    sizes = {"no square": [0, 1, 0, 1]}
    if kind in sizes:
        how = {"pads": sizes[kind]}
    shape = {"broadcast": (1, 6, 1, 1)}
    one = {"no square": {"kernel": (6, 6, 3, 1), "pads": [1, 0, 1, 0]}}.get(kind, {"kernel": (6, 6, 3, 3), **PADDED})
    inputs = {"x": (1, 6, 5, 7)}
    if kind in ("other map", "broadcast"):
        inputs["z"] = shape.get(kind, (1, 6, 5, 7))
    nodes: list[Any] = [("Conv", "x v", "c", {"pads": one["pads"]})]
    if kind == "broadcast":
        nodes += [("Add", "c z", "y")]
    elif kind == "twice":
        nodes += [("Add", "c c", "y")]
    else:
        nodes += [("Conv", second, "d", how), ("Add", "c d", "y")]
    done = through(
        *nodes,
        inputs=inputs,
        outputs="y c" if kind == "read elsewhere" else "y",
        passes=PASSES,
        v=weights(*one["kernel"]),
        **({} if kind in ("broadcast", "twice") else {"w": weights(*kernel.get(kind, (6, 6, 1, 1)))}),
    )
    done.check()
    assert "pointwise" in done.ops()
