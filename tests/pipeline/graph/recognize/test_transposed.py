from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.graph.recognize import recognize

PASSES = (recognize,)


@pytest.mark.parametrize(
    ("weight", "attributes", "op"),
    [
        ((4, 6, 3, 3), {"strides": [2, 2]}, "transposed_conv2d"),
        ((4, 6, 3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}, "transposed_conv2d"),
        ((4, 6, 4, 2), {"strides": [2, 3], "pads": [1, 0, 2, 1], "output_padding": [0, 2]}, "transposed_conv2d"),
        ((4, 6, 2, 3), {"strides": [3, 2], "dilations": [2, 2]}, "transposed_conv2d"),
        ((4, 6, 3, 2), {"strides": [2, 3], "dilations": [3, 2], "pads": [2, 1, 0, 3]}, "transposed_conv2d"),
        ((4, 3, 3, 3), {"strides": [2, 1], "group": 2}, "transposed_conv2d"),
        ((4, 1, 2, 2), {"strides": [2, 2], "group": 4}, "transposed_conv2d"),
        ((4, 6, 3, 2), {"pads": [1, 0, 2, 1], "dilations": [2, 1]}, "conv2d"),
        ((4, 3, 3, 2), {"group": 2}, "conv2d"),
        ((4, 1, 3, 3), {"group": 4, "pads": [1, 1, 1, 1]}, "depthwise_conv2d"),
        ((4, 6, 1, 1), {"pads": [1, 2, 0, 1]}, "transposed_conv2d"),
        ((4, 6, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}, "transposed_conv2d"),
        ((4, 6, 4, 3), {"strides": [3, 2], "auto_pad": "SAME_LOWER"}, "transposed_conv2d"),
        ((4, 6, 3, 3), {"strides": [3, 2], "auto_pad": "VALID"}, "transposed_conv2d"),
        ((4, 6, 3, 3), {"strides": [2, 2], "output_shape": [9, 12]}, "transposed_conv2d"),
        ((4, 6, 3, 3), {"strides": [2, 2], "output_shape": [10, 10], "auto_pad": "SAME_UPPER"}, "transposed_conv2d"),
        ((4, 6, 3, 3), {"strides": [2, 2], "output_shape": [12, 14], "output_padding": [1, 1]}, "transposed_conv2d"),
    ],
)
def test_images(through: Any, weights: Any, weight: Any, attributes: Any, op: str) -> None:
    constants = {"w": weights(*weight), "b": weights(weight[1] * attributes.get("group", 1))}
    nodes = ("ConvTranspose", "x w b", "y", attributes)
    done = through(nodes, passes=PASSES, inputs={"x": (2, 4, 5, 6)}, outputs="y", **constants)
    assert done.ops() == [op]
    done.check()


@pytest.mark.parametrize(
    ("weight", "attributes", "op"),
    [
        ((4, 6, 16), {"strides": [8]}, "transposed_conv2d"),
        ((4, 2, 3), {"strides": [2], "group": 2, "pads": [1, 0]}, "transposed_conv2d"),
        ((4, 6, 5), {"pads": [2, 2]}, "conv2d"),
    ],
)
def test_lines(through: Any, weights: Any, weight: Any, attributes: Any, op: str) -> None:
    nodes = ("ConvTranspose", "x w", "y", attributes)
    done = through(nodes, passes=PASSES, inputs={"x": (2, 4, 7)}, outputs="y", w=weights(*weight))
    assert done.ops() == ["reshape", op, "reshape"]
    done.check()


@pytest.mark.parametrize(
    ("shape", "weight", "constants"),
    [
        ((1, 4, 5, 5, 5), (4, 6, 3, 3, 3), "w b"),
        ((1, 4, 5, 5), (4, 6, 3, 3), "b"),
        ((1, 4, 5, 5), (4, 6, 3, 3), "w"),
    ],
    ids=["volumes", "computed weights", "computed bias"],
)
def test_others_are_left(through: Any, weights: Any, shape: Any, weight: Any, constants: str) -> None:
    shapes = {"w": weight, "b": (6,)}
    arrays = {name: weights(*shapes[name]) for name in constants.split()}
    inputs = {"x": shape, **{name: shapes[name] for name in "wb" if name not in arrays}}
    done = through(("ConvTranspose", "x w b", "y"), passes=PASSES, inputs=inputs, outputs="y", **arrays)
    assert done.ops() == ["ConvTranspose"]


def test_other_dtypes_are_left(through: Any, weights: Any) -> None:
    weight = weights(4, 6, 3, 3).astype(np.float16)
    inputs = {"x": ("float16", 1, 4, 5, 5)}
    done = through(("ConvTranspose", "x w", "y"), passes=PASSES, inputs=inputs, outputs="y", w=weight)
    assert done.ops() == ["ConvTranspose"]
