from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.graph.ir import Origin
from tvmopt.pipeline.graph.passes.fold_pad import fold_pad
from tvmopt.pipeline.graph.passes.fuse_epilogue import fuse_epilogue
from tvmopt.pipeline.graph.passes.merge_groups import merge_groups
from tvmopt.pipeline.graph.passes.plan_layout import plan_layout
from tvmopt.pipeline.graph.recognize import recognize
from tvmopt.schedules.target import parse_target

TARGET = parse_target("x86-64-v3", 2)
LANES = TARGET.lanes("float32")
PASSES = (
    *(recognize, fold_pad, fuse_epilogue),
    partial(merge_groups, target=TARGET),
    partial(plan_layout, target=TARGET),
)
PADDED = {"pads": [1, 1, 1, 1]}


@pytest.fixture
def planned(through: Any) -> Any:
    """A model after all passes; every node has a template, outputs are plain, and the values are right."""

    def send(*nodes: Any, **options: Any) -> Any:
        done = through(*nodes, passes=PASSES, **options)
        done.check_templates(TARGET)
        plain = [name for name in done.graph.outputs if done.graph.tensor(name).plain]
        assert plain == list(done.graph.outputs)
        assert all(done.graph.values[name].plain for name in done.graph.inputs)
        done.check()
        return done

    return send


def test_convolutions_hand_blocks_to_each_other(planned: Any, weights: Any) -> None:
    done = planned(
        ("Conv", "x v", "c", PADDED),
        ("Relu", "c", "r"),
        ("Conv", "r w", "d", PADDED),
        ("Conv", "d w", "y"),
        inputs={"x": (1, 3, 9, 7)},
        outputs="y",
        v=weights(20, 3, 3, 3),
        w=weights(20, 20, 3, 3),
    )
    # One layout for the input's halo, one for the output.
    assert done.ops() == ["relayout", "conv2d", "conv2d", "conv2d", "relayout"]
    first, second = done.graph.tensor("r"), done.graph.tensor("d")
    assert (first.block, first.halo) == (LANES, (1, 1, 1, 1))
    assert (second.block, second.halo) == (LANES, (0, 0, 0, 0))


@pytest.mark.parametrize(("channels", "block"), [(1, 1), (3, 1), (4, 1), (5, LANES)])
def test_the_first_convolution_reads_few_channels_as_they_come(
    planned: Any, weights: Any, channels: int, block: int
) -> None:
    done = planned(
        ("Conv", "x w", "y", PADDED), inputs={"x": (1, channels, 6, 6)}, outputs="y", w=weights(8, channels, 3, 3)
    )
    data = done.tensor("conv2d", 0)
    assert (data.block, data.halo) == (block, (1, 1, 1, 1))


def test_without_pads_the_first_convolution_reads_the_input_itself(planned: Any, weights: Any) -> None:
    done = planned(("Conv", "x w", "y"), inputs={"x": (1, 3, 6, 6)}, outputs="y", w=weights(8, 3, 3, 3))
    assert done.ops() == ["conv2d", "relayout"]
    assert done.node("conv2d").inputs[0] == "x"


def test_the_widest_halo_serves_all_readers(planned: Any, weights: Any) -> None:
    done = planned(
        ("Conv", "x w", "c"),
        ("Conv", "c w", "d"),
        ("Conv", "c v", "e", {"pads": [2, 2, 2, 2]}),
        ("Neg", "c", "f"),
        ("Conv", "c w", "g", {"pads": [0, 1, 0, 0], "strides": [3, 3]}),
        inputs={"x": (1, 8, 9, 9)},
        outputs="d e f g",
        w=weights(8, 8, 3, 3),
        v=weights(8, 8, 5, 5),
    )
    assert done.graph.tensor("c").halo == (2, 2, 2, 2)
    assert done.ops().count("relayout") == 5


def test_a_halo_is_no_larger_than_the_windows_reach(planned: Any, weights: Any) -> None:
    """With a stride of two the last column of padding is never read."""
    done = planned(
        ("Conv", "x w", "c"),
        ("Conv", "c w", "y", {**PADDED, "strides": [2, 2]}),
        inputs={"x": (1, 8, 10, 11)},
        outputs="y",
        w=weights(8, 8, 3, 3),
    )
    assert done.graph.tensor("c").halo == (1, 1, 0, 1)


