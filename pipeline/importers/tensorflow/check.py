"""Checks that an ONNX model computes what TensorFlow, Keras or LiteRT did; if not, finds the first layer that differs.

Integers of two runtimes differ by a rounding here and there, and layers after it make more of it. A quantised model is
therefore compared layer by layer: each gets what LiteRT computed before it, and may differ by one step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from tvmopt.pipeline.errors import WrongResultError
from tvmopt.pipeline.importers.base import OnnxForm, UncheckedError
from tvmopt.pipeline.importers.check.given_values import OWN, beyond_a_step, with_given
from tvmopt.pipeline.importers.check.normalized import with_outputs
from tvmopt.pipeline.importers.tensorflow.convert import Ran
from tvmopt.pipeline.importers.tensorflow.layouts import layouts
from tvmopt.pipeline.support.numeric_error import numeric_error
from tvmopt.pipeline.support.onnxruntime import run_model
from tvmopt.pipeline.support.tolerances import REWRITTEN, within

Arrays = Mapping[str, np.ndarray]

HYBRID = 0.1
"""The error allowed where LiteRT rounds what each layer reads to 8 bits, by its largest value in that run."""


@dataclass(frozen=True, slots=True)
class _Difference:
    """A layer that differs, and how."""

    layer: str
    value: str
    how: str


def check_against_framework(form: OnnxForm) -> str:
    """Checks that the ONNX model computes what the framework did.

    Returns:
        The framework's name and version.

    Raises:
        WrongResultError: it does not; names the first layer that differs.
        UncheckedError: the framework did not run the model.
        UnsupportedModelError: onnxruntime cannot run the model.
    """
    ran = form.program
    assert isinstance(ran, Ran)
    if not form.outputs:
        raise UncheckedError(f"{ran.framework} did not run it: {ran.unrun or 'its input shapes are open'}")
    integers = {name: array for name, array in ran.values.items() if array.dtype.name in ("int8", "uint8", "int16")}
    found = _quantized_difference(form, integers) if integers else _difference(form, ran)
    if found is not None:
        what = f"{found.value!r} of the ONNX form differs from {ran.framework}'s {found.how}"
        raise WrongResultError(f"{what}, from layer {found.layer!r} on")
    return ran.framework


def _difference(form: OnnxForm, ran: Ran) -> _Difference | None:
    """The first layer that differs, where an output does."""
    allowed = HYBRID if ran.hybrid else REWRITTEN.float32
    computed = run_model(form.model, form.inputs)
    wrong = [name for name, array in form.outputs.items() if not _near(array, computed[name], allowed)]
    if not wrong:
        return None
    name = wrong[0]
    error = numeric_error(form.outputs[name], computed[name]).relative
    layer = _first_wrong_layer(form, ran, allowed)
    return _Difference(layer, name, f"by {error:.2g} of its largest value, where {allowed:g} is allowed")


def _near(reference: np.ndarray, computed: np.ndarray, allowed: float) -> bool:
    exact = reference.dtype.kind != "f"
    return within(numeric_error(reference, computed), 0.0 if exact else allowed)


def _first_wrong_layer(form: OnnxForm, ran: Ran, allowed: float) -> str:
    known = {**ran.values, **form.outputs}
    nodes = [(name, node) for node in form.model.graph.node for name in node.output if name in known]
    names = [name for name, _ in nodes]
    computed = run_model(with_outputs(form.model, names), form.inputs, names)
    for name, node in nodes:
        if not any(_near(array, computed[name], allowed) for array in layouts(known[name], computed[name].shape)):
            return str(node.name)
    return str(form.model.graph.node[-1].name)


def _quantized_difference(form: OnnxForm, given: Arrays) -> _Difference | None:
    """The first layer that differs when each gets what LiteRT computed before it."""
    makers = {name: node.name for node in form.model.graph.node for name in node.output if name in given}
    free = run_model(with_outputs(form.model, list(makers)), form.inputs, list(makers))
    taken = {name: array for name, array in _oriented(given, free) if array.dtype == free[name].dtype}
    outputs = [name for name in form.outputs if name not in taken]
    names = [*(name + OWN for name in taken), *outputs]
    computed = run_model(with_given(form.model, taken, outputs), {**form.inputs, **taken}, names)
    for name, array in taken.items():
        how = beyond_a_step(array, computed[name + OWN])
        if how:
            return _Difference(makers[name], name, how)
    for name in outputs:
        if not _near(form.outputs[name], computed[name], REWRITTEN.float32):
            error = numeric_error(form.outputs[name], computed[name]).relative
            layer = next(node.name for node in form.model.graph.node if name in node.output)
            return _Difference(layer, name, f"by {error:.2g} of its largest value")
    return None


def _oriented(given: Arrays, computed: Arrays) -> Iterator[tuple[str, np.ndarray]]:
    """The given values in the layout that the ONNX model has them in, where that can be told."""
    for name, own in computed.items():
        fitting = list(layouts(given[name], own.shape))
        if fitting:
            yield name, min(fitting, key=lambda array: np.abs(array.astype(np.float64) - own).mean())
