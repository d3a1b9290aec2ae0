"""Converts each form of model with tf2onnx, and runs it in its framework."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from tensorflow_open import OPEN, Opened
from tensorflow_to_onnx import OPSET, UNSUPPORTED
from tensorflow_values import (
    Converted,
    RefusedError,
    check_converted,
    given_arrays,
    listed,
    random_array,
    rename,
    sizes,
)
from tflite_to_onnx import from_tflite

_MOST_BYTES = 1 << 28
"""Larger values inside of a model are not kept."""

Asked = Mapping[str, Any]


def _from_opened(opened: Opened, asked: Asked) -> Converted:
    """Converts a function of tensors, and runs it."""
    specs, outputs = opened.inputs, opened.outputs
    signature = [tf.TensorSpec(shape, dtype, name=f"input_{place}") for place, (_, shape, dtype) in enumerate(specs)]
    text = [name for name, _, dtype in specs if tf.as_dtype(dtype) in (tf.string, tf.resource, tf.variant)]
    if text:
        what = f"the inputs {listed(text)} hold no numbers"
        raise RefusedError(UNSUPPORTED, f"{what}: only numbers and booleans are supported")
    function = tf.function(opened.call, input_signature=signature)
    try:
        model, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    except Exception as error:
        raise RefusedError(UNSUPPORTED, f"tf2onnx cannot convert it: {type(error).__name__}: {error}") from error
    check_converted(model)
    _fix_captured(model, function.get_concrete_function())
    found = [value.name for value in model.graph.input]
    if len(found) != len(specs) or len(model.graph.output) != len(outputs):
        raise RefusedError(UNSUPPORTED, "tf2onnx dropped an input or output that nothing depends on")
    order = sorted(range(len(found)), key=lambda place: int(found[place].split(":")[0].rpartition("_")[2]))
    names = {found[place]: specs[number][0] for number, place in enumerate(order)}
    names |= {value.name: name for value, name in zip(model.graph.output, outputs, strict=True)}
    rename(model, names)
    converted = Converted(model, opened.framework)
    shapes = [sizes(name, _known_sizes(shape), asked) for name, shape, _ in specs]
    if not asked["run"] or None in shapes:
        return converted
    random = np.random.default_rng(0)
    dtypes = [tf.as_dtype(dtype).as_numpy_dtype for _, _, dtype in specs]
    arrays = [random_array(shape, dtype, random) for shape, dtype in zip(shapes, dtypes, strict=True)]
    given = given_arrays(asked)
    if given:
        arrays = [given[model.graph.input[place].name] for place in order]
    try:
        results = [np.asarray(tensor) for tensor in function(*map(tf.constant, arrays))]
    except Exception as error:
        converted.unrun = f"{type(error).__name__}: {error}"
        return converted
    converted.values = _values(model, function.get_concrete_function(), arrays)
    graph = model.graph
    converted.inputs = {graph.input[place].name: array for place, array in zip(order, arrays, strict=True)}
    converted.outputs = {value.name: array for value, array in zip(graph.output, results, strict=True)}
    return converted


def _fix_captured(model: Any, function: Any) -> None:
    """Makes constants of the inputs that stand for tensors which the function took along."""
    captured = function.captured_inputs
    names = [tensor.name for tensor in function.inputs[len(function.inputs) - len(captured) :]]
    values = dict(zip(names, captured, strict=True))
    read = {name for node in model.graph.node for name in node.input}
    for value in [value for value in model.graph.input if value.name in values]:
        model.graph.input.remove(value)
        if value.name in read:
            model.graph.initializer.append(onnx.numpy_helper.from_array(values[value.name].numpy(), value.name))


def _values(model: Any, function: Any, arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
    """What TensorFlow computes for the values of the ONNX model that its own graph has, too; none if they are large."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    try:
        frozen = convert_variables_to_constants_v2(function, lower_control_flow=False, aggressive_inlining=True)
        there = {tensor.name: tensor for op in frozen.graph.get_operations() for tensor in op.outputs}
        wanted = {name: there[name] for node in model.graph.node for name in node.output if name in there}
        results = frozen.prune(list(frozen.inputs), list(wanted.values()))(*map(tf.constant, arrays))
    except Exception:  # it only helps to find the layer of an error
        return {}
    values = {name: np.asarray(array) for name, array in zip(wanted, tf.nest.flatten(results), strict=True)}
    return values if sum(array.nbytes for array in values.values()) <= _MOST_BYTES else {}


def _known_sizes(shape: Any) -> list[int | None] | None:
    known = tf.TensorShape(shape)
    return None if known.rank is None else known.as_list()


def convert(form: str, path: str, asked: Asked) -> Converted:
    """Converts the model of a form: a key of `OPEN`, or ``tflite``."""
    return from_tflite(path, asked) if form == "tflite" else _from_opened(OPEN[form](path), asked)
