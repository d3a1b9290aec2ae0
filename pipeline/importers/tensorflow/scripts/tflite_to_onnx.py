"""Converts a TFLite model with tf2onnx, and runs it in LiteRT's interpreter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tensorflow_to_onnx import OPSET, UNREADABLE, UNSUPPORTED
from tensorflow_values import Converted, RefusedError, check_converted, given_arrays, random_array, rename, sizes

_QUANTIZED = (np.int8, np.uint8, np.int16)
_MOST_ELEMENTS = 1 << 26
"""Of a model with more in it, the values inside are not kept."""

_FUSED = "fused_activation_function"
_ACTIVATIONS = ("Relu", "Clip", "Tanh")

_PREFIX = "serving_default_"


def from_tflite(path: str, asked: Mapping[str, Any]) -> Converted:
    """A TFLite model of any precision; quantised values come with quantise and dequantise nodes, as in the file."""
    import ai_edge_litert
    import tf2onnx
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    content = Path(path).read_bytes()
    try:
        # The kernels that define the format's arithmetic, not those of a delegate; and all values are kept.
        interpreter = Interpreter(
            model_content=content,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )
    except (ValueError, RuntimeError) as error:
        code = UNSUPPORTED if "custom op" in str(error) or "Unresolved" in str(error) else UNREADABLE
        raise RefusedError(code, f"LiteRT does not take the file: {error}") from error
    try:
        model, _ = tf2onnx.convert.from_tflite(path, opset=OPSET)
    except Exception as error:
        raise RefusedError(UNSUPPORTED, f"tf2onnx cannot convert it: {type(error).__name__}: {error}") from error
    check_converted(model)
    names = _readable(interpreter)
    rename(model, names)
    converted = Converted(model, f"LiteRT {getattr(ai_edge_litert, '__version__', '')}".strip())
    if asked["run"]:
        try:
            _run(interpreter, path, asked, converted)
        except (ValueError, RuntimeError) as error:
            converted.unrun = str(error)
    return converted


def _run(interpreter: Any, path: str, asked: Mapping[str, Any], converted: Converted) -> None:
    """Runs the interpreter on given or random inputs, and keeps its outputs and quantised values."""
    random = np.random.default_rng(0)
    names = _readable(interpreter)
    given = given_arrays(asked)
    arrays = {}
    for details in interpreter.get_input_details():
        name = names[details["name"]]
        signature = [int(size) for size in details.get("shape_signature", details["shape"])]
        shape = sizes(name, signature, asked)
        if shape is None:
            return
        array = given[name] if given else random_array(shape, details["dtype"], random)
        arrays[details["index"]] = (name, array)
        interpreter.resize_tensor_input(details["index"], shape)
    interpreter.allocate_tensors()
    for index, (_, array) in arrays.items():
        interpreter.set_tensor(index, array)
    interpreter.invoke()
    inside = interpreter.get_tensor_details()
    constant = _constants(interpreter)
    converted.inputs = dict(arrays.values())
    for details in interpreter.get_output_details():
        converted.outputs[names[details["name"]]] = interpreter.get_tensor(details["index"])
    quantized = [t for t in inside if t["dtype"] in _QUANTIZED and len(t["quantization_parameters"]["scales"])]
    kept = [t for t in inside if t["index"] not in constant and (t in quantized or t["dtype"] == np.float32)]
    if sum(int(np.prod(t["shape"])) for t in kept) <= _MOST_ELEMENTS:
        for details in kept:
            converted.values[names.get(details["name"], details["name"])] = interpreter.get_tensor(details["index"])
    _name_activated(converted, _activated(path))
    # Where weights alone are quantised, LiteRT rounds what the layers read, too.
    converted.hybrid = bool(quantized) and all(t["index"] in constant for t in quantized)


def _activated(path: str) -> set[str]:
    """Names of the tensors to which the operator that computes them applies an activation as well."""
    from tf2onnx.tflite_utils import parse_tflite_graph, read_tflite_model

    graphs, operators, model, shapes = read_tflite_model(path)
    parsed = (parse_tflite_graph(graph, operators, model, "", shapes) for graph in graphs)
    nodes = [node for graph in parsed for node in graph[0]]
    kinds = {node.output[0]: attribute.s for node in nodes for attribute in node.attribute if attribute.name == _FUSED}
    return {name for name, kind in kinds.items() if kind != b"NONE"}


def _name_activated(converted: Converted, activated: set[str]) -> None:
    """Gives values behind an activation the name of its own node: in ONNX, what it reads has the tensor's name."""
    readers: dict[str, list[Any]] = {}
    for node in converted.model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for name in (activated & converted.values.keys()) - converted.outputs.keys():
        array = converted.values[name]
        if array.dtype != np.float32:
            continue
        del converted.values[name]
        reading = readers.get(name, [])
        if len(reading) == 1 and reading[0].op_type in _ACTIVATIONS:
            converted.values[reading[0].output[0]] = array


def _constants(interpreter: Any) -> set[int]:
    """The tensors that no operator computes and that are no inputs."""
    computed = {int(index) for op in interpreter._get_ops_details() for index in op["outputs"]}
    given = {details["index"] for details in interpreter.get_input_details()}
    return {details["index"] for details in interpreter.get_tensor_details()} - computed - given


def _readable(interpreter: Any) -> dict[str, str]:
    """By the tensors' names, those of the only signature; else without what converters add to them."""
    taken, given = interpreter.get_input_details(), interpreter.get_output_details()
    names = {tensor["name"]: tensor["name"].removeprefix(_PREFIX).removesuffix(":0") for tensor in (*taken, *given)}
    signatures = interpreter.get_signature_list()
    if len(signatures) == 1:
        runner = interpreter.get_signature_runner(next(iter(signatures)))
        for details in (runner.get_input_details(), runner.get_output_details()):
            names |= {tensor["name"]: key for key, tensor in details.items()}
    return names
