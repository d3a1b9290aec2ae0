from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.graph.passes.fold_pad import fold_pad
from tvmopt.pipeline.graph.recognize import recognize

PASSES = (recognize, fold_pad)


def amounts(*pads: int) -> np.ndarray:
    return np.array(pads, np.int64)


ROUND = amounts(0, 0, 1, 2, 0, 0, 3, 0)


@pytest.mark.parametrize("groups", [1, 4])
def test_joins_a_convolution_and_adds_to_its_own_pads(through: Any, weights: Any, groups: int) -> None:
    done = through(
        ("Pad", "x pads", "p"),
        ("Conv", "p w", "y", {"pads": [1, 0, 0, 1], "strides": [2, 1], "group": groups}),
        passes=PASSES,
        inputs={"x": (1, 4, 6, 6)},
        outputs="y",
        pads=ROUND,
        w=weights(4, 4 // groups, 3, 3),
    )
    (node,) = done.graph.nodes
    assert node.op == ("conv2d" if groups == 1 else "depthwise_conv2d")
    assert node.attrs["pads"] == (2, 2, 3, 1)
    assert node.layers == ("Pad0", "Conv1")
    done.check()


def test_stays_for_its_other_readers(through: Any, weights: Any) -> None:
    done = through(
        ("Pad", "x pads", "p"),
        ("Conv", "p w", "c"),
        ("Neg", "p", "y"),
        passes=PASSES,
        inputs={"x": (1, 4, 6, 6)},
        outputs="c y",
        pads=ROUND,
        w=weights(4, 4, 1, 1),
    )
    assert sorted(done.ops()) == ["Pad", "conv2d", "pointwise"]
    assert done.node("conv2d").inputs[0] == "x"
    done.check()


@pytest.mark.parametrize(
    ("attributes", "constants"),
    [
        ({}, {"pads": amounts(0, 1, 0, 0, 0, 0, 0, 0)}),
        ({}, {"pads": amounts(0, 0, -1, 0, 0, 0, 0, 0)}),
        ({}, {"pads": ROUND, "fill": np.float32(1)}),
        ({"mode": "reflect"}, {"pads": ROUND}),
        ({"mode": "edge"}, {"pads": ROUND}),
    ],
    ids=["channels", "negative", "ones", "reflect", "edge"],
)
def test_other_pads_stay(through: Any, weights: Any, attributes: Any, constants: Any) -> None:
    taken = " ".join(["x", *constants])
    channels = 5 if constants["pads"][1] else 4
    done = through(
        ("Pad", taken, "p", attributes),
        ("Conv", "p w", "y"),
        passes=PASSES,
        inputs={"x": (1, 4, 6, 6)},
        outputs="y",
        w=weights(4, channels, 3, 3),
        **constants,
    )
    assert done.ops() == ["Pad", "conv2d"]
    done.check()


def test_pads_of_chosen_axes_join(through: Any, weights: Any) -> None:
    done = through(
        ("Pad", "x pads fill axes", "p"),
        ("Conv", "p w", "y"),
        passes=PASSES,
        inputs={"x": (1, 4, 6, 6)},
        outputs="y",
        w=weights(4, 4, 3, 3),
        pads=amounts(1, 1, 1, 1),
        fill=np.float32(0),
        axes=amounts(2, 3),
    )
    assert done.ops() == ["conv2d"]
    done.check()


def test_an_average_pool_keeps_the_pad(through: Any) -> None:
    done = through(
        ("Pad", "x pads", "p"),
        ("AveragePool", "p", "y", {"kernel_shape": [2, 2]}),
        passes=PASSES,
        inputs={"x": (1, 4, 6, 6)},
        outputs="y",
        pads=ROUND,
    )
    assert done.ops() == ["Pad", "pool2d"]
    done.check()