def test_a_huge_halo_is_for_its_reader_alone(planned: Any, weights: Any) -> None:
    """The others read the map without it; readers of the same huge halo share a copy."""
    done = planned(
        ("Conv", "x v", "c"),
        ("Conv", "c u", "a", PADDED),
        ("Conv", "c w", "b", {"pads": [5, 5, 5, 5], "dilations": [5, 5]}),
        ("Conv", "c w", "d", {"pads": [5, 5, 5, 5], "dilations": [5, 5]}),
        inputs={"x": (1, 3, 7, 7)},
        outputs="a b d",
        v=weights(8, 3, 1, 1),
        u=weights(8, 8, 3, 3),
        w=weights(8, 8, 3, 3),
    )
    assert done.graph.tensor("c").halo == (1, 1, 1, 1)
    copies = [name for name, origin in done.graph.origins.items() if origin == Origin("c", "layout")]
    assert [done.graph.tensor(name).halo for name in copies] == [(5, 5, 5, 5)]


def test_a_huge_halo_of_an_only_reader_needs_no_copy(planned: Any, weights: Any) -> None:
    done = planned(
        ("Conv", "x v", "c"),
        ("Conv", "c w", "y", {"pads": [5, 5, 5, 5], "dilations": [5, 5]}),
        inputs={"x": (1, 3, 7, 7)},
        outputs="y",
        v=weights(8, 3, 1, 1),
        w=weights(8, 8, 3, 3),
    )
    assert done.graph.tensor("c").halo == (5, 5, 5, 5)
    assert done.ops().count("relayout") == 1


@pytest.mark.parametrize("options", [{}, {"pads": [1, 1, 1, 1], "output_padding": [1, 1]}, {"pads": [2, 0, 0, 2]}])
def test_a_transposed_convolution_reads_as_far_as_its_phases_reach(planned: Any, weights: Any, options: Any) -> None:
    done = planned(
        ("Conv", "x v", "c"),
        ("ConvTranspose", "c w", "d", {"strides": [2, 2], **options}),
        ("Conv", "d u", "y", PADDED),
        inputs={"x": (1, 3, 5, 7)},
        outputs="y",
        v=weights(20, 3, 1, 1),
        w=weights(20, 9, 3, 3),
        u=weights(8, 9, 3, 3),
    )
    top, left, bottom, right = done.graph.tensor("c").halo
    assert max(top, left, bottom, right) == 1
    assert done.graph.tensor("d").halo == (1, 1, 1, 1)


def test_channels_become_pixels_from_any_layout(planned: Any, weights: Any) -> None:
    done = planned(
        ("Conv", "x v", "c"),
        ("DepthToSpace", "c", "d", {"blocksize": 2, "mode": "CRD"}),
        ("Conv", "d w", "y", PADDED),
        inputs={"x": (1, 3, 5, 7)},
        outputs="y",
        v=weights(12, 3, 1, 1),
        w=weights(8, 3, 3, 3),
    )
    assert done.ops() == ["conv2d", "depth_to_space", "relayout", "conv2d", "relayout"]


def test_a_maximum_needs_no_halo_and_an_average_does(planned: Any, weights: Any) -> None:
    window = {"kernel_shape": [3, 3], "strides": [2, 2], **PADDED}
    done = planned(
        ("Conv", "x w", "c"),
        ("MaxPool", "c", "m", window),
        ("Conv", "m w", "d"),
        ("AveragePool", "d", "y", window),
        inputs={"x": (1, 8, 19, 19)},
        outputs="y",
        w=weights(8, 8, 3, 3),
    )
    assert done.graph.tensor("c").halo == (0, 0, 0, 0)
    assert done.graph.tensor("d").halo == (1, 1, 1, 1)


def test_an_output_is_plain_even_when_it_is_used_inside(planned: Any, weights: Any) -> None:
    done = planned(
        ("Conv", "x w", "c"),
        ("Conv", "c w", "d", PADDED),
        inputs={"x": (1, 8, 9, 9)},
        outputs="c d",
        w=weights(8, 8, 3, 3),
    )
    assert done.ops().count("relayout") == 4


