from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.graph.passes.fold_batchnorm import fold_batchnorm

PASSES = (fold_batchnorm,)


@pytest.fixture
def statistics(weights: Any) -> Any:
    """Scale, bias, mean and variance for this number of channels."""

    def make(channels: int) -> dict[str, np.ndarray]:
        names = ("scale", "bias", "mean")
        return {name: weights(channels) for name in names} | {"variance": np.abs(weights(channels)) + 0.1}

    return make


def norm(taken: str, made: str, **attributes: float) -> tuple[Any, ...]:
    return ("BatchNormalization", f"{taken} scale bias mean variance", made, attributes)


def test_joins_a_convolution(through: Any, statistics: Any, weights: Any) -> None:
    done = through(
        ("Conv", "x w b", "c", {"pads": [1, 1, 1, 1]}),
        norm("c", "n", epsilon=1e-3),
        ("Relu", "n", "y"),
        passes=PASSES,
        inputs={"x": (1, 3, 5, 5)},
        outputs="y",
        w=weights(6, 3, 3, 3),
        b=weights(6),
        **statistics(6),
    )
    assert done.ops() == ["Conv", "Relu"]
    assert done.graph.nodes[0].layers == ("Conv0", "BatchNormalization1")
    assert done.graph.nodes[0].outputs == ("n",)
    done.check()


def test_joins_a_convolution_without_bias_and_with_groups(through: Any, statistics: Any, weights: Any) -> None:
    done = through(
        ("Conv", "x w", "c", {"group": 2, "strides": [2, 1]}),
        norm("c", "y"),
        passes=PASSES,
        inputs={"x": (2, 4, 5, 5)},
        outputs="y",
        w=weights(6, 2, 3, 3),
        **statistics(6),
    )
    assert done.ops() == ["Conv"]
    done.check()


def test_convolutions_that_share_weights_stay_apart(through: Any, statistics: Any, weights: Any) -> None:
    done = through(
        ("Conv", "x w", "c"),
        norm("c", "n"),
        ("Conv", "x w", "d"),
        ("Add", "n d", "y"),
        passes=PASSES,
        inputs={"x": (1, 3, 5, 5)},
        outputs="y",
        w=weights(6, 3, 3, 3),
        **statistics(6),
    )
    assert done.ops() == ["Conv", "Conv", "Add"]
    done.check()


@pytest.mark.parametrize("reader", [("Neg", "c", "z"), None])
def test_a_convolution_that_others_read_keeps_its_result(
    through: Any, statistics: Any, weights: Any, reader: Any
) -> None:
    nodes = [("Conv", "x w", "c"), norm("c", "y"), *([reader] if reader else [])]
    done = through(
        *nodes,
        passes=PASSES,
        inputs={"x": (1, 3, 5, 5)},
        outputs="y z" if reader else "y c",
        w=weights(6, 3, 3, 3),
        **statistics(6),
    )
    assert done.ops()[:2] == ["Conv", "pointwise"]
    done.check()


@pytest.mark.parametrize("shape", [(2, 5), (2, 5, 7), (1, 5, 3, 4), (1, 5, 2, 3, 4)])
def test_becomes_a_scale_and_shift_elsewhere(through: Any, statistics: Any, shape: tuple[int, ...]) -> None:
    done = through(norm("x", "y"), passes=PASSES, inputs={"x": shape}, outputs="y", **statistics(5))
    assert done.ops() == ["pointwise"]
    done.check()


def test_one_behind_another_is_folded_too(through: Any, statistics: Any, weights: Any) -> None:
    done = through(
        ("Conv", "x w", "c"),
        norm("c", "n"),
        norm("n", "y"),
        passes=PASSES,
        inputs={"x": (1, 3, 5, 5)},
        outputs="y",
        w=weights(6, 3, 1, 1),
        **statistics(6),
    )
    assert "BatchNormalization" not in done.ops()
    done.check()


def test_a_convolution_whose_bias_is_computed_stays(through: Any, statistics: Any, weights: Any) -> None:
    done = through(
        ("Conv", "x w b", "c"),
        norm("c", "y"),
        passes=PASSES,
        inputs={"x": (1, 3, 5, 5), "b": (6,)},
        outputs="y",
        w=weights(6, 3, 1, 1),
        **statistics(6),
    )
    assert done.ops() == ["Conv", "pointwise"]
    done.check()


def test_statistics_that_are_computed_stay(through: Any, statistics: Any) -> None:
    constants = statistics(5)
    del constants["mean"]
    inputs = {"x": (1, 5, 4), "mean": (5,)}
    done = through(norm("x", "y"), passes=PASSES, inputs=inputs, outputs="y", **constants)
    assert done.ops() == ["BatchNormalization"]


def test_other_dtypes_stay(through: Any, statistics: Any) -> None:
    half = {name: array.astype(np.float16) for name, array in statistics(5).items()}
    done = through(norm("x", "y"), passes=PASSES, inputs={"x": ("float16", 1, 5, 4, 4)}, outputs="y", **half)
    assert done.ops() == ["BatchNormalization"]
