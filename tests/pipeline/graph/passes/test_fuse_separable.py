from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from tvmopt.pipeline.graph.passes.fuse_epilogue import fuse_epilogue
from tvmopt.pipeline.graph.passes.fuse_separable import MAP_SHARE, WEIGHT_SHARE, fuse_separable
from tvmopt.pipeline.graph.passes.plan_layout import plan_layout
from tvmopt.pipeline.graph.recognize import recognize
from tvmopt.pipeline.tasks.workloads import workload_of
from tvmopt.schedules.expression import ACC, Arg, call
from tvmopt.schedules.target import parse_target

# A map of 24 × 12 × 12 elements exceeds this cache; 24 × 20 weights fit.
TARGET = replace(parse_target("x86-64-v3", 2), l2_bytes=16 * 1024)
LANES = TARGET.lanes("float32")
IMAGE = {"x": (1, 24, 12, 12)}
PADDED = {"pads": [1, 1, 1, 1], "group": 24}
OPERANDS = {"d": (24, 1, 3, 3), "b": (24,), "p": (20, 24, 1, 1), "c": (20,)}
PAIR = [("Conv", "x d b", "m", PADDED), ("Relu", "m", "r"), ("Conv", "r p c", "y")]


@pytest.fixture
def fused(through: Any, weights: Any) -> Callable[..., Any]:
    """Nodes that read a map ``x``, after all passes; the values are right and each node has a template."""

    def send(*nodes: Any, target: Any = TARGET, inputs: Any = None, outputs: str = "y", **shapes: Any) -> Any:
        passes = (
            *(recognize, fuse_epilogue, partial(fuse_separable, target=target)),
            partial(plan_layout, target=TARGET),
        )
        constants = {name: weights(*shape) for name, shape in {**OPERANDS, **shapes}.items()}
        done = through(*nodes, passes=passes, inputs=inputs or IMAGE, outputs=outputs, **constants)
        done.check_templates(TARGET)
        done.check()
        return done

    return send


def test_both_become_one(fused: Any) -> None:
    done = fused(*PAIR)
    assert done.ops() == ["relayout", "separable_conv2d", "relayout"]
    node = done.node("separable_conv2d")
    assert node.layers == ("Conv0", "Relu1", "Conv2")
    assert node.inner == call("relu", call("add", ACC, Arg(3)))
    assert node.epilogue == call("add", ACC, Arg(4))


def test_the_data_has_the_halo_that_the_depthwise_windows_need(fused: Any) -> None:
    done = fused(*PAIR)
    assert done.tensor("separable_conv2d", 0).halo == (1, 1, 1, 1)
    workload = workload_of(done.graph, done.node("separable_conv2d"))
    assert [tensor.block for tensor in workload.inputs] == [LANES, 1, 1, LANES, LANES]


def test_an_output_may_need_a_halo(fused: Any) -> None:
    done = fused(*PAIR[:2], ("Conv", "r p c", "s"), ("Conv", "s w", "y", {"pads": [2, 2, 2, 2]}), w=(8, 20, 5, 5))
    assert done.ops() == ["relayout", "separable_conv2d", "conv2d", "relayout"]
    assert done.tensor("separable_conv2d").halo == (2, 2, 2, 2)


def test_residual_addition_behind(fused: Any) -> None:
    both = {**IMAGE, "z": (1, 8, 12, 12)}
    done = fused(*PAIR[:2], ("Conv", "r q", "s"), ("Add", "s z", "y"), q=(8, 24, 1, 1), inputs=both)
    node = done.node("separable_conv2d")
    assert node.epilogue == call("add", ACC, Arg(4))
    assert len(node.inputs) == 5


