from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.graph.attributes import window_pads
from tvmopt.pipeline.graph.ir import Origin
from tvmopt.pipeline.graph.recognize import recognize

PASSES = (recognize,)


@pytest.mark.parametrize(
    ("weight", "attributes", "op"),
    [
        ((6, 4, 3, 3), {}, "conv2d"),
        ((6, 4, 3, 2), {"strides": [2, 1], "dilations": [1, 2], "pads": [1, 0, 2, 1]}, "conv2d"),
        ((6, 2, 1, 1), {"group": 2}, "conv2d"),
        ((4, 1, 3, 3), {"group": 4}, "depthwise_conv2d"),
        ((8, 1, 3, 3), {"group": 4}, "conv2d"),
        ((6, 4, 3, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, "conv2d"),
        ((6, 4, 2, 3), {"auto_pad": "SAME_LOWER"}, "conv2d"),
        ((6, 4, 3, 3), {"auto_pad": "VALID", "strides": [2, 3]}, "conv2d"),
    ],
)
def test_images(through: Any, weights: Any, weight: Any, attributes: Any, op: str) -> None:
    nodes = ("Conv", "x w b", "y", attributes)
    constants = {"w": weights(*weight), "b": weights(weight[0])}
    done = through(nodes, passes=PASSES, inputs={"x": (2, 4, 7, 8)}, outputs="y", **constants)
    assert done.ops() == [op]
    assert done.graph.tensor(done.node(op).inputs[2]).shape == (1, weight[0], 1, 1)
    done.check()


def test_one_channel_is_no_depthwise_convolution(through: Any, weights: Any) -> None:
    done = through(("Conv", "x w", "y"), passes=PASSES, inputs={"x": (1, 1, 5, 5)}, outputs="y", w=weights(1, 1, 3, 3))
    assert done.ops() == ["conv2d"]
    done.check()


@pytest.mark.parametrize(
    ("weight", "attributes", "op"),
    [
        ((6, 4, 3), {}, "conv2d"),
        ((6, 4, 1), {"strides": [2]}, "conv2d"),
        ((6, 4, 3), {"strides": [3], "dilations": [2], "pads": [4, 1]}, "conv2d"),
        ((6, 2, 5), {"group": 2, "pads": [2, 2]}, "conv2d"),
        ((4, 1, 3), {"group": 4}, "depthwise_conv2d"),
        ((6, 4, 4), {"auto_pad": "SAME_UPPER"}, "conv2d"),
        ((6, 4, 4), {"auto_pad": "SAME_LOWER", "strides": [2]}, "conv2d"),
    ],
)
def test_lines(through: Any, weights: Any, weight: Any, attributes: Any, op: str) -> None:
    constants = {"w": weights(*weight), "b": weights(weight[0])}
    done = through(
        ("Conv", "x w b", "y", attributes), passes=PASSES, inputs={"x": (2, 4, 13)}, outputs="y", **constants
    )
    assert done.ops() == ["reshape", op, "reshape"]
    assert done.tensor(op, 0).shape == (2, 4, 1, 13)
    assert done.graph.origins[done.node(op).output] == Origin("y", "image")
    done.check()


@pytest.mark.parametrize(
    ("shape", "weight", "attributes", "op"),
    [
        ((2, 4, 3, 5, 6), (6, 4, 3, 3, 3), {"pads": [1] * 6}, "conv3d"),
        (
            (1, 4, 5, 5, 6),
            (6, 4, 2, 3, 1),
            {"strides": [2, 1, 3], "dilations": [2, 1, 1], "pads": [3, 0, 0, 0, 2, 1]},
            "conv3d",
        ),
        ((2, 4, 3, 5, 6), (6, 4, 1, 3, 3), {"strides": [1, 2, 2], "pads": [0, 1, 1, 0, 1, 1]}, "conv2d"),
        ((2, 4, 3, 5, 6), (6, 4, 1, 1, 1), {"strides": [2, 1, 1]}, "conv3d"),
        ((2, 4, 3, 5, 6), (4, 1, 1, 3, 3), {"group": 4}, "depthwise_conv2d"),
        ((2, 4, 3, 5, 6), (4, 1, 3, 3, 3), {"group": 4}, "conv3d"),
        ((2, 4, 3, 5, 6), (6, 2, 3, 1, 1), {"group": 2, "auto_pad": "SAME_UPPER"}, "conv3d"),
        ((2, 1, 3, 5, 6), (1, 1, 3, 3, 3), {}, "conv3d"),
        ((2, 4, 1, 5, 6), (6, 4, 3, 3, 3), {"pads": [1] * 6}, "conv3d"),
    ],
)
def test_volumes(through: Any, weights: Any, shape: Any, weight: Any, attributes: Any, op: str) -> None:
    nodes, constants = ("Conv", "x w b", "y", attributes), {"w": weights(*weight), "b": weights(weight[0])}
    done = through(nodes, passes=PASSES, inputs={"x": shape}, outputs="y", **constants)
    assert [kind for kind in done.ops() if kind not in ("reshape", "Transpose")] == [op]
    assert done.graph.origins[done.node(op).output] == Origin("y", "planes")
    done.check()


@pytest.mark.parametrize(
    ("inputs", "weight", "constants"),
    [
        ({"x": (1, 4, 3, 5, 5, 5)}, (6, 4, 3, 3, 3, 3), "w b"),
        ({"x": (1, 4, 5, 5)}, (6, 4, 3, 3), "b"),
        ({"x": (1, 4, 5, 5)}, (6, 4, 3, 3), "w"),
        ({}, (6, 4, 3, 3), "w b x"),
    ],
    ids=["more dimensions", "computed weights", "computed bias", "constant data"],
)
def test_others_are_left(through: Any, weights: Any, inputs: Any, weight: Any, constants: str) -> None:
    shapes = {"w": weight, "b": (6,), "x": (1, 4, 5, 5)}
    arrays = {name: weights(*shapes[name]) for name in constants.split()}
    inputs = {**inputs, **{name: shapes[name] for name in "wb" if name not in arrays}, "unused": (1,)}
    done = through(("Conv", "x w b", "y"), passes=PASSES, inputs=inputs, outputs="y", **arrays)
    assert done.ops() == ["Conv"]


def test_other_dtypes_are_left(through: Any, weights: Any) -> None:
    weight = weights(6, 4, 3, 3).astype(np.float16)
    done = through(("Conv", "x w", "y"), passes=PASSES, inputs={"x": ("float16", 1, 4, 5, 5)}, outputs="y", w=weight)
    assert done.ops() == ["Conv"]


@pytest.mark.parametrize(
    ("values", "pads"),
    [
        ({}, (0, 0, 0, 0)),
        ({"pads": [1, 2, 3, 4]}, (1, 2, 3, 4)),
        ({"auto_pad": "NOTSET", "pads": [1, 2, 3, 4]}, (1, 2, 3, 4)),
        ({"auto_pad": "VALID"}, (0, 0, 0, 0)),
        ({"auto_pad": "SAME_UPPER"}, (0, 1, 1, 1)),
        ({"auto_pad": "SAME_LOWER"}, (1, 1, 0, 1)),
    ],
)
def test_pads_of_windows(values: Any, pads: Any) -> None:
    assert window_pads(values, (8, 9), (3, 3), (2, 2), (1, 1)) == pads
