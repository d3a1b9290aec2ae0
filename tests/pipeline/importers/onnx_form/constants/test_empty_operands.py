"""Constants without elements: absent operands, and nothing to join."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from tvmopt.pipeline.types import ImportedModel
from tvmopt.schedules.target import parse_target

NONE = np.zeros(0, np.int64)


@pytest.mark.parametrize(
    ("graph", "opset", "constants"),
    [
        (
            "g (float[1,3,9] x) => (float[1,3,18] y) { y = Resize<mode='linear'>(x, roi, scales) }".replace("'", '"'),
            11,
            {"roi": NONE.astype(np.float32), "scales": np.array([1, 1, 2], np.float32)},
        ),
        (
            "g (float[1,3,9] x) => (float[1,3,20] y) { y = Resize(x, roi, none, sizes) }",
            13,
            {"roi": NONE.astype(np.float32), "none": NONE.astype(np.float32), "sizes": np.array([1, 3, 20])},
        ),
        ("g (float[2,3] x) => (float y) { y = ReduceL1<keepdims=0>(x, axes) }", 18, {"axes": NONE}),
        ("g (float[2,3] x) => (float[1,1] y) { y = ReduceMax(x, axes) }", 18, {"axes": NONE}),
        ("g (float[2,3] x) => (float[2,3] y) { y = ReduceSum<noop_with_empty_axes=1>(x, axes) }", 13, {"axes": NONE}),
        (
            "g (float[4,3] x) => (float[4,3] y) { y = Concat<axis=0>(none, x) }",
            13,
            {"none": np.zeros((0, 3), np.float32)},
        ),
        (
            "g (float[4,3] x) => (float[8,3] y) { a = Concat<axis=0>(none, x, x, none) y = Relu(a) }",
            13,
            {"none": np.zeros((0, 3), np.float32)},
        ),
        ("g (float[1,1] x) => (float y) { y = Reshape(x, none) }", 13, {"none": NONE}),
        ("g (float[2,3] x) => (float[2,3] y) { y = Unsqueeze(x, none) }", 13, {"none": NONE}),
    ],
)
def test_they_change_nothing(
    parse: Callable[..., onnx.ModelProto],
    imported: Callable[[onnx.ModelProto], ImportedModel],
    check_whole: Callable[..., None],
    graph: str,
    opset: int,
    constants: dict[str, np.ndarray],
) -> None:
    check_whole(imported(parse(graph, opset, **constants)), parse_target("llvm", 2))
