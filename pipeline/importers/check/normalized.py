"""Checks that two forms of a model compute the same; if not, finds the first layer that differs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from tvmopt.pipeline.errors import WrongResultError
from tvmopt.pipeline.importers.check.given_values import OWN, beyond_a_step, with_given
from tvmopt.pipeline.importers.onnx_form.layer_names import layer_of
from tvmopt.pipeline.support.fit import cut_results
from tvmopt.pipeline.support.numeric_error import numeric_error
from tvmopt.pipeline.support.onnxruntime import run_model
from tvmopt.pipeline.support.tolerances import REWRITTEN
from tvmopt.pipeline.types import cuts_of
from tvmopt.schedules.host import cpu_flags

Arrays = Mapping[str, np.ndarray]

VNNI = frozenset({"avx512_vnni", "avx_vnni", "asimddp"})
"""Features of processors, as Linux names them, that multiply bytes without saturation."""

PRODUCTS = frozenset({"QLinearConv", "QLinearMatMul", "QGemm", "ConvInteger", "MatMulInteger"})
"""Operators that add up products of bytes."""


def agrees(reference: np.ndarray, computed: np.ndarray) -> bool:
    """Whether the error is within `tolerances.REWRITTEN`."""
    return REWRITTEN.allows(numeric_error(reference, computed), reference.dtype)


def check_normalized(
    original: onnx.ModelProto, normalized: onnx.ModelProto, inputs: Arrays, reference: Arrays | None = None
) -> None:
    """Checks that `normalized` computes what `original` does; `reference` is what that makes of `inputs`, if known.

    Raises:
        WrongResultError: it does not; names the first layer that differs.
        UnsupportedModelError: onnxruntime cannot run one of them.
    """
    reference = run_model(original, inputs) if reference is None else reference
    computed = cut_results(run_model(normalized, inputs), cuts_of(normalized))
    wrong = first_wrong(reference, computed)
    if wrong is None:
        return
    given = quantized_values(original, normalized, inputs)
    if given:
        check_layers(normalized, inputs, given, reference)
        return
    error = numeric_error(reference[wrong], computed[wrong]).relative
    where = first_wrong_layer(original, normalized, inputs)
    raise WrongResultError(
        f"normalising the model changed output {wrong!r} by {error:.2g} of its largest value, from layer {where!r} on; "
        f"at most {REWRITTEN.of(reference[wrong].dtype):g} is allowed"
    )


def quantized_values(original: onnx.ModelProto, normalized: onnx.ModelProto, inputs: Arrays) -> Arrays:
    """The values of 8 bits that both forms compute, as `original` does.

    Without instructions for them, onnxruntime's products of bytes saturate: then what they make is left out.
    """
    exact = not VNNI.isdisjoint(cpu_flags())
    there = {name for node in normalized.graph.node for name in node.output}
    names = [
        name
        for node in original.graph.node
        for name in node.output
        if name in there and (exact or node.op_type not in PRODUCTS)
    ]
    values = run_model(with_outputs(original, names), inputs, names)
    return {name: array for name, array in values.items() if array.dtype in (np.int8, np.uint8)}


def check_layers(model: onnx.ModelProto, inputs: Arrays, given: Arrays, reference: Arrays) -> None:
    """Checks that each layer of `model` computes the next of the values `given` from those before it.

    Args:
        model: a normalised model.
        inputs: its inputs.
        given: values of 8 bits of the original.
        reference: outputs of the original.

    Raises:
        WrongResultError: one does not; names the layer.
    """
    outputs = [name for name in reference if name not in given]
    names = [*(name + OWN for name in given), *outputs]
    computed = run_model(with_given(model, given, outputs), {**inputs, **given}, names)
    layers = {name: layer_of(node) for node in model.graph.node for name in node.output}
    for name, array in given.items():
        how = beyond_a_step(array, computed[name + OWN])
        if how:
            raise WrongResultError(f"normalising the model changed layer {layers[name]!r} {how}")
    wrong = first_wrong({name: reference[name] for name in outputs}, computed)
    if wrong is not None:
        error = numeric_error(reference[wrong], computed[wrong]).relative
        changed = f"normalising the model changed layer {layers[wrong]!r} by {error:.2g} of its largest value"
        raise WrongResultError(f"{changed}; at most {REWRITTEN.of(reference[wrong].dtype):g} is allowed")


def first_wrong(reference: Arrays, computed: Arrays) -> str | None:
    """The first value of `reference` that is missing or different in `computed`; None when there is none."""
    for name, value in reference.items():
        if name not in computed or not agrees(value, computed[name]):
            return name
    return None


def first_wrong_layer(original: onnx.ModelProto, normalized: onnx.ModelProto, inputs: Arrays) -> str:
    """The layer of the first value, in execution order, that both models compute but differently."""
    computed_there = {name for node in original.graph.node for name in node.output if name}
    nodes = [(name, node) for node in normalized.graph.node for name in node.output if name in computed_there]
    names = [name for name, _ in nodes]
    reference = run_model(with_outputs(original, names), inputs, names)
    computed = run_model(with_outputs(normalized, names), inputs, names)
    wrong = first_wrong(reference, computed)
    return next((layer_of(node) for name, node in nodes if name == wrong), "?")


def with_outputs(model: onnx.ModelProto, names: list[str]) -> onnx.ModelProto:
    """A copy of `model` with the values `names` as additional outputs."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    present = {output.name for output in model.graph.output}
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in present)
    return shown
