"""Random inputs that fit a model."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.types import TensorSpec

MAX_BYTES = 4 * 2**30
"""The largest total size of all inputs."""

_SMALL = 8
"""Random integers are below this, and below the number of entries of any table that they index."""

_BYTE = 128
"""Random 8-bit numbers are below this: they are pictures or quantised values, not indices."""


def random_inputs(specs: Sequence[TensorSpec], graph: onnx.GraphProto, seed: int = 0) -> dict[str, np.ndarray]:
    """Standard normal floats, small non-negative integers, and booleans.

    Args:
        specs: the inputs.
        graph: the normalised model's; an input that indexes one of its tables gets only valid indices.
        seed: the same seed gives the same arrays.

    Returns:
        An array for each input, of its shape and dtype.

    Raises:
        UnsupportedModelError: the inputs take more than `MAX_BYTES`.
    """
    total = sum(math.prod(spec.shape) * np.dtype(spec.dtype).itemsize for spec in specs)
    if total > MAX_BYTES:
        raise UnsupportedModelError(
            f"the model's inputs take {total} bytes, more than the {MAX_BYTES} that are allowed"
        )
    random = np.random.default_rng(seed)
    limits = _index_limits(graph)
    inputs: dict[str, np.ndarray] = {}
    for spec in specs:
        dtype = np.dtype(spec.dtype)
        if dtype.kind == "f":
            inputs[spec.name] = random.standard_normal(spec.shape, dtype=np.float32).astype(dtype)
        elif dtype.kind == "b":
            inputs[spec.name] = random.integers(0, 2, spec.shape).astype(dtype)
        else:
            limit = _BYTE if dtype.itemsize == 1 else min(_SMALL, limits.get(spec.name, _SMALL))
            inputs[spec.name] = random.integers(0, limit, spec.shape).astype(dtype)
    return inputs


def _index_limits(graph: onnx.GraphProto) -> dict[str, int]:
    """For each value that is used as an index, the size of the smallest axis that it indexes."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info):
        shapes[value.name] = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
    limits: dict[str, int] = {}
    for node in reversed(graph.node):
        if node.op_type in ("Gather", "GatherElements"):
            axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
            size = shapes.get(node.input[0], (_SMALL,))[axis]
            limits[node.input[1]] = min(size, limits.get(node.input[1], size))
        elif node.op_type in ("Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze") and node.output[0] in limits:
            limits[node.input[0]] = min(limits[node.output[0]], limits.get(node.input[0], _SMALL))
    return limits
