"""Rounding to quantised values and back, as ONNX defines it: ties, the ends of the range, infinities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.onnx_models import make_model
from tvmopt.pipeline.support.onnxruntime import run_model
from tvmopt.schedules.compute.reference import reference
from tvmopt.schedules.expression import Arg, Const, call
from tvmopt.schedules.workload import Tensor

HURTFUL = np.array(
    [0, -0.0, 0.05, 0.15, 0.25, -0.05, -0.15, 12.7, 12.75, 12.8, 25.4, 25.45, 1e30, -1e30, np.inf, -np.inf, 3e-39],
    np.float32,
)


@pytest.mark.parametrize("scale", [0.1, 0.25, 1.0, 3e-5])
@pytest.mark.parametrize("zero", [0, 7, 128, 255])
def test_quantises_as_onnxruntime_does(kernels: Any, make: Any, scale: float, zero: int) -> None:
    random = np.random.default_rng(0)
    halves = (np.arange(-300, 300) + 0.5).astype(np.float32) * np.float32(scale)
    data = np.concatenate([HURTFUL, halves, random.standard_normal(900).astype(np.float32) * 100 * scale])
    data = data.astype(np.float32)
    expr = call("quantize", Arg(0), Const(float(np.float32(scale))), Const(float(zero)))
    workload = make("pointwise", (Tensor(data.shape),), Tensor(data.shape, "uint8"), expr)
    model = make_model(
        ("QuantizeLinear", "x s z", "y"),
        inputs={"x": data.shape},
        outputs="y",
        s=np.float32(scale),
        z=np.uint8(zero),
    )
    expected = run_model(model, {"x": data})["y"]
    assert np.array_equal(reference(workload, [data]), expected)
    (memory,) = kernels.run(workload, [data], [{"unroll": 2}])
    assert np.array_equal(memory, expected)


def test_nan_becomes_the_least(host: Any, make: Any) -> None:
    data = np.full(40, np.nan, np.float32)
    expr = call("quantize", Arg(0), Const(0.5), Const(9.0))
    workload = make("pointwise", (Tensor(data.shape),), Tensor(data.shape, "uint8"), expr)
    (memory,) = host.run(workload, [data], [{"unroll": 2}])
    assert (memory == 0).all()
    assert (reference(workload, [data]) == 0).all()


def test_every_quantised_value_becomes_its_float(kernels: Any, make: Any) -> None:
    data = np.arange(256).astype(np.uint8)
    expr = call("dequantize", Arg(0), Const(float(np.float32(0.1))), Const(128.0))
    workload = make("pointwise", (Tensor(data.shape, "uint8"),), Tensor(data.shape), expr)
    model = make_model(
        ("DequantizeLinear", "x s z", "y"),
        inputs={"x": ("uint8", 256)},
        outputs="y",
        s=np.float32(0.1),
        z=np.uint8(128),
    )
    expected = run_model(model, {"x": data})["y"]
    (memory,) = kernels.run(workload, [data], [{"unroll": 1}])
    assert np.array_equal(memory, expected)


@pytest.mark.parametrize("zero", [0, 7, 255])
def test_rounding_to_integers_and_back_at_once(kernels: Any, make: Any, zero: int) -> None:
    """No bytes are made in between; the floats are the same."""
    halves = (np.arange(-300, 300) + 0.5).astype(np.float32)
    data = np.concatenate([HURTFUL, halves, np.float32([np.nan])])
    rounded = call("quantize", Arg(0), Const(1.0), Const(float(zero)))
    scale = float(np.float32(0.1))
    workload = make(
        "pointwise",
        (Tensor(data.shape),),
        Tensor(data.shape),
        call("dequantize", rounded, Const(scale), Const(float(zero))),
    )
    with np.errstate(invalid="ignore"):
        bounded = np.clip(np.where(np.isnan(data), -np.inf, np.rint(data)) + zero, 0, 255)
    expected = (bounded - zero).astype(np.float32) * np.float32(scale)
    (memory,) = kernels.run(workload, [data], [{"unroll": 2}])
    assert np.array_equal(memory, expected)
