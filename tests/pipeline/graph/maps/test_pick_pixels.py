"""The pixels that 1×1 convolutions with strides read are picked before them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.schedules.conftest import Kernels
from tvmopt.pipeline.graph.maps.pick_pixels import pick_pixels
from tvmopt.pipeline.graph.passes.plan_layout import plan_layout
from tvmopt.pipeline.graph.recognize import recognize
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.target import parse_target
from tvmopt.schedules.workload import Tensor, Workload

TARGET = parse_target("x86-64-v3", 2)
PASSES = (recognize, lambda graph: pick_pixels(graph, TARGET))


@pytest.mark.parametrize("shape", [(1, 8, 7, 9), (2, 13, 8, 5), (1, 16, 1, 11), (3, 9, 2, 2)])
@pytest.mark.parametrize("strides", [(2, 2), (1, 3), (5, 1), (2, 4)])
def test_what_is_read_is_picked(through: Any, weights: Any, shape: tuple[int, ...], strides: tuple[int, int]) -> None:
    done = through(
        ("Conv", "x w b", "y", {"strides": list(strides)}),
        passes=PASSES,
        inputs={"x": shape},
        outputs="y",
        w=weights(67, shape[1], 1, 1),
        b=weights(67),
    )
    assert done.ops() == ["pool2d", "conv2d"]
    assert done.node("conv2d").attrs["strides"] == (1, 1)
    assert {layer for node in done.graph.nodes for layer in node.layers} == {"Conv0"}
    done.check()
    replace(done, graph=plan_layout(done.graph, TARGET)).check_templates(TARGET)


@pytest.mark.parametrize("shape", [(1, 8, 5, 7, 4), (2, 13, 4, 3, 6), (3, 8, 1, 5, 5)])
@pytest.mark.parametrize("strides", [(2, 2, 2), (1, 3, 2), (3, 1, 1), (2, 1, 4)])
def test_planes_of_volumes_are_picked(through: Any, weights: Any, shape: Any, strides: tuple[int, ...]) -> None:
    done = through(
        ("Conv", "x w b", "y", {"strides": list(strides)}),
        passes=PASSES,
        inputs={"x": shape},
        outputs="y",
        w=weights(67, shape[1], 1, 1, 1),
        b=weights(67),
    )
    assert {"pool2d", "conv2d"} <= set(done.ops())
    assert "conv3d" not in done.ops()
    assert done.node("conv2d").attrs["strides"] == (1, 1)
    done.check()
    replace(done, graph=plan_layout(done.graph, TARGET)).check_templates(TARGET)


@pytest.mark.parametrize("pads", [[1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0], [0, 0, 1, 0, 0, 0]])
def test_padded_volumes_stay(through: Any, weights: Any, pads: list[int]) -> None:
    nodes = ("Conv", "x w", "y", {"strides": [2, 2, 2], "pads": pads})
    done = through(nodes, passes=PASSES, inputs={"x": (1, 8, 5, 5, 5)}, outputs="y", w=weights(67, 8, 1, 1, 1))
    assert "pool2d" not in done.ops()
    done.check()


@pytest.mark.parametrize(
    ("shape", "kernel", "options"),
    [
        ((1, 8, 6, 6), (67, 8, 1, 1), {}),
        ((1, 8, 6, 6), (67, 8, 1, 2), {"strides": [2, 2]}),
        ((1, 8, 6, 6), (67, 8, 1, 1), {"strides": [2, 2], "pads": [1, 0, 0, 0]}),
        ((1, 16, 6, 6), (128, 8, 1, 1), {"strides": [2, 2], "group": 2}),
        ((1, 7, 6, 6), (67, 7, 1, 1), {"strides": [2, 2]}),
        ((1, 8, 6, 6), (63, 8, 1, 1), {"strides": [2, 2]}),
        ((1, 8, 1, 1), (67, 8, 1, 1), {"strides": [2, 2]}),
    ],
    ids=["no stride", "a window", "padding", "groups", "plain data", "few channels", "one pixel"],
)
def test_others_stay(through: Any, weights: Any, shape: Any, kernel: Any, options: dict[str, Any]) -> None:
    done = through(("Conv", "x w", "y", options), passes=PASSES, inputs={"x": shape}, outputs="y", w=weights(*kernel))
    assert done.ops() == ["conv2d"]
    done.check()


def test_the_input_graph_is_unchanged(through: Any, weights: Any) -> None:
    before = through(
        ("Conv", "x w", "y", {"strides": [2, 2]}),
        passes=(recognize,),
        inputs={"x": (1, 8, 5, 5)},
        outputs="y",
        w=weights(64, 8, 1, 1),
    ).graph
    nodes, values = before.nodes, dict(before.values)
    pick_pixels(before, TARGET)
    assert (before.nodes, dict(before.values)) == (nodes, values)


@pytest.mark.parametrize("value", [-0.0, np.inf, -np.inf, np.nan, 1e-39, -3.5])
def test_the_average_of_one_pixel_is_that_pixel(value: float) -> None:
    """Whatever it is: so picking loses nothing."""
    target = parse_target("llvm", 1)
    lanes = target.lanes("float32")
    attrs = (("count_pads", 0), ("kernel", (1, 1)), ("kind", "average"), ("pads", (0, 0, 0, 0)), ("strides", (2, 3)))
    shape = (1, lanes + 3, 5, 7)
    workload = Workload("pool2d", (Tensor(shape, block=lanes),), Tensor((1, lanes + 3, 3, 3), block=lanes), attrs)
    data = np.full(shape, value, np.float32)
    config = template_for(workload, target).default(workload, target)
    (made,) = Kernels(target, 0).run(workload, [data], [config])
    expected = np.full((1, lanes + 3, 3, 3), value, np.float32)
    np.testing.assert_array_equal(workload.output.restore(made), expected)
