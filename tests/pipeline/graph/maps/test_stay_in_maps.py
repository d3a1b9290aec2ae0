"""What lies between transposes to channels last and back is computed in maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.graph.maps.stay_in_maps import stay_in_maps
from tvmopt.pipeline.graph.optimize import passes
from tvmopt.pipeline.graph.passes.find_norms import find_norms
from tvmopt.pipeline.graph.passes.keep_rows_divided import keep_rows_divided
from tvmopt.pipeline.graph.recognize import recognize
from tvmopt.pipeline.tasks.workloads import workload_of
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.target import parse_target

TARGET = parse_target("x86-64-v3", 2)
LAST, FIRST = {"perm": [0, 2, 3, 1]}, {"perm": [0, 3, 1, 2]}
HERE = (find_norms, recognize, keep_rows_divided, stay_in_maps)


def block(weights: Any, channels: int) -> tuple[list[Any], dict[str, Any]]:
    """ConvNeXt's block: normalisation, two dense layers with a function between, a scale."""
    nodes = [
        ("Transpose", "d", "t", LAST),
        ("LayerNormalization", "t g b", "n", {"axis": -1, "epsilon": 1e-6}),
        ("MatMul", "n u", "m"),
        ("Add", "m c", "a"),
        ("Sigmoid", "a", "s"),
        ("MatMul", "s v", "o"),
        ("Mul", "o k", "p"),
        ("Transpose", "p", "r", FIRST),
    ]
    constants = {
        "g": weights(channels),
        "b": weights(channels),
        "u": weights(channels, 2 * channels),
        "c": weights(2 * channels),
        "v": weights(2 * channels, channels),
        "k": weights(channels),
    }
    return nodes, constants


@pytest.mark.parametrize("channels", [5, 16])
@pytest.mark.parametrize("images", [1, 2])
def test_a_block_of_convnext(through: Any, weights: Any, channels: int, images: int) -> None:
    nodes, constants = block(weights, channels)
    whole = [
        ("Conv", "x w", "d", {"pads": [1, 1, 1, 1], "group": channels}),
        *nodes,
        ("Add", "r x", "y"),
    ]
    options = {"inputs": {"x": (images, channels, 3, 5)}, "outputs": "y", "w": weights(channels, 1, 3, 3), **constants}
    done = through(*whole, passes=passes(TARGET), **options)
    for node in done.graph.nodes:
        template_for(workload_of(done.graph, node), TARGET)
    done.check()
    kinds = [op for op in done.ops() if op != "relayout"]
    assert kinds == ["depthwise_conv2d", "channel_norm", "conv2d", "conv2d"]
    layers = {layer for node in done.graph.nodes for layer in node.layers}
    assert {node.name for node in done.model.graph.node} <= layers


def test_pixels_in_one_dimension(through: Any, weights: Any) -> None:
    done = through(
        ("Relu", "x", "d"),
        ("Transpose", "d", "t", LAST),
        ("Reshape", "t flat", "f"),
        ("LayerNormalization", "f g", "n", {"axis": -1}),
        ("Reshape", "n square", "s"),
        ("Transpose", "s", "y", FIRST),
        inputs={"x": (2, 6, 3, 5)},
        outputs="y",
        passes=HERE,
        g=weights(6),
        flat=np.array([2, 15, 6]),
        square=np.array([2, 3, 5, 6]),
    )
    done.check()
    assert done.ops() == ["pointwise", "channel_norm"]


def test_normalisation_over_channels_that_is_written_out(through: Any, weights: Any) -> None:
    """As ConvNeXt's authors write it for maps."""
    done = through(
        ("ReduceMean", "x axes", "m"),
        ("Sub", "x m", "d"),
        ("Mul", "d d", "q"),
        ("ReduceMean", "q axes", "v"),
        ("Add", "v e", "w"),
        ("Sqrt", "w", "r"),
        ("Div", "d r", "y"),
        inputs={"x": (2, 6, 3, 5)},
        outputs="y",
        passes=HERE,
        axes=np.array([1]),
        e=np.float32(1e-6),
    )
    done.check()
    assert done.ops() == ["channel_norm"]


@pytest.mark.parametrize(
    "kind", ["also read", "an output", "another axis", "not back", "rows together", "an operand of pixels"]
)
def test_what_is_left_alone(through: Any, weights: Any, kind: str) -> None:
    middle: dict[str, Any] = {
        "also read": [("LayerNormalization", "t g", "n"), ("Softmax", "n", "z", {"axis": 1})],
        "an output": [("LayerNormalization", "t g", "n")],
        "another axis": [("LayerNormalization", "t h", "n", {"axis": 2})],
        "not back": [("LayerNormalization", "t g", "n")],
        "rows together": [("Softmax", "t", "n", {"axis": 2})],
        "an operand of pixels": [("Add", "t k", "n")],
    }
    outputs = {"also read": "y z", "an output": "y n"}.get(kind, "y")
    perm = {"perm": [0, 2, 1, 3]} if kind == "not back" else FIRST
    names = " ".join(name for _, reads, *_ in middle[kind] for name in reads.split())
    constants = {"g": weights(6), "h": weights(5, 6), "k": weights(3, 5, 1)}
    done = through(
        ("Relu", "x", "d"),
        ("Transpose", "d", "t", LAST),
        *middle[kind],
        ("Transpose", "n", "y", perm),
        inputs={"x": (2, 6, 3, 5)},
        outputs=outputs,
        passes=HERE,
        **{name: array for name, array in constants.items() if name in names.split()},
    )
    done.check()
    assert done.ops().count("Transpose") == 2
    assert "channel_norm" not in done.ops()


@pytest.mark.parametrize("kept", ["y", "y t"])
def test_pixels_put_in_a_row_before_the_transpose(through: Any, weights: Any, kept: str) -> None:
    """SegFormer's head: a map is flattened, transposed, widened, and becomes a map again."""
    done = through(
        ("Conv", "x w", "d"),
        ("Reshape", "d row", "f"),
        ("Transpose", "f", "t", {"perm": [0, 2, 1]}),
        ("MatMul", "t u", "m"),
        ("Add", "m c", "a"),
        ("Reshape", "a map", "r"),
        ("Transpose", "r", "y", FIRST),
        inputs={"x": (2, 5, 3, 7)},
        outputs=kept,
        passes=HERE,
        w=weights(5, 5, 3, 1),
        row=np.array([2, 5, 7], np.int64),
        u=weights(5, 6),
        c=weights(6),
        map=np.array([2, 1, 7, 6], np.int64),
    )
    done.check()
    assert ("Transpose" in done.ops()) is (kept != "y")
    layers = {layer for node in done.graph.nodes for layer in node.layers}
    assert layers == {node.name for node in done.model.graph.node}


def test_rows_that_join_other_axes_stay(through: Any, weights: Any) -> None:
    done = through(
        ("Conv", "x w", "d"),
        ("Reshape", "d row", "f"),
        ("Transpose", "f", "t", {"perm": [0, 2, 1]}),
        ("MatMul", "t u", "m"),
        ("Reshape", "m map", "r"),
        ("Transpose", "r", "y", FIRST),
        inputs={"x": (1, 6, 4, 7)},
        outputs="y",
        passes=HERE,
        w=weights(6, 6, 1, 1),
        row=np.array([1, 12, 14], np.int64),
        u=weights(12, 5),
        map=np.array([1, 2, 7, 5], np.int64),
    )
    done.check()
    assert done.ops().count("Transpose") == 2
