from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.graph.optimize import passes
from tvmopt.schedules.target import parse_target

TARGET = parse_target("x86-64-v3")


@pytest.mark.parametrize(("channels", "groups", "pixels"), [(24, 1, 19), (20, 5, 7), (9, 9, 11)])
def test_a_norm_of_a_line_stays_in_blocks(through: Any, weights: Any, channels: int, groups: int, pixels: int) -> None:
    """As PyTorch exports group normalisation: no change of layout around it, scale and bias in its kernel."""
    done = through(
        ("Conv", "x first", "line"),
        ("Reshape", "line apart", "groups"),
        ("InstanceNormalization", "groups ones zeros", "normalized"),
        ("Reshape", "normalized together", "back"),
        ("Mul", "back scale", "scaled"),
        ("Add", "scaled bias", "shifted"),
        ("Conv", "shifted second", "y"),
        passes=passes(TARGET),
        inputs={"x": (2, 8, pixels + 2)},
        outputs="y",
        first=weights(channels, 8, 3),
        apart=np.array([2, groups, -1]),
        ones=np.ones(groups, np.float32),
        zeros=np.zeros(groups, np.float32),
        together=np.array([2, channels, pixels]),
        scale=weights(channels, 1),
        bias=weights(channels, 1),
        second=weights(5, channels, 1),
    )
    ops = [node.op for node in done.graph.nodes]
    assert ops.count("map_norm") == 1
    assert "pointwise" not in ops
    norm = done.node("map_norm")
    assert norm.attrs["groups"] == groups
    assert done.graph.tensor(norm.inputs[0]).block == done.graph.tensor(norm.output).block == 8
    done.check()
