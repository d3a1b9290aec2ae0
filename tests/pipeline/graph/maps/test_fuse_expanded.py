from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from tvmopt.pipeline.graph.maps.fuse_expanded import MAP_SHARE, fuse_expanded
from tvmopt.pipeline.graph.passes.fuse_epilogue import fuse_epilogue
from tvmopt.pipeline.graph.passes.plan_layout import plan_layout
from tvmopt.pipeline.graph.recognize import recognize
from tvmopt.pipeline.tasks.workloads import workload_of
from tvmopt.schedules.expression import ACC, Arg, call
from tvmopt.schedules.target import parse_target

# A map of 24 × 12 × 12 elements exceeds this cache.
TARGET = replace(parse_target("x86-64-v3", 2), l2_bytes=16 * 1024)
LANES = TARGET.lanes("float32")
IMAGE = {"x": (1, 9, 12, 12)}
PADDED = {"pads": [1, 1, 1, 1], "group": 24}
OPERANDS = {"p": (24, 9, 1, 1), "b": (24,), "d": (24, 1, 3, 3), "c": (24,)}
PAIR = [("Conv", "x p b", "m"), ("Relu", "m", "r"), ("Conv", "r d c", "y", PADDED)]


@pytest.fixture
def fused(through: Any, weights: Any) -> Callable[..., Any]:
    """Nodes that read a map ``x``, after all passes; the values are right and each node has a template."""

    def send(*nodes: Any, target: Any = TARGET, inputs: Any = None, outputs: str = "y", **shapes: Any) -> Any:
        passes = (
            *(recognize, fuse_epilogue, partial(fuse_expanded, target=target)),
            partial(plan_layout, target=TARGET),
        )
        constants = {name: weights(*shape) for name, shape in {**OPERANDS, **shapes}.items()}
        done = through(*nodes, passes=passes, inputs=inputs or IMAGE, outputs=outputs, **constants)
        done.check_templates(TARGET)
        done.check()
        return done

    return send


def test_both_become_one(fused: Any) -> None:
    done = fused(*PAIR, ("Sigmoid", "y", "s"), outputs="s")
    assert done.ops() == ["relayout", "expanded_conv2d", "relayout"]
    node = done.node("expanded_conv2d")
    assert node.layers == ("Conv0", "Relu1", "Conv2", "Sigmoid3")
    assert node.inner == call("relu", call("add", ACC, Arg(3)))
    assert node.epilogue == call("sigmoid", call("add", ACC, Arg(4)))


def test_the_data_needs_no_halo(fused: Any) -> None:
    done = fused(*PAIR)
    assert not any(done.tensor("expanded_conv2d", 0).halo)
    workload = workload_of(done.graph, done.node("expanded_conv2d"))
    assert [tensor.block for tensor in workload.inputs] == [LANES, 1, 1, LANES, LANES]


def test_an_output_may_need_a_halo(fused: Any) -> None:
    done = fused(*PAIR[:2], ("Conv", "r d c", "s", PADDED), ("Conv", "s w", "y", {"pads": [2] * 4}), w=(8, 24, 5, 5))
    assert done.ops() == ["relayout", "expanded_conv2d", "conv2d", "relayout"]
    assert done.tensor("expanded_conv2d").halo == (2, 2, 2, 2)


@pytest.mark.parametrize("strides", [[1, 1], [2, 2], [2, 1]])
@pytest.mark.parametrize("size", [3, 5])
def test_kernels_and_strides(fused: Any, size: int, strides: list[int]) -> None:
    attributes = {"pads": [size // 2] * 4, "group": 24, "strides": strides}
    done = fused(*PAIR[:2], ("Conv", "r k", "y", attributes), k=(24, 1, size, size))
    assert "expanded_conv2d" in done.ops()


def test_a_map_that_others_read_stays(fused: Any) -> None:
    assert "expanded_conv2d" not in fused(*PAIR, ("Neg", "r", "z"), outputs="y z").ops()


def test_a_map_that_is_an_output_stays(fused: Any) -> None:
    assert "expanded_conv2d" not in fused(*PAIR, outputs="y r").ops()


def test_a_sum_with_another_map_stays(fused: Any) -> None:
    nodes = (PAIR[0], ("Add", "m z", "r"), PAIR[2])
    assert "expanded_conv2d" not in fused(*nodes, inputs={**IMAGE, "z": (1, 24, 12, 12)}).ops()


@pytest.mark.parametrize(
    ("first", "shapes", "inputs"),
    [
        ({"strides": [2, 2]}, {}, (1, 9, 24, 24)),
        ({"pads": [1, 1, 1, 1]}, {}, (1, 9, 12, 12)),
        ({"group": 3}, {"p": (24, 3, 1, 1)}, (1, 9, 12, 12)),
        ({"pads": [1, 1, 1, 1]}, {"p": (24, 9, 3, 3)}, (1, 9, 12, 12)),
        ({}, {"p": (24, 3, 1, 1)}, (1, 3, 12, 12)),
        ({}, {"p": (24, 13, 1, 1)}, (1, 13, 12, 12)),
        ({}, {}, (1, 9, 3, 48)),
    ],
)
def test_what_does_not_fit_or_pay_stays(fused: Any, first: Any, shapes: Any, inputs: Any) -> None:
    """A stride, pads, groups, a window, plain data, hardly more channels than the data has, few rows."""
    nodes = (("Conv", "x p b", "m", first), *PAIR[1:])
    assert "expanded_conv2d" not in fused(*nodes, inputs={"x": inputs}, **shapes).ops()


@pytest.mark.parametrize("fits", [False, True])
def test_a_map_that_stays_in_the_cache_stays(fused: Any, fits: bool) -> None:
    nbytes = 24 * 12 * 12 * 4
    target = replace(TARGET, l2_bytes=int(nbytes / MAP_SHARE) + (1 if fits else -4))
    assert ("expanded_conv2d" in fused(*PAIR, target=target).ops()) is not fits
