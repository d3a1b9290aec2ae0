"""Inputs on which a layer that TVM lowered is compared with onnxruntime."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from tvmopt.pipeline.importers.check.input_limits import Limits, input_limits
from tvmopt.pipeline.importers.check.random_inputs import random_inputs
from tvmopt.pipeline.importers.onnx_form.values import tensor_spec
from tvmopt.pipeline.types import TensorSpec

Array = npt.NDArray[Any]

BITS = 8
"""Shifting an integer of this many bits by as many is undefined."""

HURTFUL = np.array([-3.0, -2.5, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 1.5, 2.5, 3.0])
"""Numbers with ties between them, halves that round either way, and zeros of both signs."""

SMALL = 8
"""Integers are no larger than this, or at the ends of their limits."""

SPECIAL = (np.nan, np.inf, -np.inf, 6e4, -6e4, 1e-7)
"""Numbers that comparisons and cancellation get wrong; the finite ones also fit into float16."""

BY_ELEMENT = frozenset(
    {
        *("Abs", "Add", "Ceil", "Clip", "Concat", "Div", "Equal", "Exp", "Expand", "Floor", "Gather", "GatherElements"),
        *("GatherND", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "LeakyRelu", "Less", "LessOrEqual", "Log", "Max"),
        *("Min", "Mul", "Neg", "PRelu", "Reciprocal", "Relu", "Reshape", "Round", "Sigmoid", "Slice", "Split"),
        *("Sqrt", "Squeeze", "Sub", "Tanh", "Tile", "Transpose", "Unsqueeze", "Where"),
    }
)
"""Operators with one right result for NaN and infinities, in onnxruntime too; it has none for sorting or sums, say."""

PERIOD = (1 << 19) - 1
"""Elements after which larger inputs repeat: a prime number, so that no two rows of a matrix are alike."""

_UNSIGNED = (2, 4, 12, 13)
"""ONNX's numbers for unsigned integers."""


def inputs_of(model: onnx.ModelProto) -> Iterator[dict[str, Array]]:
    """Random inputs; then inputs that a layer may get wrong.

    Those are negative numbers, zeros, ties, indices at both ends of an axis; and for operators of `BY_ELEMENT` NaN,
    infinities, large and small numbers.

    Args:
        model: one layer.
    """
    specs = [tensor_spec(value) for value in model.graph.input]
    for inputs in _drawn(model, [_shortened(spec) for spec in specs]):
        yield {spec.name: np.resize(inputs[spec.name], spec.shape) for spec in specs}


def _shortened(spec: TensorSpec) -> TensorSpec:
    """A few elements to repeat, where drawing all would take long."""
    return replace(spec, shape=(PERIOD,)) if math.prod(spec.shape) > PERIOD else spec


def _drawn(model: onnx.ModelProto, specs: Sequence[TensorSpec]) -> Iterator[dict[str, Array]]:
    """`inputs_of` with the shapes of `specs`."""
    (proto,) = model.graph.node
    drawn = random_inputs(specs, model.graph)
    yield {name: _defined(proto.op_type, array) for name, array in drawn.items()}
    random, limits = np.random.default_rng(1), input_limits(model.graph)
    everything = (-np.inf, np.inf)
    hurtful = {spec.name: _hurtful(proto, spec, limits.get(spec.name, everything), random) for spec in specs}
    yield hurtful
    if proto.op_type in BY_ELEMENT:
        yield {name: _with_specials(array, random) for name, array in hurtful.items()}


def _with_specials(array: Array, random: np.random.Generator) -> Array:
    """`array` with a third of its floats replaced by those of `SPECIAL`."""
    if array.dtype.kind != "f":
        return array
    special = random.choice(np.array(SPECIAL), array.shape).astype(array.dtype)
    return np.where(random.random(array.shape) < 1 / 3, special, array)


def _defined(kind: str, array: Array) -> Array:
    """`array`, changed to values that test the operator and are defined: a division by zero would end the process."""
    if kind in ("IsInf", "IsNaN"):
        return np.where(array > 1, np.inf, np.where(array < -1, -np.inf, np.where(array < 0, np.nan, array)))
    if array.dtype.kind not in "iu":
        return array
    if kind in ("Div", "Mod"):
        return np.maximum(array, 1)
    return np.asarray(array % BITS) if kind == "BitShift" else array


def _hurtful(proto: onnx.NodeProto, spec: TensorSpec, limits: Limits, random: np.random.Generator) -> Array:
    dtype, (low, high) = np.dtype(spec.dtype), limits
    if dtype.kind == "f":
        choices = HURTFUL[(low <= HURTFUL) & (high > HURTFUL)]
        if any(attribute.name == "to" and attribute.i in _UNSIGNED for attribute in proto.attribute):
            choices = np.abs(choices)  # what becomes of others is undefined
    elif dtype.kind in "iu":
        least = max(low, 0 if dtype.kind == "u" else -SMALL)
        most = min(high - 1, max(least, 0) + SMALL)
        ends = [least, high - 1 if np.isfinite(high) else most]
        choices = np.array([*ends, *np.arange(least, most + 1)])
        if proto.op_type in ("Div", "Mod"):
            choices = choices[choices != 0]
    else:
        choices = np.array([False, True])
    return np.asarray(random.choice(choices if choices.size else np.ones(1), spec.shape)).astype(dtype)
