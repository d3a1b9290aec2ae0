from __future__ import annotations

from typing import Any

import pytest

from tvmopt.pipeline.graph.passes.trim_taps import trim_taps
from tvmopt.pipeline.graph.recognize import recognize

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