@pytest.mark.parametrize("strides", [[1, 1], [2, 2]])
@pytest.mark.parametrize("size", [3, 5])
def test_kernels_and_strides(fused: Any, size: int, strides: list[int]) -> None:
    target = replace(TARGET, l2_bytes=4096)
    attributes = {"pads": [size // 2] * 4, "group": 24, "strides": strides}
    done = fused(
        ("Conv", "x d b", "m", attributes), ("Conv", "m p", "y"), target=target, d=(24, 1, size, size), p=(5, 24, 1, 1)
    )
    assert "separable_conv2d" in done.ops()


NORMALIZED = [("Mul", "x s", "m"), ("Add", "m t", "n"), ("Relu", "n", "r"), ("Conv", "r p c", "y")]


def test_elementwise_operators_join_too(fused: Any) -> None:
    done = fused(*NORMALIZED, s=(1, 24, 1, 1), t=(24, 1, 1))
    assert done.ops() == ["relayout", "separable_conv2d", "relayout"]
    node = done.node("separable_conv2d")
    assert node.layers == ("Mul0", "Add1", "Relu2", "Conv3")
    assert node.inner == call("relu", call("add", call("mul", ACC, Arg(3)), Arg(4)))
    assert node.epilogue == call("add", ACC, Arg(5))


def test_a_map_may_be_scaled_by_values(fused: Any) -> None:
    done = fused(("Mul", "x z", "m"), ("Conv", "m p", "y"), inputs={**IMAGE, "z": (1, 24, 1, 1)})
    assert "separable_conv2d" in done.ops()
    assert done.node("separable_conv2d").inner == call("mul", ACC, Arg(3))


def test_a_sum_of_two_maps_stays(fused: Any) -> None:
    done = fused(("Add", "x z", "m"), ("Conv", "m p", "y"), inputs={**IMAGE, "z": (1, 24, 12, 12)})
    assert "separable_conv2d" not in done.ops()


@pytest.mark.parametrize("nodes", [[("Neg", "r", "z")], [("GlobalAveragePool", "r", "z")]])
def test_a_map_that_others_read_stays(fused: Any, nodes: Any) -> None:
    assert "separable_conv2d" not in fused(*PAIR, *nodes, outputs="y z").ops()


def test_a_map_that_is_an_output_stays(fused: Any) -> None:
    assert "separable_conv2d" not in fused(*PAIR, outputs="y r").ops()


@pytest.mark.parametrize(
    ("attributes", "shape"),
    [
        ({"strides": [2, 2]}, (20, 24, 1, 1)),
        ({"pads": [1, 1, 1, 1]}, (20, 24, 1, 1)),
        ({"group": 2}, (16, 12, 1, 1)),
        ({}, (20, 24, 1, 3)),
    ],
    ids=["stride", "pads", "groups", "wide"],
)
def test_other_convolutions_stay(through: Any, weights: Any, attributes: Any, shape: tuple[int, ...]) -> None:
    done = through(
        ("Conv", "x d", "m", PADDED),
        ("Conv", "m q", "y", attributes),
        passes=(recognize, fuse_epilogue, partial(fuse_separable, target=TARGET)),
        inputs=IMAGE,
        outputs="y",
        d=weights(24, 1, 3, 3),
        q=weights(*shape),
    )
    assert done.ops() == ["depthwise_conv2d", "conv2d"]
    done.check()


def test_a_map_that_stays_in_the_cache_is_left_there(fused: Any) -> None:
    nbytes = 24 * 12 * 12 * 4
    for l2_bytes, ops in ((nbytes / MAP_SHARE, 2), (nbytes / MAP_SHARE - 8, 1)):
        done = fused(*PAIR, target=replace(TARGET, l2_bytes=int(l2_bytes)))
        assert len(done.ops()) == 2 + ops


@pytest.mark.parametrize("channels", [24, 30])
def test_a_result_as_wide_as_the_map_is_made_by_a_kernel_of_its_own(fused: Any, channels: int) -> None:
    assert "separable_conv2d" not in fused(*PAIR, p=(channels, 24, 1, 1), c=(channels,)).ops()


def test_weights_that_leave_the_cache_are_not_read_for_every_task(fused: Any) -> None:
    nbytes = 24 * 20 * 4
    for l2_bytes, ops in ((nbytes / WEIGHT_SHARE, 2), (nbytes / WEIGHT_SHARE + 8, 1)):
        done = fused(*PAIR, target=replace(TARGET, l2_bytes=int(l2_bytes)))
        assert len(done.ops()) == 2 + ops
