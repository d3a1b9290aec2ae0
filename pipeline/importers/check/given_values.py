"""Compares the layers of a quantised model one by one: each gets what the reference computed before it.

Integers of two runtimes differ by a rounding here and there, and layers after it make more of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import onnx

Arrays = Mapping[str, np.ndarray]

MOST_BEYOND = 1e-3
"""The share of a layer's quantised results that may differ by more than one step."""

OWN = "/computed"
"""Ends the names of what layers compute where given values take its place."""


def with_given(model: onnx.ModelProto, given: Arrays, outputs: Collection[str]) -> onnx.ModelProto:
    """`model` with the values `given` as inputs, and what it computes for them (`OWN`) and `outputs` as outputs."""
    forced = onnx.ModelProto()
    forced.CopyFrom(model)
    graph = forced.graph
    for node in graph.node:
        for place, name in enumerate(node.output):
            if name in given:
                node.output[place] = name + OWN
    for name, array in given.items():
        dtype = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        graph.input.append(onnx.helper.make_tensor_value_info(name, dtype, array.shape))
    kept = [value for value in graph.output if value.name in outputs]
    del graph.output[:], graph.value_info[:]
    graph.output.extend(kept)
    graph.output.extend(onnx.ValueInfoProto(name=name + OWN) for name in given)
    return forced


def beyond_a_step(reference: np.ndarray, computed: np.ndarray) -> str:
    """How quantised values differ by more than a step, in more than `MOST_BEYOND` of the elements; else empty."""
    if reference.shape != computed.shape:
        return f"in shape: {reference.shape} and {computed.shape}"
    steps = np.abs(computed.astype(np.int64) - reference.astype(np.int64))
    beyond = int(np.count_nonzero(steps > 1))
    if beyond <= MOST_BEYOND * steps.size:
        return ""
    return f"by up to {steps.max()} steps in {beyond} of {steps.size} elements, where 1 step is allowed"
