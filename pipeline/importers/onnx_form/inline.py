"""Inlines functions: a model's own, and operators of ONNX that are not supported but defined by others."""

from __future__ import annotations

import onnx
import onnx.inliner

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.importers.onnx_form.operators import (
    STANDARD_DOMAINS,
    WRITTEN_OUT,
    standard_opset,
    supported_operators,
)
from tvmopt.pipeline.support.messages import one_line

_ALWAYS = frozenset({"MeanVarianceNormalization"})
"""Supported operators that are inlined as well: ONNX infers no shapes where their attributes have default values."""


def inline(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` without functions: inlines its own, and unsupported operators that ONNX defines by others.

    Those that `rewrites` writes out stay: its rules know better forms.

    Raises:
        UnsupportedModelError: one of them cannot be inlined.
    """
    if model.functions:
        try:
            model = onnx.inliner.inline_local_functions(model, convert_version=True)
        except (RuntimeError, ValueError) as error:
            raise UnsupportedModelError(f"the model's own functions cannot be inlined: {one_line(error)}") from error
    opset = standard_opset(model)
    used = {node.op_type for node in model.graph.node if node.domain in STANDARD_DOMAINS}
    foreign = used - (supported_operators() - _ALWAYS) - WRITTEN_OUT
    defined = sorted(name for name in foreign if _has_definition(name, opset))
    if not defined:
        return model
    prepared = _with_types(_with_defaults(model, defined))
    try:
        return onnx.inliner.inline_selected_functions(
            prepared, [("", name) for name in defined], inline_schema_functions=True
        )
    except (RuntimeError, ValueError) as error:
        which = ", ".join(defined)
        raise UnsupportedModelError(f"{which} cannot be written with other operators: {one_line(error)}") from error


def _has_definition(operator: str, opset: int) -> bool:
    """Whether ONNX defines `operator` by other operators."""
    if not onnx.defs.has(operator, max_inclusive_version=opset, domain=""):
        return False
    schema = onnx.defs.get_schema(operator, max_inclusive_version=opset, domain="")
    return any(getattr(schema, kind) for kind in ("has_function", "has_context_dependent_function"))


def _with_defaults(model: onnx.ModelProto, operators: list[str]) -> onnx.ModelProto:
    """A copy of `model` whose nodes of `operators` have all attributes written out: the inliner drops defaults."""
    complete = onnx.ModelProto()
    complete.CopyFrom(model)
    opset = standard_opset(model)
    for node in complete.graph.node:
        if node.domain not in STANDARD_DOMAINS or node.op_type not in operators:
            continue
        schema = onnx.defs.get_schema(node.op_type, max_inclusive_version=opset, domain="")
        present = {attribute.name for attribute in node.attribute}
        missing = [attribute for name, attribute in schema.attributes.items() if name not in present]
        node.attribute.extend(attribute.default_value for attribute in missing if attribute.default_value.name)
    return complete


def _with_types(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with the types of all values, those of its initialisers too: the inliner knows no others."""
    typed = onnx.shape_inference.infer_shapes(model)
    known = {value.name for value in (*typed.graph.input, *typed.graph.value_info)}
    typed.graph.value_info.extend(
        onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in typed.graph.initializer
        if tensor.name not in known
    )
    return typed
