"""Inputs that the user fixes to a value: they become constants, and the layers that only they decide fold away."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from tvmopt.pipeline.errors import UsageError, did_you_mean
from tvmopt.pipeline.importers.onnx_form.shapes import Dim, input_dims
from tvmopt.pipeline.importers.onnx_form.values import dtype_name


def fix_inputs(model: onnx.ModelProto, values: Mapping[str, tuple[float, ...]]) -> None:
    """Makes inputs of `model` constants, in place.

    Args:
        model: with dynamic inputs or not.
        values: by input, its elements in row-major order; a single number fills any static shape.

    Raises:
        UsageError: an input that does not exist, the wrong number of elements, numbers that its dtype lacks, or no
            input would be left.
        UnsupportedModelError: an input of an element type that is not supported.
    """
    graph = model.graph
    known = {value.name: value for value in graph.input}
    check_fixed(values, known)
    for name, numbers in values.items():
        dtype = np.dtype(dtype_name(known[name].type.tensor_type.elem_type, name))
        array = fixed_array(name, dtype, input_dims(known[name]), numbers)
        graph.initializer.append(numpy_helper.from_array(array, name))
    kept = [value for value in graph.input if value.name not in values]
    del graph.input[:]
    graph.input.extend(kept)


def check_fixed(values: Iterable[str], known: Collection[str]) -> None:
    """Checks that the inputs named in `values` are some, but not all, of those in `known`.

    Raises:
        UsageError: they are not.
    """
    names = list(values)
    for name in names:
        if name not in known:
            raise UsageError(did_you_mean("input", name, known))
    if names and len(names) == len(known):
        raise UsageError(f"all inputs are fixed ({', '.join(names)}): at least one must stay open")


def fixed_array(
    name: str, dtype: np.dtype[Any], dims: tuple[Dim, ...] | None, numbers: tuple[float, ...]
) -> np.ndarray:
    """`numbers` in the shape and dtype of the input `name`.

    Args:
        name: the input's, for errors.
        dtype: its element type.
        dims: its sizes, as far as they are known.
        numbers: its elements in row-major order, or one that fills it.

    Raises:
        UsageError: the wrong number of elements, numbers that the dtype lacks, or open sizes of several dimensions.
    """
    given = np.asarray(numbers)
    array = given.astype(dtype)
    if dtype.kind in "iub" and not np.array_equal(array, given):
        raise UsageError(f"input {name!r} is of {dtype}, which cannot hold {', '.join(map(str, numbers))}")
    if dims is None or (len(dims) == 1 and not isinstance(dims[0], int)):
        return array.reshape(()) if dims is None and array.size == 1 else array
    if any(isinstance(dim, str) for dim in dims):
        raise UsageError(f"input {name!r} has open sizes, {','.join(map(str, dims))}: it cannot be fixed")
    shape = tuple(int(dim) for dim in dims)
    wanted = math.prod(shape)
    if array.size not in (1, wanted):
        counts = "1 number" if wanted == 1 else f"1 or {wanted} numbers"
        raise UsageError(f"input {name!r} needs {counts}, got {array.size}")
    return np.resize(array, shape)
