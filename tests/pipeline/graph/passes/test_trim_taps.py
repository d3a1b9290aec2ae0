from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tvmopt.pipeline.graph.passes.merge_groups import merge_groups
from tvmopt.pipeline.graph.passes.plan_layout import plan_layout
from tvmopt.pipeline.graph.passes.trim_taps import trim_taps
from tvmopt.pipeline.graph.recognize import recognize
from tvmopt.schedules.target import parse_target

TARGET = parse_target("x86-64-v3", 2)
PASSES = (recognize, trim_taps)


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize(
    ("kernel", "attributes", "left"),
    [
        ((3, 3), {"pads": [9, 9, 9, 9], "dilations": [9, 9]}, (1, 1)),
        ((3, 3), {"pads": [5, 9, 5, 9], "dilations": [5, 9]}, (3, 1)),
        ((5, 5), {"pads": [8, 8, 8, 8], "dilations": [4, 4]}, (3, 3)),
        ((3, 3), {"pads": [7, 0, 7, 0], "dilations": [7, 1]}, (1, 3)),
        ((4, 1), {"pads": [9, 0, 9, 0], "dilations": [6, 1], "strides": [2, 1]}, (2, 1)),
        ((2, 2), {"pads": [1, 0, 0, 0], "dilations": [7, 1]}, (2, 2)),
    ],
)
def test_taps_that_meet_only_padding_go(
    through: Any, weights: Any, groups: int, kernel: Any, attributes: Any, left: Any
) -> None:
    nodes = ("Conv", "x w b", "y", {**attributes, "group": groups})
    constants = {"w": weights(4, 4 // groups, *kernel), "b": weights(4)}
    done = through(nodes, passes=PASSES, inputs={"x": (2, 4, 7, 6)}, outputs="y", **constants)
    (node,) = done.graph.nodes
    assert done.graph.tensor(node.inputs[1]).shape[2:] == left
    done.check()


def test_windows_of_padding_alone_keep_a_tap(through: Any, weights: Any) -> None:
    nodes = ("Conv", "x w b", "y", {"pads": [2, 0, 0, 0], "dilations": [3, 1], "strides": [5, 1]})
    done = through(nodes, passes=PASSES, inputs={"x": (1, 4, 2, 6)}, outputs="y", w=weights(4, 4, 2, 1), b=weights(4))
    done.check()


def test_other_kernels_stay(through: Any, weights: Any) -> None:
    nodes = ("Conv", "x w", "y", {"pads": [4, 4, 4, 4], "dilations": [4, 4]})
    done = through(nodes, passes=PASSES, inputs={"x": (1, 4, 7, 6)}, outputs="y", w=weights(4, 4, 3, 3))
    assert done.node("conv2d").inputs == ("x", "w")


VOLUMES = {
    "one plane": ((2, 4, 1, 5, 6), (3, 3, 3), {"pads": [1, 1, 1, 1, 1, 1]}, "conv2d", (3, 3)),
    "one plane, no pixels around": ((1, 4, 1, 7, 6), (3, 1, 1), {"pads": [1, 0, 0, 1, 0, 0]}, "conv2d", (1, 1)),
    "padding in front alone": ((2, 4, 1, 5, 6), (4, 1, 2), {"pads": [3, 0, 0, 0, 0, 1]}, "conv2d", (1, 2)),
    "two planes": ((2, 4, 2, 3, 5), (5, 1, 3), {"pads": [2, 0, 1, 2, 0, 1]}, "conv3d", (3, 3)),
    "a step along planes": (
        *((2, 4, 2, 5, 4), (3, 3, 1), {"pads": [1, 1, 0, 1, 1, 0], "strides": [2, 1, 1]}),
        *("conv3d", (6, 1)),
    ),
    "far rows": (
        *((2, 4, 3, 5, 6), (3, 3, 3), {"pads": [1, 9, 1, 1, 9, 1], "dilations": [1, 9, 1]}),
        *("conv3d", (3, 3)),
    ),
    "planes far apart": (
        (1, 4, 2, 3, 3),
        (3, 1, 1),
        {"pads": [7, 0, 0, 7, 0, 0], "dilations": [7, 1, 1]},
        "conv2d",
        (1, 1),
    ),
}


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("name", VOLUMES)
def test_planes_of_padding_go(through: Any, weights: Any, groups: int, name: str) -> None:
    shape, kernel, attributes, op, left = VOLUMES[name]
    nodes = ("Conv", "x w b", "y", {**attributes, "group": groups})
    constants = {"w": weights(4, 4 // groups, *kernel), "b": weights(4)}
    done = through(nodes, passes=PASSES, inputs={"x": shape}, outputs="y", **constants)
    by_channel = op == "conv2d" and groups == 4
    node = done.node("depthwise_conv2d" if by_channel else op)
    assert done.graph.tensor(node.inputs[1]).shape[2:] == left
    done.check()
    replace(done, graph=plan_layout(merge_groups(done.graph, TARGET), TARGET)).check_templates(TARGET)


def test_windows_over_whole_volumes_stay(through: Any, weights: Any) -> None:
    nodes = ("Conv", "x w", "y", {"pads": [1, 1, 1, 1, 1, 1]})
    done = through(nodes, passes=PASSES, inputs={"x": (1, 4, 2, 5, 5)}, outputs="y", w=weights(4, 4, 3, 3, 3))
    assert done.tensor("conv3d", 1).shape[2:] == (9, 3)
