"""Random inputs that fit a model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.importers.check.input_limits import input_limits
from tvmopt.pipeline.types import Draw, TensorSpec

MAX_BYTES = 4 * 2**30
"""The largest total size of all inputs."""

SMALL = 8
"""Random integers are below this, and within the limits of the layers that read them."""

BYTE = 128
"""Random 8-bit numbers are below this: they are pictures or quantised values, not indices."""


def random_inputs(specs: Sequence[TensorSpec], graph: onnx.GraphProto, seed: int = 0) -> dict[str, np.ndarray]:
    """Standard normal floats, small non-negative integers, and booleans, within the limits that `graph` shows.

    Args:
        specs: the inputs.
        graph: the normalised model's; an input that indexes one of its tables gets only valid indices.
        seed: the same seed gives the same arrays.

    Returns:
        An array for each input, of its shape and dtype.

    Raises:
        UnsupportedModelError: the inputs take more than `MAX_BYTES`.
    """
    return draw_inputs(specs, draws_of(specs, graph), seed)


def draws_of(specs: Sequence[TensorSpec], graph: onnx.GraphProto) -> dict[str, Draw]:
    """How to make values for each of the inputs `specs` that `graph` limits, and for all integers."""
    limits = input_limits(graph)
    draws = {}
    for spec in specs:
        dtype = np.dtype(spec.dtype)
        low, high = limits.get(spec.name, (-math.inf, math.inf))
        if dtype.kind in "iu":
            usual = BYTE if dtype.itemsize == 1 else SMALL
            low = max(low, 0) if high > 0 else low if low > -math.inf else high - usual
            high = min(high, max(usual, low + usual))
        if low < high and math.isfinite(high - low) and dtype.kind in "iuf":
            draws[spec.name] = Draw(low, high)
    return draws


def draw_inputs(specs: Sequence[TensorSpec], draws: Mapping[str, Draw], seed: int = 0) -> dict[str, np.ndarray]:
    """An array for each input, as `draws` says; others are standard normal floats, small integers and booleans.

    Args:
        specs: the inputs.
        draws: by input, how to make its values.
        seed: the same seed gives the same arrays.

    Raises:
        UnsupportedModelError: the inputs take more than `MAX_BYTES`.
    """
    total = sum(math.prod(spec.shape) * np.dtype(spec.dtype).itemsize for spec in specs)
    if total > MAX_BYTES:
        raise UnsupportedModelError(
            f"the model's inputs take {total} bytes, more than the {MAX_BYTES} that are allowed"
        )
    random = np.random.default_rng(seed)
    return {spec.name: _values(spec, draws.get(spec.name), random) for spec in specs}


def _values(spec: TensorSpec, draw: Draw | None, random: np.random.Generator) -> np.ndarray:
    dtype = np.dtype(spec.dtype)
    if draw is not None and draw.given is not None:
        return draw.given.copy()
    if dtype.kind == "b":
        return np.asarray(random.integers(0, 2, spec.shape)).astype(dtype)
    if dtype.kind == "f":
        if draw is None:
            return np.asarray(random.standard_normal(spec.shape, dtype=np.float32)).astype(dtype)
        return np.asarray(random.uniform(draw.low, draw.high, spec.shape)).astype(dtype)
    draw = draw or Draw(0, SMALL)
    return np.asarray(random.integers(int(draw.low), int(draw.high), spec.shape)).astype(dtype)
