"""Advice on parts of a model that are not covered."""

from __future__ import annotations

from collections.abc import Mapping

from tvmopt.pipeline.importers.onnx_form.operators import STANDARD_DOMAINS, UnsupportedOperator, standard_operators
from tvmopt.pipeline.importers.onnx_form.values import advice_on_size
from tvmopt.schedules.operators import OPERATORS

REMEDY_FALLBACK = "none needed: it runs, with TVM's importer and the fallback rule; tuning does not change it"

TEMPLATE_FORMS: Mapping[str, str] = {
    kind: form for operator in OPERATORS.values() for kind, form in operator.forms.items()
}
"""The form in which templates take an operator that they take."""

_CHANGES: Mapping[str, str] = {
    "BatchNormalization in training mode": "export the model in eval mode",
    "If": "if an input decides it, fix that with --input-value; else export one branch",
    "Loop": "its rounds depend on data: fix what decides them with --input-value, or let a trace unroll it",
    "Scan": "export with fixed sizes; give open ones with --input-shape",
    "MatMulInteger": "export in QDQ form, with DequantizeLinear before MatMul",
    "DynamicQuantizeLinear": "quantise with fixed scales instead: QuantizeLinear",
    "ReverseSequence": "write it with Slice of negative steps, where all lengths are the same",
    "NonMaxSuppression": "cut the model before it, and select boxes in your own code",
    "RandomNormal": "make the numbers outside, and pass them as an input",
    "RandomUniform": "make the numbers outside, and pass them as an input",
    "RandomNormalLike": "make the numbers outside, and pass them as an input",
    "RandomUniformLike": "make the numbers outside, and pass them as an input",
}
"""Advice on operators that importing refuses."""


def operator_remedy(item: UnsupportedOperator) -> str:
    """What to do about an operator that importing refuses."""
    if item.operator in _CHANGES:
        return _CHANGES[item.operator]
    if item.domain not in STANDARD_DOMAINS:
        return "export without operators of this domain, or give the model a function that defines it"
    if item.operator not in standard_operators():
        return "correct the name, or declare the domain it comes from: ONNX defines no such operator"
    return "write it with other ONNX operators when exporting, or cut the model before it"


def value_remedy(fault: str, layer: str) -> str:
    """What to do about a value that importing refuses, from what is wrong with it, and the layer and operator."""
    if "depends on the data" in fault:
        return advice_on_size(layer) or "export with fixed sizes; give open ones with --input-shape"
    if "element type" in fault:
        return "export the model in float32"
    return "export the model so that this value is a tensor"
