"""From the graph through TVM to numbers: networks of lines and of volumes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.devices.registry import LOCAL
from tvmopt.schedules.target import parse_target

Random = Callable[..., np.ndarray]


def whole(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def sound(w: Random) -> dict[str, Any]:
    return {
        "nodes": [
            ("Conv", "x a", "c0", {"strides": [3], "pads": [2, 1]}),
            ("Relu", "c0", "r0"),
            ("Conv", "r0 b bias", "c1", {"pads": [8, 8], "dilations": [4]}),
            ("Slice", "c1 from to axis", "s"),
            ("Tanh", "s", "t"),
            ("Add", "t r0", "u"),
            ("Conv", "u d", "c2", {"group": 19, "pads": [1, 1]}),
            ("MaxPool", "c2", "p", {"kernel_shape": [3], "strides": [2]}),
            ("Concat", "p p", "k", {"axis": 1}),
            ("Conv", "k e", "y"),
        ],
        "inputs": {"x": (2, 1, 83)},
        "constants": {
            "a": w(19, 1, 7),
            "b": w(19, 19, 3),
            "bias": w(19),
            "d": w(19, 1, 3),
            "e": w(5, 38, 2),
            "from": whole(0),
            "to": whole(-8),
            "axis": whole(2),
        },
    }


def video(w: Random) -> dict[str, Any]:
    return {
        "nodes": [
            ("Conv", "x a", "c0", {"strides": [1, 2, 2], "pads": [1, 1, 1, 1, 1, 1]}),
            ("Relu", "c0", "r0"),
            ("MaxPool", "r0", "p", {"kernel_shape": [2, 2, 2], "strides": [2, 2, 2]}),
            ("Conv", "p b bias", "c1", {"pads": [1, 1, 1, 1, 1, 1], "group": 19}),
            ("Add", "c1 p", "s"),
            ("Conv", "s d", "c2", {"pads": [0, 1, 1, 0, 1, 1]}),
            ("GlobalAveragePool", "c2", "g"),
            ("Flatten", "g", "f"),
            ("ConvTranspose", "s u", "z", {"strides": [2, 2, 2]}),
            ("Gemm", "f k", "y"),
        ],
        "inputs": {"x": (2, 3, 5, 11, 9)},
        "outputs": "y z",
        "constants": {
            "a": w(19, 3, 3, 3, 3),
            "b": w(19, 1, 3, 3, 3),
            "bias": w(19),
            "d": w(7, 19, 1, 3, 3),
            "k": w(7, 5),
            "u": w(19, 2, 2, 2, 2),
        },
    }


MODELS = {model.__name__: model for model in (sound, video)}
SSE2 = '{"kind": "llvm", "mtriple": "x86_64-linux-gnu"}'


@pytest.mark.sweep
@pytest.mark.parametrize("text", ["llvm", "x86-64-v3", SSE2])
@pytest.mark.parametrize("name", MODELS)
def test_computes_what_onnxruntime_does(
    weights: Random, model_from: Any, check_whole: Any, name: str, text: str
) -> None:
    target = parse_target(text, 2)
    if not LOCAL.facts().can_run(target):
        pytest.skip(f"this machine cannot run {target.isa}")
    check_whole(model_from(MODELS[name](weights)), target)
