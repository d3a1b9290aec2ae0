from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("weight", "attributes"),
    [
        ((4, 6, 2, 2, 2), {"strides": [2, 2, 2]}),
        ((4, 6, 3, 3, 3), {"strides": [2, 2, 2], "pads": [1] * 6, "output_padding": [1, 1, 1]}),
        ((4, 6, 4, 4, 4), {"strides": [2, 2, 2], "pads": [1] * 6}),
        ((4, 6, 4, 2, 3), {"strides": [3, 2, 1], "pads": [1, 0, 2, 2, 1, 0], "output_padding": [2, 1, 0]}),
        ((4, 6, 2, 3, 2), {"strides": [2, 2, 1], "dilations": [2, 1, 3]}),
        ((4, 6, 3, 2, 2), {"strides": [2, 3, 2], "dilations": [3, 2, 1], "pads": [2, 1, 0, 3, 0, 1]}),
        ((4, 6, 2, 1, 1), {"strides": [3, 2, 2]}),
        ((4, 6, 1, 1, 1), {}),
        ((4, 3, 3, 3, 3), {"strides": [2, 1, 2], "group": 2}),
        ((4, 1, 4, 3, 3), {"strides": [2, 2, 2], "group": 4, "pads": [1] * 6}),
        ((4, 2, 3, 2, 2), {"strides": [2, 2, 2], "group": 4}),
        ((4, 6, 3, 3, 3), {}),
        ((4, 6, 3, 2, 3), {"pads": [1, 0, 1, 1, 1, 1], "dilations": [1, 2, 1]}),
        ((4, 6, 3, 3, 3), {"strides": [2, 2, 2], "auto_pad": "SAME_UPPER"}),
        ((4, 6, 4, 3, 3), {"strides": [3, 2, 2], "auto_pad": "SAME_LOWER"}),
        ((4, 6, 3, 3, 3), {"strides": [2, 2, 2], "output_shape": [6, 9, 12]}),
    ],
)
@pytest.mark.parametrize("images", [1, 2])
def test_transposed_convolutions(written_out: Any, weights: Any, weight: Any, attributes: Any, images: int) -> None:
    bias = weights(weight[1] * attributes.get("group", 1))
    feeds = {"x": weights(images, 4, 3, 5, 6)}
    node = ("ConvTranspose", "x w b", "y", attributes)
    written_out(node, feeds=feeds, without="Loop", w=weights(*weight), b=bias)


def test_no_volume_is_left(onnx_model: Any, weights: Any) -> None:
    from tvmopt.pipeline.importers.onnx_form.normalize import normalize

    node = ("ConvTranspose", "x w", "y", {"strides": [2, 2, 2]})
    model = onnx_model(node, inputs={"x": (1, 4, 3, 5, 6)}, outputs="y", w=weights(4, 6, 3, 3, 3))
    left = normalize(model).graph
    ranks = {tensor.name: len(tensor.dims) for tensor in left.initializer}
    assert [ranks[n.input[1]] for n in left.node if n.op_type == "ConvTranspose"] == [4, 4]


def test_computed_weights_are_left(onnx_model: Any) -> None:
    from tvmopt.pipeline.importers.onnx_form.normalize import normalize

    shapes = {"x": (1, 4, 3, 5, 6), "w": (4, 6, 3, 3, 3)}
    model = onnx_model(("ConvTranspose", "x w", "y"), inputs=shapes, outputs="y")
    assert [node.op_type for node in normalize(model).graph.node] == ["ConvTranspose"]
