from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.graph.ir import Origin
from tvmopt.pipeline.graph.passes.delay_views import delay_views
from tvmopt.pipeline.graph.passes.fold_pad import fold_pad
from tvmopt.pipeline.graph.passes.fold_slice import fold_slice
from tvmopt.pipeline.graph.passes.fuse_epilogue import fuse_epilogue
from tvmopt.pipeline.graph.passes.merge_reshapes import merge_reshapes
from tvmopt.pipeline.graph.recognize import recognize

PASSES = (recognize, delay_views, merge_reshapes)
LINE = {"x": (2, 4, 11)}


def whole(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_a_chain_of_lines_is_images_in_between(through: Any, weights: Any) -> None:
    done = through(
        ("Conv", "x a", "c"),
        ("Relu", "c", "r"),
        ("Mul", "r scale", "m"),
        ("MaxPool", "m", "p", {"kernel_shape": [2]}),
        ("Conv", "p b", "y"),
        passes=PASSES,
        inputs=LINE,
        outputs="y",
        a=weights(6, 4, 3),
        b=weights(3, 6, 1),
        scale=weights(6, 1),
    )
    assert done.ops() == ["reshape", "conv2d", "pointwise", "pointwise", "pool2d", "conv2d", "reshape"]
    assert done.graph.origins[done.node("pool2d").output] == Origin("p", "image")
    done.check()


def test_a_residual_of_another_kind_becomes_an_image(through: Any, weights: Any) -> None:
    done = through(
        ("Transpose", "x", "t", {"perm": [0, 2, 1]}),
        ("Conv", "x w", "c", {"pads": [1, 1]}),
        ("Add", "t c", "a"),
        ("Relu", "a", "y"),
        passes=(*PASSES, fuse_epilogue),
        inputs={"x": (1, 5, 5)},
        outputs="y",
        w=weights(5, 5, 3),
    )
    assert [op for op in done.ops() if op != "reshape"] == ["Transpose", "conv2d"]
    done.check()


@pytest.mark.parametrize("other", ["k", "s"])
def test_operands_that_are_repeated(through: Any, weights: Any, other: str) -> None:
    """A value for each column, and a scalar that the model computes."""
    done = through(
        ("Conv", "x w", "c"),
        ("Mul", f"c {other}", "m"),
        ("Neg", "m", "y"),
        passes=PASSES,
        inputs={**LINE, "s": (1,)},
        outputs="y",
        w=weights(6, 4, 1),
        k=weights(11),
    )
    assert done.ops().count("pointwise") == 2
    assert done.tensor("conv2d").shape == (2, 6, 1, 11)
    done.check()


def test_a_line_that_is_repeated_stays(through: Any, weights: Any) -> None:
    done = through(
        ("Conv", "x w", "c"),
        ("Add", "c z", "y"),
        passes=PASSES,
        inputs={"x": (1, 4, 1), "z": (3, 6, 7)},
        outputs="y",
        w=weights(6, 4, 1),
    )
    assert done.ops() == ["reshape", "conv2d", "reshape", "pointwise"]
    done.check()


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("operator", ["ReduceMean", "ReduceMax"])
def test_whole_lines(through: Any, weights: Any, operator: str, keep: int) -> None:
    done = through(
        ("Conv", "x w", "c"),
        (operator, "c axes", "y", {"keepdims": keep}),
        passes=PASSES,
        inputs=LINE,
        outputs="y",
        w=weights(6, 4, 1),
        axes=whole(-1),
    )
    assert done.ops() == ["reshape", "conv2d", "pool2d", "reshape"]
    done.check()


def test_concatenation_along_the_channels(through: Any, weights: Any) -> None:
    done = through(
        ("Conv", "x w", "c"),
        ("Concat", "x c", "k", {"axis": 1}),
        ("Conv", "k v", "y"),
        passes=PASSES,
        inputs=LINE,
        outputs="y",
        w=weights(6, 4, 1),
        v=weights(3, 10, 1),
    )
    assert [op for op in done.ops() if op != "reshape"] == ["conv2d", "concat", "conv2d"]
    done.check()


def test_causal_convolutions(through: Any, weights: Any) -> None:
    """A padding in front, or behind as well, where the surplus is cut off, becomes a padding on one side."""
    done = through(
        ("Pad", "x pads", "p"),
        ("Conv", "p a", "c", {"dilations": [2]}),
        ("Relu", "c", "r"),
        ("Conv", "r b", "d", {"dilations": [4], "pads": [8, 8]}),
        ("Slice", "d start end axis", "s"),
        ("Relu", "s", "y"),
        passes=(*PASSES, fold_pad, fold_slice, fuse_epilogue),
        inputs=LINE,
        outputs="y",
        pads=whole(0, 0, 4, 0, 0, 0),
        a=weights(4, 4, 3),
        b=weights(4, 4, 3),
        start=whole(0),
        end=whole(-8),
        axis=whole(2),
    )
    assert done.ops() == ["reshape", "conv2d", "conv2d", "reshape"]
    assert [node.attrs["pads"] for node in done.graph.nodes if node.op == "conv2d"] == [(0, 4, 0, 0), (0, 8, 0, 0)]
    done.check()


@pytest.mark.parametrize("mode", ["reflect", "edge", "constant"])
def test_other_paddings_stay(through: Any, weights: Any, mode: str) -> None:
    done = through(
        ("Conv", "x w", "c"),
        ("Pad", "c pads fill", "p", {"mode": mode}),
        ("MaxPool", "p", "y", {"kernel_shape": [3]}),
        passes=(*PASSES, fold_pad),
        inputs=LINE,
        outputs="y",
        w=weights(6, 4, 1),
        pads=whole(0, 0, 2, 0, 0, 3),
        fill=np.float32(-0.5),
    )
    assert done.ops() == ["reshape", "conv2d", "Pad", "pool2d", "reshape"]
    done.check()


def test_slices_of_channels_stay_images(through: Any, weights: Any) -> None:
    done = through(
        ("Conv", "x w", "c"),
        ("Slice", "c start end axis", "s"),
        ("Relu", "s", "y"),
        passes=(*PASSES, fold_slice),
        inputs=LINE,
        outputs="y",
        w=weights(6, 4, 3),
        start=whole(1),
        end=whole(5),
        axis=whole(1),
    )
    assert done.ops() == ["reshape", "conv2d", "Slice", "pointwise", "reshape"]
    assert done.graph.origins[done.node("Slice").output] == Origin("s", "image")
    done.check()


def test_volumes_stay_planes_in_between(through: Any, weights: Any) -> None:
    done = through(
        ("Conv", "x a", "c", {"pads": [1] * 6}),
        ("Relu", "c", "r"),
        ("Mul", "r scale", "m"),
        ("MaxPool", "m", "p", {"kernel_shape": [2, 2, 2]}),
        ("Conv", "p b", "d", {"pads": [0, 1, 1, 0, 1, 1]}),
        ("Concat", "p d", "k", {"axis": 1}),
        ("Add", "k whole", "s"),
        ("ReduceMean", "s axes", "y"),
        passes=PASSES,
        inputs={"x": (2, 4, 3, 5, 4)},
        outputs="y",
        a=weights(6, 4, 3, 3, 3),
        b=weights(3, 6, 1, 3, 3),
        scale=weights(6, 1, 1, 1),
        whole=weights(2, 9, 2, 4, 1),
        axes=whole(2, 3, 4),
    )
    computed = [op for op in done.ops() if op != "reshape"]
    assert computed == [
        *(
            "Transpose",
            "conv3d",
            "pointwise",
            "pointwise",
            "pool2d",
            "conv2d",
            "concat",
            "pointwise",
            "pool2d",
            "reduce",
        )
    ]
    assert done.graph.origins[done.node("concat").output] == Origin("k", "planes")
    done.check()


def test_a_volume_that_is_scaled_by_its_own_channels(through: Any, weights: Any) -> None:
    """The factors would have to be repeated for each plane, so the product is computed as a volume."""
    done = through(
        ("Conv", "x a", "c"),
        ("GlobalAveragePool", "c", "g"),
        ("Sigmoid", "g", "s"),
        ("Mul", "c s", "y"),
        passes=PASSES,
        inputs={"x": (2, 4, 3, 5, 4)},
        outputs="y",
        a=weights(6, 4, 1, 3, 3),
    )
    done.check()
