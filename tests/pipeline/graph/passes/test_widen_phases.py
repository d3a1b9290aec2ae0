from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from tvmopt.pipeline.graph.passes.widen_phases import widen_phases
from tvmopt.pipeline.graph.recognize import recognize
from tvmopt.schedules.target import parse_target

TARGET = parse_target("x86-64-v3", 1)
PASSES = (recognize, partial(widen_phases, target=TARGET))


@pytest.mark.parametrize(
    ("weight", "attributes"),
    [
        ((4, 1, 9, 9), {"strides": [2, 2], "pads": [4, 4, 4, 4], "output_padding": [1, 1]}),
        ((4, 2, 2, 2), {"strides": [2, 2]}),
        ((4, 2, 3, 4), {"strides": [2, 3], "pads": [0, 1, 1, 0]}),
        ((4, 1, 1, 16), {"strides": [1, 8], "pads": [0, 3, 0, 4]}),
        ((4, 1, 5, 5), {"strides": [4, 3], "pads": [1, 2, 0, 1]}),
        ((4, 1, 4, 4), {"strides": [2, 2], "dilations": [1, 2], "pads": [2, 3, 0, 2]}),
    ],
)
def test_few_channels_share_vectors(through: Any, weights: Any, weight: Any, attributes: Any) -> None:
    nodes = ("ConvTranspose", "x w b", "y", attributes)
    constants = {"w": weights(*weight), "b": weights(weight[1])}
    done = through(nodes, passes=PASSES, inputs={"x": (2, 4, 5, 6)}, outputs="y", **constants)
    assert done.ops() == ["conv2d", "depth_to_space"]
    assert {node.layers for node in done.graph.nodes} == {("ConvTranspose0",)}
    done.check()


@pytest.mark.parametrize(
    ("weight", "attributes"),
    [
        ((4, 8, 4, 4), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ((4, 1, 3, 3), {"strides": [2, 2], "dilations": [2, 2]}),
        ((4, 1, 3, 3), {"strides": [2, 2], "group": 2}),
        ((4, 1, 2, 2), {"strides": [2, 2], "pads": [2, 2, 0, 0]}),
    ],
    ids=["many channels", "dilated", "groups", "what begins late"],
)
def test_others_stay(through: Any, weights: Any, weight: Any, attributes: Any) -> None:
    nodes = ("ConvTranspose", "x w", "y", attributes)
    done = through(nodes, passes=PASSES, inputs={"x": (2, 4, 5, 6)}, outputs="y", w=weights(*weight))
    assert done.ops() == ["transposed_conv2d"]
    done.check()
