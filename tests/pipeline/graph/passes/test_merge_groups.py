from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from tvmopt.pipeline.graph.passes.merge_groups import merge_groups, split_groups
from tvmopt.pipeline.graph.recognize import recognize
from tvmopt.schedules.target import parse_target

TARGET = parse_target("x86-64-v3")
LANES = TARGET.channel_block("float32")
PASSES = (recognize, partial(merge_groups, target=TARGET))


@pytest.mark.parametrize(
    ("channels", "out", "groups", "left"),
    [
        (16, 16, 4, 2),
        (16, 32, 4, 2),
        (32, 16, 4, 2),
        (16, 16, 2, 2),
        (32, 32, 4, 4),
        (12, 12, 4, 1),
        (24, 48, 12, 3),
        (6, 12, 6, 1),
        (24, 24, 3, 3),
    ],
)
def test_groups_of_volumes_fill_vectors(
    through: Any, weights: Any, channels: int, out: int, groups: int, left: int
) -> None:
    done = through(
        ("Conv", "x w b", "y", {"group": groups, "pads": [1, 1, 1, 1, 1, 1]}),
        passes=PASSES,
        inputs={"x": (2, channels, 3, 5, 4)},
        outputs="y",
        w=weights(out, channels // groups, 3, 3, 3),
        b=weights(out),
    )
    node = done.node("conv3d")
    assert node.attrs["groups"] == left
    assert done.graph.tensor(node.inputs[1]).shape == (out, channels // left, 9, 3)
    if left > 1:
        assert channels // left % LANES == out // left % LANES == 0
    done.check()


@pytest.mark.parametrize(("channels", "out", "groups"), [(16, 16, 4), (12, 24, 4), (5, 5, 5), (6, 12, 6)])
def test_groups_of_images_stay_as_they_are(through: Any, weights: Any, channels: int, out: int, groups: int) -> None:
    done = through(
        ("Conv", "x w b", "y", {"group": groups, "pads": [1, 1, 1, 1]}),
        passes=PASSES,
        inputs={"x": (2, channels, 5, 4)},
        outputs="y",
        w=weights(out, channels // groups, 3, 3),
        b=weights(out),
    )
    (node,) = done.graph.nodes
    assert node.attrs["groups"] == groups
    assert done.graph.tensor(node.inputs[1]).shape == (out, channels // groups, 3, 3)
    done.check()


def test_one_group_stays_as_it_is(through: Any, weights: Any) -> None:
    done = through(("Conv", "x w", "y"), passes=PASSES, inputs={"x": (1, 3, 5, 5)}, outputs="y", w=weights(4, 3, 3, 3))
    assert done.node("conv2d").inputs == ("x", "w")


@pytest.mark.parametrize(
    ("operator", "op", "weight", "shape"),
    [
        ("ConvTranspose", "transposed_conv2d", (6, 1, 3, 2), (1, 6, 4, 5)),
        ("ConvTranspose", "transposed_conv2d", (21, 1, 4), (2, 21, 9)),
        ("Conv", "conv3d", (6, 1, 2, 2, 3), (1, 6, 4, 3, 5)),
    ],
)
def test_channels_by_themselves_stay_so(
    through: Any, weights: Any, operator: str, op: str, weight: Any, shape: Any
) -> None:
    """No zeros between them: there are templates for a kernel of each channel."""
    done = through(
        (operator, "x w b", "y", {"group": weight[0], "strides": [2] * len(weight[2:])}),
        passes=PASSES,
        inputs={"x": shape},
        outputs="y",
        w=weights(*weight),
        b=weights(weight[0]),
    )
    node = done.node(op)
    assert node.attrs["groups"] == weight[0]
    assert done.graph.tensor(node.inputs[1]).shape[1] == 1
    done.check()


@pytest.mark.parametrize(
    ("operator", "weight", "shape"),
    [
        ("Conv", (12, 3, 3, 3), (2, 6, 5, 4)),
        ("ConvTranspose", (6, 2, 3, 2), (1, 6, 4, 5)),
        ("Conv", (4, 3, 3), (1, 6, 9)),
        ("Conv", (4, 3, 2, 2, 3), (1, 6, 4, 3, 5)),
    ],
)
def test_groups_that_must_stay_apart(through: Any, weights: Any, operator: str, weight: Any, shape: Any) -> None:
    """A NaN in the first group must not reach the second one."""
    target = replace(TARGET, strict_nan=True)
    channels = weight[0] if operator == "Conv" else 2 * weight[1]
    done = through(
        (operator, "x w b", "y", {"group": 2}),
        passes=(recognize, partial(split_groups, target=target), partial(merge_groups, target=target)),
        inputs={"x": shape},
        outputs="y",
        w=weights(*weight),
        b=weights(channels),
    )
    convolutions = [node for node in done.graph.nodes if node.op.endswith(("conv2d", "conv3d"))]
    assert [node.attrs["groups"] for node in convolutions] == [1, 1]
    done.check()
    usual = partial(split_groups, target=TARGET)
    assert usual(done.graph) is done.graph