def test_one_relayout_serves_all_readers(planned: Any, weights: Any) -> None:
    done = planned(
        ("Conv", "x w", "c"),
        ("Transpose", "c", "t", {"perm": [0, 2, 3, 1]}),
        ("Transpose", "c", "u"),
        inputs={"x": (1, 8, 5, 5)},
        outputs="t u",
        w=weights(8, 8, 3, 3),
    )
    assert done.ops().count("relayout") == 2


def test_pixels_become_features_without_a_copy(planned: Any, weights: Any) -> None:
    """After global pooling, blocks of full channels have the same memory order as plain channels."""
    done = planned(
        ("Conv", "x w", "c"),
        ("GlobalAveragePool", "c", "p"),
        ("Flatten", "p", "f"),
        ("Gemm", "f v", "y"),
        inputs={"x": (2, 8, 5, 5)},
        outputs="y",
        w=weights(16, 8, 3, 3),
        v=weights(16, 5),
    )
    assert done.ops() == ["relayout", "conv2d", "pool2d", "reshape", "dense"]


def test_pixels_with_absent_channels_are_copied(planned: Any, weights: Any) -> None:
    done = planned(
        ("Conv", "x w", "c"),
        ("GlobalAveragePool", "c", "p"),
        ("Flatten", "p", "f"),
        inputs={"x": (2, 8, 5, 5)},
        outputs="f",
        w=weights(13, 8, 3, 3),
    )
    assert done.ops() == ["relayout", "conv2d", "pool2d", "relayout", "reshape"]


@pytest.mark.parametrize(
    ("channels", "blocked"), [((8, 16, 3), True), ((8, 3), True), ((3, 8), False), ((8, 3, 8), False)]
)
def test_concat_stays_in_blocks_when_all_but_the_last_are_full(
    planned: Any, weights: Any, channels: tuple[int, ...], blocked: bool
) -> None:
    names = [f"c{i}" for i in range(len(channels))]
    convs = [("Conv", f"x w{i}", name) for i, name in enumerate(names)]
    done = planned(
        *convs,
        ("Concat", " ".join(names), "s", {"axis": 1}),
        ("Conv", "s v", "y", PADDED),
        inputs={"x": (1, 8, 6, 6)},
        outputs="y",
        v=weights(8, sum(channels), 3, 3),
        **{f"w{i}": weights(count, 8, 1, 1) for i, count in enumerate(channels)},
    )
    assert (done.tensor("concat").block > 1) == blocked


def test_concat_of_plain_maps_stays_plain(planned: Any) -> None:
    done = planned(("Concat", "a b", "y", {"axis": 1}), inputs={"a": (1, 8, 3, 3), "b": (1, 8, 3, 3)}, outputs="y")
    assert done.ops() == ["concat"]
    assert done.tensor("concat").plain


@pytest.mark.parametrize("operand", [(1, 5, 1, 1), (5, 1, 1), (1, 1, 4, 4), (4,), (1,)])
def test_constants_of_epilogues_follow_the_map(planned: Any, weights: Any, operand: tuple[int, ...]) -> None:
    planned(
        ("Conv", "x w", "c"),
        ("GlobalMaxPool", "c", "g"),
        ("Add", "c k", "a"),
        ("Mul", "a g", "y"),
        inputs={"x": (1, 8, 6, 6)},
        outputs="y",
        w=weights(5, 8, 3, 3),
        k=weights(*operand),
    )


@pytest.mark.parametrize("function", ["Reciprocal", "Log"])
@pytest.mark.parametrize("channels", [5, 8])
def test_absent_channels_stay_finite(planned: Any, weights: Any, function: str, channels: int) -> None:
    """The zeros that pad the last block would become infinite, so such a map leaves the blocked layout first."""
    done = planned(
        ("Conv", "x w", "c"),
        ("GlobalMaxPool", "c", "g"),
        ("Exp", "c", "e"),
        (function, "e", "l"),
        ("Add", "l g", "y"),
        inputs={"x": (1, 8, 6, 6)},
        outputs="y",
        w=0.1 * weights(channels, 8, 3, 3),
    )
    pointwise = [node for node in done.graph.nodes if node.op == "pointwise"]
    blocks = {done.graph.tensor(node.output).block for node in pointwise}
    assert blocks == ({LANES} if channels == 8 else {1})


