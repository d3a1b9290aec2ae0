"""Which 1×1 convolutions come before the resize of what they read, and that the result stays the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.graph.maps.resize_late import resize_late
from tvmopt.pipeline.graph.passes.fuse_epilogue import fuse_epilogue
from tvmopt.pipeline.graph.recognize import recognize

PASSES = (recognize, resize_late)
LINEAR = {"mode": "linear"}
CUBIC = {"mode": "cubic", "coordinate_transformation_mode": "align_corners"}
NEAREST = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}


def sizes(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


@pytest.mark.parametrize("mode", [LINEAR, CUBIC, NEAREST])
@pytest.mark.parametrize("bias", [True, False])
def test_maps_of_several_sizes_are_mixed_apart_and_added(
    through: Any, weights: Any, mode: dict[str, str], bias: bool
) -> None:
    done = through(
        ("Resize", "a . . at", "b", mode),
        ("Resize", "c . . ct", "d", mode),
        ("Concat", "b x d z", "j", {"axis": 1}),
        ("Conv", "j w v" if bias else "j w", "k"),
        ("Relu", "k", "y"),
        inputs={"a": (2, 70, 3, 4), "c": (2, 64, 1, 1), "x": (2, 5, 7, 11), "z": (2, 3, 7, 11)},
        outputs="y",
        passes=(*PASSES, fuse_epilogue),
        at=sizes(2, 70, 7, 11),
        ct=sizes(2, 64, 7, 11),
        w=weights(37, 142, 1, 1),
        v=weights(37),
    )
    assert done.ops() == ["conv2d", "resize2d", "conv2d", "resize2d", "concat", "conv2d"]
    maps = [done.graph.tensor(node.inputs[0]).shape for node in done.graph.nodes if node.op == "conv2d"]
    assert maps == [(2, 70, 3, 4), (2, 64, 1, 1), (2, 8, 7, 11)]
    layers = {layer for node in done.graph.nodes for layer in node.layers}
    assert layers == {node.name for node in done.model.graph.node}
    done.check()


@pytest.mark.parametrize("bias", [True, False])
def test_one_map_alone(through: Any, weights: Any, bias: bool) -> None:
    done = through(
        ("Resize", "x . . t", "r", LINEAR),
        ("Conv", "r w v" if bias else "r w", "c"),
        ("Mul", "c m", "y"),
        inputs={"x": (1, 70, 5, 3), "m": (1, 6, 10, 6)},
        outputs="y",
        passes=(*PASSES, fuse_epilogue),
        t=sizes(1, 70, 10, 6),
        w=weights(6, 70, 1, 1),
        v=weights(6),
    )
    assert done.ops() == ["conv2d", "resize2d"]
    done.check()


def test_infinite_and_absent_pixels_stay_where_they_are(through: Any, weights: Any) -> None:
    pixels = weights(1, 70, 3, 3)
    pixels[0, 4, 0, 0], pixels[0, 5, 2, 2] = np.inf, np.nan
    done = through(
        ("Add", "x p", "a"),
        ("Resize", "a . . t", "r", LINEAR),
        ("Conv", "r w v", "y"),
        inputs={"x": (1, 70, 3, 3)},
        outputs="y",
        passes=PASSES,
        p=pixels,
        t=sizes(1, 70, 9, 9),
        w=weights(6, 70, 1, 1),
        v=weights(6),
    )
    assert done.ops() == ["pointwise", "conv2d", "resize2d", "pointwise"]
    done.check()


@pytest.mark.parametrize(
    ("target", "kernel", "attributes", "outputs"),
    [
        pytest.param((5, 4), (6, 70, 1, 1), {}, "y", id="smaller"),
        pytest.param((12, 10), (6, 70, 2, 1), {}, "y", id="pixels combined"),
        pytest.param((12, 10), (6, 70, 1, 1), {"strides": [2, 2]}, "y", id="pixels left out"),
        pytest.param((12, 10), (6, 70, 1, 1), {"pads": [1, 0, 0, 0]}, "y", id="padding"),
        pytest.param((12, 10), (6, 35, 1, 1), {"group": 2}, "y", id="groups"),
        pytest.param((12, 10), (6, 70, 1, 1), {}, "y r", id="read elsewhere"),
        pytest.param((12, 10), (700, 70, 1, 1), {}, "y", id="many outputs"),
    ],
)
def test_others_stay(
    through: Any, weights: Any, target: tuple[int, int], kernel: tuple[int, ...], attributes: Any, outputs: str
) -> None:
    done = through(
        ("Resize", "x . . t", "r", LINEAR),
        ("Conv", "r w", "y", attributes),
        inputs={"x": (1, 70, 6, 5)},
        outputs=outputs,
        passes=PASSES,
        t=sizes(1, 70, *target),
        w=weights(*kernel),
    )
    assert done.ops() == ["resize2d", "conv2d"]
    done.check()


def test_a_join_that_something_else_reads_stays(through: Any, weights: Any) -> None:
    done = through(
        ("Resize", "x . . t", "r", LINEAR),
        ("Concat", "r z", "j", {"axis": 1}),
        ("Conv", "j w", "y"),
        ("Neg", "j", "n"),
        inputs={"x": (1, 70, 6, 5), "z": (1, 2, 12, 10)},
        outputs="y n",
        passes=PASSES,
        t=sizes(1, 70, 12, 10),
        w=weights(6, 72, 1, 1),
    )
    assert done.ops() == ["resize2d", "concat", "conv2d", "pointwise"]
    done.check()