@pytest.mark.parametrize("operand", [(4, 1, 1), (6,), (2, 8, 1, 1)])
def test_values_of_other_ranks_leave_the_blocks(planned: Any, weights: Any, operand: tuple[int, ...]) -> None:
    shape = (8, 1, 1) if len(operand) == 3 else operand
    planned(
        ("Conv", "x w", "c"),
        ("Add", "c k", "y"),
        inputs={"x": (2, 8, 8, 8), "k": shape},
        outputs="y",
        w=weights(8, 8, 3, 3),
    )


def test_one_channel_and_one_pixel(planned: Any, weights: Any) -> None:
    planned(
        ("Conv", "x w", "c"),
        ("Mul", "c k", "m"),
        ("Conv", "m v", "d", PADDED),
        ("Sub", "d m", "y"),
        inputs={"x": (1, 1, 3, 3), "k": (1, 1, 1, 1)},
        outputs="y",
        w=weights(1, 1, 3, 3),
        v=weights(1, 1, 3, 3),
    )


def test_resizing_stays_in_blocks(planned: Any, weights: Any) -> None:
    attributes = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    done = planned(
        ("Conv", "x w", "c"),
        ("Resize", "c . s", "r", attributes),
        ("Conv", "r v", "y", PADDED),
        inputs={"x": (1, 8, 6, 6)},
        outputs="y",
        w=weights(8, 8, 3, 3),
        v=weights(8, 8, 3, 3),
        s=np.array([1, 1, 2, 2], np.float32),
    )
    assert done.ops() == ["relayout", "conv2d", "resize2d", "conv2d", "relayout"]
    assert done.tensor("resize2d").halo == (1, 1, 1, 1)


def test_plain_parts_stay_plain(planned: Any, weights: Any) -> None:
    done = planned(
        ("Reshape", "x s", "r"),
        ("MatMul", "r w", "m"),
        ("Softmax", "m", "p"),
        ("Relu", "p", "y"),
        inputs={"x": (2, 3, 4, 5)},
        outputs="y",
        s=np.array([2, 12, 5]),
        w=weights(5, 7),
    )
    assert done.ops() == ["reshape", "dense", "softmax", "pointwise"]


def test_inverted_residuals_have_no_relayout_inside(planned: Any, weights: Any) -> None:
    clip = {"low": np.float32(0), "high": np.float32(6)}
    done = planned(
        ("Conv", "x a", "c0", {**PADDED, "strides": [2, 2]}),
        ("Clip", "c0 low high", "r0"),
        ("Conv", "r0 b", "c1"),
        ("Clip", "c1 low high", "r1"),
        ("Conv", "r1 d", "c2", {**PADDED, "group": 24}),
        ("Clip", "c2 low high", "r2"),
        ("Conv", "r2 e", "c3"),
        ("Add", "c3 r0", "s"),
        ("GlobalAveragePool", "s", "y"),
        inputs={"x": (1, 3, 12, 12)},
        outputs="y",
        a=weights(8, 3, 3, 3),
        b=weights(24, 8, 1, 1),
        d=weights(24, 1, 3, 3),
        e=weights(8, 24, 1, 1),
        **clip,
    )
    assert done.ops() == ["relayout", "conv2d", "conv2d", "depthwise_conv2d", "conv2d", "pool2d", "reshape"]


def test_copies_and_maps_say_what_they_hold(planned: Any, weights: Any) -> None:
    done = planned(
        ("Conv", "x w", "c", PADDED),
        ("ReduceMean", "c axes", "m", {"keepdims": 0}),
        inputs={"x": (1, 12, 6, 6)},
        outputs="m c",
        w=weights(12, 12, 3, 3),
        axes=np.array([2, 3]),
    )
    pooled = done.node("pool2d").output
    copies = {node.output: node.inputs[0] for node in done.graph.nodes if node.op == "relayout"}
    assert pooled != "m"
    assert {"x", "c", pooled} == set(copies.values())
    assert done.graph.origins == {
        pooled: Origin("m", "maps"),
        **{name: Origin(value, "layout") for name, value in copies.items()},
    }
